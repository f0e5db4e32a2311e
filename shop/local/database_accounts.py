"""What RDS does inside a server when an instance is made, changed or deleted, done in the local MariaDB.

Run as a program by the emulator, whose interpreter has no client for MariaDB: an action and the cloud's folder as
arguments, what it is about as JSON on standard input.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shop.local import database
from shop.local.database import DatabaseError
from shop.local.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pymysql.cursors import Cursor

# What a master user has on RDS (Amazon RDS User Guide, "Master user account privileges", MariaDB): all but SUPER and
# what reaches the server's host. With it nobody needs more locally than there is on AWS.
_MASTER_PRIVILEGES = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, "
    "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, "
    "CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
)
_SYSTEM_SCHEMAS = ("information_schema", "mysql", "performance_schema", "sys")
_SYSTEM_USERS = ("mariadb.sys",)


def create(cursor: Cursor, root: str, *, user: str, password: str, name: str) -> None:
    """A new instance: nothing of an earlier one, the master user, and the database `name` unless that is empty."""
    delete(cursor, root)
    if name:
        cursor.execute(f"CREATE DATABASE {_quoted(name)}")
    cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (user, password))
    cursor.execute(f"GRANT {_MASTER_PRIVILEGES} ON *.* TO %s@'%%' WITH GRANT OPTION", (user,))


def change_password(cursor: Cursor, *, user: str, password: str) -> None:
    """Give the master user another password."""
    cursor.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", (user, password))


def delete(cursor: Cursor, root: str) -> None:
    """Remove all databases and accounts but the server's own and `root`."""
    cursor.execute(
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN %s", (_SYSTEM_SCHEMAS,)
    )
    for (schema,) in cursor.fetchall():
        cursor.execute(f"DROP DATABASE {_quoted(schema)}")
    cursor.execute("SELECT user, host FROM mysql.user WHERE user NOT IN %s", ((*_SYSTEM_USERS, root),))
    for account in cursor.fetchall():
        cursor.execute("DROP USER %s@%s", account)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def carry_out(action: str, folder: Path, request: Mapping[str, Any]) -> None:
    """Do an action (`create`, `password` or `delete`) in the running database of `folder`. Raises DatabaseError."""
    import pymysql  # noqa: PLC0415 - a command that only looks for errors in its arguments needs none

    paths = Paths(folder)
    server = database.read(paths.database_json)
    if server is None:
        raise DatabaseError("the local cloud has no database: MariaDB was not found when it came up")
    user, password = str(request["user"]), str(request["password"])
    try:
        with _root(paths, server) as cursor:
            if action == "create":
                create(cursor, server.user, user=user, password=password, name=str(request["database"]))
            elif action == "password":
                change_password(cursor, user=user, password=password)
            else:
                delete(cursor, server.user)
    except pymysql.MySQLError as error:
        # Its text can have the statement in it, and that the password; the number tells enough.
        code = error.args[0] if error.args else type(error).__name__
        raise DatabaseError(f"MariaDB refuses to {action} the instance of {user}: error {code}") from error


@contextmanager
def _root(paths: Paths, server: database.Database) -> Iterator[Cursor]:
    import pymysql  # noqa: PLC0415

    database.wait(paths, server)
    connection = pymysql.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        ssl_ca=str(paths.tls / "ca.crt"),
        ssl_verify_cert=True,
        ssl_verify_identity=True,
    )
    with connection, connection.cursor() as cursor:
        yield cursor


def main(arguments: Sequence[str]) -> int:
    """Run one action; returns the exit code, and what went wrong is one line on standard error."""
    action, folder = arguments
    try:
        carry_out(action, Path(folder), json.load(sys.stdin))
    except DatabaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
