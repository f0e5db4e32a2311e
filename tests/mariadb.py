"""A real MariaDB for tests of SQL: one server a session, and databases of their own with the schema and its users.

For what needs the database and none of the cloud around it. `tests/integration/conftest.py` has the fixtures.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from database_migrator import migrate, users
from shared.database import connect
from shop.local import database as local_database
from shop.local import tls
from shop.local.paths import Paths
from tests.counted import counted, session_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shared.database import Connection

USER_PASSWORD = "of every user but root"  # noqa: S105 (of a server that tests start and stop)
_ROOT = "root"


@dataclass(frozen=True)
class Server:
    """A running MariaDB; `ca_bundle` is the file that `DB_CA_BUNDLE` must name for `shared.database` to trust it."""

    url: str
    root_password: str
    ca_bundle: Path


@dataclass(frozen=True)
class Database:
    """A database on the server, migrated, and its users made."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        """Host and port."""
        return self.server.url

    def connect(self, user: str = _ROOT, **options: Any) -> Connection:
        """A connection of `shared.database`, as root or as one of the schema's users; the caller closes it."""
        password = self.server.root_password if user == _ROOT else USER_PASSWORD
        return connect(self.url, self.name, user, password, **options)

    def query(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """What root gets for a statement, which is committed."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = list(cursor.fetchall())
            connection.commit()
        return rows


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """A server with its data in `folder`, stopped when the last of the processes that share it leaves.

    Skips the test where the machine has no MariaDB.
    """
    if not local_database.is_available():
        pytest.skip("there is no MariaDB on this machine; make setup says why")
    paths = Paths(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with counted(folder, lambda: local_database.start(paths), lambda: local_database.stop(paths)):
        found = local_database.read(paths.database_json)
        assert found is not None
        authority, _, _ = tls.ensure_certificates(paths.tls)
        yield Server(f"{found.host}:{found.port}", found.password, authority)


@contextlib.contextmanager
def new_database(server: Server) -> Iterator[Database]:
    """A database of its own, dropped in the end. `DB_CA_BUNDLE` must be set."""
    database = Database(server, f"test_{secrets.token_hex(6)}")
    with connect(server.url, "mysql", _ROOT, server.root_password) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database.name}")
        try:
            with database.connect(client_flag=migrate.CLIENT_FLAG) as inside:
                migrate.run(inside)
                _empty(inside)
                users.make(inside, {users.READER: USER_PASSWORD, users.RECORDER: USER_PASSWORD})
            yield database
        finally:
            cursor.execute(f"DROP DATABASE {database.name}")


def _empty(connection: Connection) -> None:
    """Removes the products and groups that a shop's own migrations put in; what the schema itself needs stays."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM product")
        cursor.execute("DELETE FROM product_group WHERE product_group_number <> 9999")
    connection.commit()


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The session's MariaDB."""
    with running_server(session_folder(tmp_path_factory) / "mariadb") as server:
        yield server


@pytest.fixture
def sales_database(mariadb_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An empty sales database of this test's own."""
    monkeypatch.setenv("DB_CA_BUNDLE", str(mariadb_server.ca_bundle))
    with new_database(mariadb_server) as database:
        yield database
