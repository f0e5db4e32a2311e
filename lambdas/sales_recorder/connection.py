"""The recorder's connection to the database, kept as long as the process is warm.

On AWS the recorder signs in with an IAM token, made anew for each connection. Where `DB_SECRET_ARN` is set it signs
in with the password in that secret, which is read once a process, and again when the database refuses it. Only then is
the SDK imported, which is most of a cold start (decision 0025).
"""

import contextlib
import functools
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pymysql import MySQLError

from shared.database import Connection, DatabaseAccessDenied, connect

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_CONNECT_SECONDS: Final = 1.0
_READ_SECONDS: Final = 2.0
"""As for calls to AWS (`shared.aws`): the shortest function (3 s) ends in order after one lost answer."""
_SETTINGS: Final = (
    # Below the read timeout. Else a statement that waits for a lock outlives its client's patience, and the client's
    # next attempt waits for what the first one holds.
    "SET SESSION innodb_lock_wait_timeout = 1",
    # By default InnoDB also locks the gaps between rows, so that orders of different new products wait for each other.
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)


class PasswordUnreadable(Exception):
    """Secrets Manager did not give the password; has its error's name, and whether a later attempt may succeed."""

    def __init__(self, error_code: str, *, may_succeed: bool) -> None:
        super().__init__(f"the database's password could not be read: {error_code}")
        self.error_code = error_code
        self.may_succeed = may_succeed


class KeptConnection:
    """At most one open connection, made when it is first needed and after it was dropped."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._password: str | None = None

    def get(self) -> Connection:
        """The open connection, else a new one.

        A connection that broke while nobody looked is found out by the next statement, which costs no round trip
        where all is well, as a ping would.

        Raises:
            shared.database.DatabaseError: no connection could be made.
            PasswordUnreadable: there is no password to sign in with.
            pymysql.MySQLError: the connection broke while it was set up.
        """
        if self._connection is None or not self._connection.open:
            connection = self._sign_in(os.environ)
            with connection.cursor() as cursor:
                for statement in _SETTINGS:
                    cursor.execute(statement)
            self._connection = connection
        return self._connection

    def roll_back(self) -> None:
        """Ends the open transaction, if need be by closing the connection."""
        try:
            if self._connection is not None:
                self._connection.rollback()
        except MySQLError:
            self.drop()

    def drop(self) -> None:
        """Closes the connection, whatever state it is in; the next `get` makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(MySQLError, OSError):
                connection.close()

    def _sign_in(self, environment: Mapping[str, str]) -> Connection:
        secret = environment.get("DB_SECRET_ARN")
        if not secret:
            return _connect(environment, None)
        if self._password is not None:
            try:
                return _connect(environment, self._password)
            except DatabaseAccessDenied:
                self._password = None  # it may have been changed since it was read
        password = _read_password(secret)
        connection = _connect(environment, password)
        self._password = password
        return connection


def _connect(environment: Mapping[str, str], password: str | None) -> Connection:
    return connect(
        environment["DB_URL"],
        environment["DB_NAME"],
        environment["DB_USER"],
        password,
        connect_seconds=_CONNECT_SECONDS,
        read_seconds=_READ_SECONDS,
    )


def _read_password(secret: str) -> str:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 (never needed with IAM tokens)

    from shared.aws import error_code, is_transient  # noqa: PLC0415

    try:
        answer = _secrets().get_secret_value(SecretId=secret)
    except (ClientError, BotoCoreError) as error:
        raise PasswordUnreadable(error_code(error), may_succeed=is_transient(error)) from error
    return str(json.loads(answer["SecretString"])["password"])


@functools.cache
def _secrets() -> "SecretsManagerClient":
    """Made when it is first needed, because with IAM tokens it never is."""
    from shared.aws import make_client  # noqa: PLC0415

    client: SecretsManagerClient = make_client("secretsmanager")
    return client
