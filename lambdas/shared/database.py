"""Connections to the shop's MariaDB, always over verified TLS, and names for what can go wrong with them.

No error here quotes a password, and none of PyMySQL's does.
"""

# ruff: noqa: E402 (what stands between the first import and the others)
import gc

gc.disable()  # what is imported stays: to look at it in vain costs a cold start 1.5 ms
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import pymysql
from pymysql.constants import CR, ER

from shared.database_token import sign_in_token
from shared.rds_certificates import CERTIFICATES

gc.enable()

Connection: TypeAlias = "pymysql.Connection[Any]"

DEFAULT_PORT: Final = 3306
_CHARACTER_SET: Final = "utf8mb4"
_COLLATION: Final = "utf8mb4_nopad_bin"
"""Of the names in the tables, so that what is compared with them is compared in the same way: byte by byte, with its
trailing spaces."""
_SQL_MODE: Final = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"
"""A value that a column cannot hold is an error, never cut to fit."""
_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=[^:]{{1,253}}(?::|$))({_LABEL}(?:\.{_LABEL})*)(?::([0-9]{{1,5}}))?")
"""A name as RFC 1123 has them (section 2.1), because Python fails on others in words that say nothing of an address."""
_HIGHEST_PORT: Final = 65_535
_ENDPOINT: Final = ".rds.amazonaws.com"
"""What each instance's name ends with, after the region (Amazon RDS User Guide, "Finding the connection information").
"""

_CONNECTION_KILLED: Final = 1927
_ACCESS_DENIED_NO_PASSWORD: Final = 1698
_ACCOUNT_LOCKED: Final = 4151
"""Of MariaDB's error codes; PyMySQL has no names for these."""


class DatabaseError(Exception):
    """The database did not do what it was asked; the class says why, the text where."""


class DatabaseUnreachable(DatabaseError):
    """There is no connection, or it was lost."""


class DatabaseAccessDenied(DatabaseError):
    """The user, the password or token, or the user's rights are wrong."""


class DatabaseObjectMissing(DatabaseError):
    """A database, table or column is not there."""


class QueryTimedOut(DatabaseError):
    """A statement took longer than it may."""


class DatabaseFailed(DatabaseError):
    """Anything else."""


_NAMES: Final[dict[int, type[DatabaseError]]] = {
    CR.CR_CONN_HOST_ERROR: DatabaseUnreachable,
    CR.CR_CONNECTION_ERROR: DatabaseUnreachable,
    CR.CR_SERVER_GONE_ERROR: DatabaseUnreachable,
    CR.CR_SERVER_LOST: DatabaseUnreachable,
    ER.CON_COUNT_ERROR: DatabaseUnreachable,
    ER.USER_LIMIT_REACHED: DatabaseUnreachable,
    ER.SERVER_SHUTDOWN: DatabaseUnreachable,
    _CONNECTION_KILLED: DatabaseUnreachable,
    ER.ACCESS_DENIED_ERROR: DatabaseAccessDenied,
    ER.DBACCESS_DENIED_ERROR: DatabaseAccessDenied,
    ER.TABLEACCESS_DENIED_ERROR: DatabaseAccessDenied,
    ER.COLUMNACCESS_DENIED_ERROR: DatabaseAccessDenied,
    ER.HOST_NOT_PRIVILEGED: DatabaseAccessDenied,
    _ACCESS_DENIED_NO_PASSWORD: DatabaseAccessDenied,
    _ACCOUNT_LOCKED: DatabaseAccessDenied,
    ER.BAD_DB_ERROR: DatabaseObjectMissing,
    ER.NO_SUCH_TABLE: DatabaseObjectMissing,
    ER.BAD_FIELD_ERROR: DatabaseObjectMissing,
    ER.STATEMENT_TIMEOUT: QueryTimedOut,
    ER.LOCK_WAIT_TIMEOUT: QueryTimedOut,
}


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host` or `host:port`.

    Raises:
        ValueError: it is neither; the text says so.
    """
    match = _ADDRESS.fullmatch(address)
    port = int(match[2]) if match and match[2] else DEFAULT_PORT
    if not match or not 0 < port <= _HIGHEST_PORT:
        raise ValueError(f"{address!r} is not a host, or a host and a port as in db.example.com:3306")
    return match[1], port


def connect(
    url: str,
    name: str,
    user: str,
    password: str | None = None,
    *,
    connect_seconds: float = 5,
    read_seconds: float = 30,
    client_flag: int = 0,
) -> Connection:
    """A connection to the database `name` at `url` (`host` or `host:port`), with autocommit off and its clock at UTC.

    Without a password the function's role signs in as `user` by IAM. `client_flag` is PyMySQL's. The caller closes it.

    Raises:
        ValueError: `url` is no address.
        DatabaseError: there is no connection; one of its kinds says why.
    """
    host, port = split_address(url)
    secret = sign_in_token(host, port, user) if password is None else password
    with errors(url):
        return pymysql.connect(
            host=host,
            port=port,
            user=user,
            # As bytes, because PyMySQL would encode a text as Latin-1 and quote it where that cannot be done.
            password=secret.encode(),
            database=name,
            ssl=_tls(host),
            charset=_CHARACTER_SET,
            collation=_COLLATION,
            sql_mode=_SQL_MODE,
            init_command="SET time_zone = '+00:00'",
            autocommit=False,
            client_flag=client_flag,
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            write_timeout=read_seconds,
        )


def _tls(host: str) -> ssl.SSLContext:
    """Trusts the database's certificate authorities and nobody else's, and demands the host's own name.

    `DB_CA_BUNDLE` names a file with other authorities, which the local cloud's database needs.
    """
    bundle = os.environ.get("DB_CA_BUNDLE")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=bundle, cadata=None if bundle else _authorities(host))
    return context


def _authorities(host: str) -> str:
    """The region's, one of some thirty that would all have to be decoded; all where the name does not tell the region.

    A network load balancer or an alias has a name that does not tell.
    """
    name = host.lower()
    instance, _, region = name.removesuffix(_ENDPOINT).rpartition(".")
    own = CERTIFICATES.get(region) if instance and name.endswith(_ENDPOINT) else None
    return own or "".join(CERTIFICATES.values())


@contextmanager
def errors(url: str) -> Iterator[None]:
    """Gives PyMySQL's errors the names of this module; `url` is whose they are, for the text.

    Raises:
        DatabaseError: PyMySQL raised an error; its kind says which.
    """
    try:
        yield
    except pymysql.MySQLError as error:
        raise named(error, url) from error


def named(error: pymysql.MySQLError, url: str) -> DatabaseError:
    """The error under this module's name."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    reason = str(error.args[-1]) if error.args else type(error).__name__
    if code in {CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR} and isinstance(error.__context__, TimeoutError):
        return QueryTimedOut(f"database {url}: no answer in time")
    return _NAMES.get(code, DatabaseFailed)(f"database {url}: {reason} ({code})")
