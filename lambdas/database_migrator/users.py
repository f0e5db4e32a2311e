"""The database's users beside its master: each may do what one function needs."""

from collections.abc import Mapping
from typing import Final

from shared.database import Connection

READER: Final = "sales_reader"
RECORDER: Final = "sales_recorder"

_RIGHTS: Final[Mapping[str, tuple[str, ...]]] = {
    READER: ("SELECT ON product_group", "SELECT ON product", "SELECT ON order_item"),
    RECORDER: ("INSERT ON orders",),
}
_BY_IAM: Final = "IDENTIFIED VIA AWSAuthenticationPlugin USING 'RDS'"
"""Amazon RDS User Guide, "Creating a database account using IAM authentication"."""


def make(connection: Connection, passwords: Mapping[str, str | None]) -> None:
    """Makes the users that are missing, and gives all of them their rights and the way they sign in.

    `passwords` has each user's password; None for one that signs in by IAM. They may come over TLS only.

    Raises:
        KeyError: a user is not one of this module's.
        pymysql.MySQLError: a statement fails.
    """
    with connection.cursor() as cursor:
        for user, password in passwords.items():
            rights = _RIGHTS[user]
            how = _BY_IAM if password is None else "IDENTIFIED BY %s"
            values = (user,) if password is None else (user, password)
            # Two statements, because the first does nothing for a user that exists and the second needs one.
            cursor.execute(f"CREATE USER IF NOT EXISTS %s@'%%' {how} REQUIRE SSL", values)
            cursor.execute(f"ALTER USER %s@'%%' {how} REQUIRE SSL", values)
            for right in rights:
                cursor.execute(f"GRANT {right} TO %s@'%%'", (user,))
