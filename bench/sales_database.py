"""A MariaDB of the benchmarks' own, with an empty sales database."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from database_migrator import migrate
from shared.database import Connection, connect
from shop.local import database, tls
from shop.local.paths import Paths

LONGEST_SECONDS: Final = 600
"""For any one statement."""
_NAME: Final = "bench"


@contextmanager
def sales_database() -> Iterator[Callable[[], Connection]]:
    """Starts the server; gives what makes connections to the database as root. The server is stopped in the end.

    Raises SystemExit, with one line, where the machine has no MariaDB.
    """
    if not database.is_available():
        raise SystemExit("there is no MariaDB on this machine; make setup says why")
    with tempfile.TemporaryDirectory(prefix="sales-bench-") as folder:
        paths = Paths(Path(folder))
        found = database.start(paths)
        try:
            os.environ["DB_CA_BUNDLE"] = str(tls.ensure_certificates(paths.tls)[0])
            with _connect(found, "mysql") as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {_NAME}")
            with _connect(found, _NAME) as connection:
                migrate.run(connection)
                _empty(connection)
            yield lambda: _connect(found, _NAME)
        finally:
            database.stop(paths)


def _empty(connection: Connection) -> None:
    """Removes the products and groups that a shop's own migrations put in."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM product")
        cursor.execute("DELETE FROM product_group WHERE product_group_number <> 9999")
    connection.commit()


def _connect(found: database.Database, name: str) -> Connection:
    return connect(
        f"{found.host}:{found.port}",
        name,
        found.user,
        found.password,
        read_seconds=LONGEST_SECONDS,
        client_flag=migrate.CLIENT_FLAG,
    )
