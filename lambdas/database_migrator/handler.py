"""Brings the database up to date: its schema, its users and, where it is asked for, its sample data.

Runs in the database's network, where nothing can read a secret: whoever invokes it brings the passwords along. They
are never logged, nor in an error.
"""

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from database_migrator import migrate, sample_data, users
from shared.database import connect, errors
from shared.log import logger
from shared.shop_days import today
from shared.times import Context

_LONGEST_STATEMENT_SECONDS: Final = 800
"""A change of a large table takes its time; the function itself ends after 14 minutes."""


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:  # noqa: ARG001 (Lambda calls it so)
    """Migrates the database that the event names, as the master user; returns the files applied.

    The event has `dbUrl`, `dbName`, `dbUser`, `dbPassword`, `users` (a password, or null for IAM, by user name),
    `sampleData` and `timeZone`.

    Raises:
        KeyError: the event lacks one of these.
        MigrationRefused: the files and the database do not fit together.
        MigrationFailed: a file's statement fails.
        DatabaseError: the database cannot be reached, or refuses.
    """
    url = event["dbUrl"]
    connection = connect(
        url,
        event["dbName"],
        event["dbUser"],
        event["dbPassword"],
        read_seconds=_LONGEST_STATEMENT_SECONDS,
        client_flag=migrate.CLIENT_FLAG,
    )
    with errors(url), connection:
        applied = migrate.run(connection)
        users.make(connection, event["users"])
        if event["sampleData"]:
            zone = ZoneInfo(event["timeZone"])
            sample_data.load(connection, today=today(zone), zone=zone)
    logger.info("database is up to date", extra={"applied": len(applied)})
    return {"applied": applied}
