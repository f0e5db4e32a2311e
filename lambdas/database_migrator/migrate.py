"""Applies the schema's migration files, each once, in the order of their numbers.

A file `NNNN_what_it_does.sql` is never changed once it has been applied somewhere; what is wrong with it is mended by
a new one. MariaDB commits each change of a table at once, so a file that is cut short may be half done: every
statement must do no harm a second time (`IF NOT EXISTS`, `CREATE OR REPLACE`).
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pymysql
from pymysql.constants import CLIENT

from shared.database import Connection
from shared.log import logger

FOLDER: Final = Path(__file__).with_name("migrations")
CLIENT_FLAG: Final = CLIENT.MULTI_STATEMENTS
"""What the connection must have been opened with: the server itself then tells a file's statements apart."""

_FILE_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
_LOCK: Final = "SHA1(CONCAT('migrations of ', DATABASE()))"
"""A lock's name may have 64 characters and is the whole server's."""
_LOCK_SECONDS: Final = 60
_HISTORY: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    version INT UNSIGNED NOT NULL PRIMARY KEY,
    file_name VARCHAR(200) NOT NULL,
    checksum CHAR(64) NOT NULL,
    applied_at DATETIME NOT NULL DEFAULT UTC_TIMESTAMP()
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin
"""


class MigrationRefused(Exception):
    """The files and the database do not fit together; the text names the file and the rule."""


class MigrationFailed(Exception):
    """A statement of a file fails; the text names the file and has MariaDB's own text and number."""


class _Migration(NamedTuple):
    version: int
    file_name: str
    script: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.script.encode()).hexdigest()


def run(connection: Connection, folder: Path = FOLDER) -> list[str]:
    """Applies what the database does not have yet; returns the names of those files.

    A database that is ahead of the files is left as it is: an older version of the shop runs on a newer schema, which
    is what the rollback of a deployment needs.

    Raises:
        MigrationRefused: a file was changed or removed after it was applied, is numbered before one that was, is
            wrongly named or not UTF-8, or another migration does not end.
        MigrationFailed: a statement fails. What was done before it stays, and the file is applied again next time.
        pymysql.MySQLError: the database fails beside that.
    """
    migrations = _read(folder)
    with connection.cursor() as cursor:
        # The lock ends with the connection at the latest.
        cursor.execute(f"SELECT GET_LOCK({_LOCK}, %s)", (_LOCK_SECONDS,))
        if cursor.fetchall() != ((1,),):
            raise MigrationRefused(f"another migration has run for {_LOCK_SECONDS} seconds")
        cursor.execute(_HISTORY)
        waiting = _not_applied(migrations, _applied(connection))
        for migration in waiting:
            try:
                _apply(connection, migration)
            except pymysql.MySQLError as error:
                number, *text = error.args or (0,)
                raise MigrationFailed(f"{migration.file_name}: {' '.join(map(str, text))} ({number})") from error
            logger.info("migration applied", extra={"file": migration.file_name})
        cursor.execute(f"SELECT RELEASE_LOCK({_LOCK})")
    return [migration.file_name for migration in waiting]


def _read(folder: Path) -> list[_Migration]:
    migrations: dict[int, _Migration] = {}
    for path in sorted(folder.iterdir()):
        match = _FILE_NAME.fullmatch(path.name)
        if not match:
            raise MigrationRefused(f"{path.name}: is not named like 0001_what_it_does.sql")
        version = int(match[1])
        if version in migrations:
            raise MigrationRefused(f"{path.name}: has the number of {migrations[version].file_name}")
        migrations[version] = _Migration(version, path.name, _script(path))
    return list(migrations.values())


def _script(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MigrationRefused(f"{path.name}: is not UTF-8 (byte {error.start})") from None


def _applied(connection: Connection) -> dict[int, tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT version, file_name, checksum FROM schema_migration")
        return {version: (file_name, checksum) for version, file_name, checksum in cursor.fetchall()}


def _not_applied(migrations: Sequence[_Migration], applied: dict[int, tuple[str, str]]) -> list[_Migration]:
    """What is left to do, once nothing speaks against it."""
    newest_applied = max(applied, default=0)
    newest_file = max((migration.version for migration in migrations), default=0)
    files = {migration.version: migration for migration in migrations}
    for version, (file_name, checksum) in applied.items():
        if version in files and files[version].checksum != checksum:
            raise MigrationRefused(f"{files[version].file_name}: was changed after it was applied; add a new file")
        if version not in files and version < newest_file:
            raise MigrationRefused(f"{file_name}: was applied and is not among the files any more")
    if newest_applied > newest_file:
        logger.warning("the database is ahead of the migrations", extra={"database": newest_applied})
    waiting = [migration for migration in migrations if migration.version not in applied]
    for migration in waiting:
        if migration.version < newest_applied:
            raise MigrationRefused(f"{migration.file_name}: comes before number {newest_applied}, which was applied")
    return waiting


def _apply(connection: Connection, migration: _Migration) -> None:
    with connection.cursor() as cursor:
        cursor.execute(migration.script)
        while cursor.nextset():
            pass  # an error of a later statement shows only when its result is asked for
        cursor.execute(
            "INSERT INTO schema_migration (version, file_name, checksum) VALUES (%s, %s, %s)",
            (migration.version, migration.file_name, migration.checksum),
        )
    connection.commit()
