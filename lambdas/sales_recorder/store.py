"""Writes sales into the table `orders`, each once however often it is delivered.

A batch is one transaction with one INSERT of many rows. When the database refuses that, the sales are written one by
one, so that a duplicate or a row that it will not take holds up nobody else. A trigger makes the order items and the
products that are not there yet, so the recorder's user needs the right to INSERT into `orders` and no other.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from pymysql import InterfaceError, MySQLError
from pymysql.constants import CR, ER

from sales_recorder.connection import KeptConnection, PasswordUnreadable
from sales_recorder.sale import Sale
from shared.database import DatabaseError, DatabaseUnreachable, QueryTimedOut, named
from shared.log import logger
from shared.times import RemainingTime, attempts, has_time_for_a_call

_INSERT: Final = (
    "INSERT INTO orders (order_key, order_date, customer_id, product_name, quantity, price_per_item) "
    "VALUES (%s, %s, %s, %s, %s, %s)"
)
_DUPLICATE_ORDER: Final = "for key 'order_key'"
"""How the text of a duplicate's error ends where the order itself is there already, and not, say, its product."""
_CONFLICTS: Final = {ER.CHECKREAD, ER.LOCK_WAIT_TIMEOUT, ER.LOCK_DEADLOCK}
"""Other transactions were in the way; the connection is sound."""
_CONNECTION_LOST: Final = {
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    ER.SERVER_SHUTDOWN,
    ER.OPTION_PREVENTS_STATEMENT,
    1927,
}
"""The connection ended, was killed (1927: MariaDB's ER_CONNECTION_KILLED), or leads to an instance that has become
read-only by a failover; a new one may fare better."""


class Recorded(NamedTuple):
    """What is known of the database after sales were written; order keys."""

    known: set[str]
    """Those that it holds, committed. Of a key that is missing it may hold the sale or not, such as when the answer to
    a commit was lost and no time was left to ask again."""
    written: set[str]
    """Those among them that a call of this batch wrote and that got its answer; the others were there before."""


class _Outcome(Enum):
    COMMITTED = auto()
    THERE_BEFORE = auto()
    REFUSED = auto()
    CONFLICT = auto()
    NO_CONNECTION = auto()
    NO_ACCESS = auto()


def record_sales(sales: Iterable[Sale], database: KeptConnection, remaining_ms: RemainingTime) -> Recorded:
    """Writes each sale unless its order key is taken; retries what may succeed while time is left.

    No two of the sales have the same key.
    """
    # Concurrent recorders that take their locks in one order seldom run into a deadlock.
    ordered = sorted(sales, key=lambda sale: (sale.product_name, sale.order_key))
    waiting = [ordered] if ordered else []
    recorded = Recorded(set(), set())
    for _ in attempts(remaining_ms):
        in_conflict: list[list[Sale]] = []
        while waiting and (outcome := _write(waiting[0], database)) is not _Outcome.NO_CONNECTION:
            if outcome is _Outcome.NO_ACCESS:
                return recorded
            batch = waiting.pop(0)
            keys = {sale.order_key for sale in batch}
            if outcome is _Outcome.COMMITTED:
                recorded.known.update(keys)
                recorded.written.update(keys)
            elif outcome is _Outcome.THERE_BEFORE:
                recorded.known.update(keys)
            elif outcome is _Outcome.CONFLICT:
                in_conflict.append(batch)
            elif len(batch) > 1:
                waiting += [[sale] for sale in batch]
            if not has_time_for_a_call(remaining_ms):
                return recorded
        waiting += in_conflict
        if not waiting:
            break
    return recorded


def _write(batch: Sequence[Sale], database: KeptConnection) -> _Outcome:
    """Tries the sales once, in one transaction."""
    try:
        connection = database.get()
        with connection.cursor() as cursor:
            cursor.executemany(_INSERT, batch)
        connection.commit()
    except MySQLError as error:
        return _outcome_of_statement(error, batch, database)
    except (DatabaseError, PasswordUnreadable) as error:
        return _outcome_of_sign_in(error)
    except BaseException:
        # Else the rows would stay uncommitted, and be found as duplicates by this very connection the next time.
        database.drop()
        raise
    return _Outcome.COMMITTED


def _outcome_of_statement(error: MySQLError, batch: Sequence[Sale], database: KeptConnection) -> _Outcome:
    code = error.args[0] if error.args else None
    if isinstance(error, InterfaceError) or code in _CONNECTION_LOST:
        database.drop()
        logger.warning("connection lost", extra={"error_code": code, "sales": len(batch)})
        return _Outcome.NO_CONNECTION
    database.roll_back()
    # Who waited in vain would do so again: rather find out which of the sales it is that somebody else holds.
    if code in _CONFLICTS and (len(batch) == 1 or code != ER.LOCK_WAIT_TIMEOUT):
        logger.warning("sales met other transactions", extra={"error_code": code, "sales": len(batch)})
        return _Outcome.CONFLICT
    if len(batch) > 1:
        logger.info("sales are written one by one", extra={"error_code": code, "sales": len(batch)})
        return _Outcome.REFUSED
    # InnoDB tells of a duplicate only when the other row is committed; it waits for one that is not.
    if code == ER.DUP_ENTRY and str(error.args[1]).endswith(_DUPLICATE_ORDER):
        return _Outcome.THERE_BEFORE
    name = type(named(error, "")).__name__
    logger.error("sale refused", extra={"error": name, "error_code": code, "order_id": batch[0].order_key})
    return _Outcome.REFUSED


def _outcome_of_sign_in(error: DatabaseError | PasswordUnreadable) -> _Outcome:
    if isinstance(error, PasswordUnreadable):
        name, may_succeed = error.error_code, error.may_succeed
    else:
        name, may_succeed = type(error).__name__, isinstance(error, (DatabaseUnreachable, QueryTimedOut))
    logger.warning("no connection to the database", extra={"error_code": name})
    return _Outcome.NO_CONNECTION if may_succeed else _Outcome.NO_ACCESS
