"""Writes orders into the table so that each id is written once, and finds out what the table holds.

One `BatchExecuteStatement` carries an INSERT for each order; an INSERT never overwrites
(docs/decisions/0002-order-writes.md). Needs the rights to PartiQLInsert and BatchGetItem on the table.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws import error_code, is_transient
from shared.log import logger
from shared.order_items import StoredOrder, from_item, to_item
from shared.order_rules import ORDER_ID, InvalidOrder
from shared.times import RemainingTime, attempts, has_time_for_a_call

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import BatchStatementRequestTypeDef

_MOST_STATEMENTS: Final = 25
_MOST_KEYS: Final = 100
_DUPLICATE: Final = "DuplicateItem"
_NO_ANSWER: Final = "InternalServerError"
"""What a statement is counted as when its call failed for a while: it may have been run or not."""
_TRANSIENT_STATEMENT_ERRORS: Final = {
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "ThrottlingError",
    "TransactionConflict",
}
"""Of the error codes of a statement (DynamoDB API Reference, "BatchStatementError")."""


class Kept(NamedTuple):
    """What is known of the table after orders were written."""

    known: dict[str, StoredOrder | None]
    """What it holds under an id: the order that was written, or the one that was there before; None for no order.
    An id that is missing may or may not be in the table."""
    written: set[str]
    """The ids whose orders are there by these calls and were not before."""


def store_orders(
    orders: Mapping[str, StoredOrder], dynamodb: "DynamoDBClient", table: str, remaining_ms: RemainingTime
) -> Kept:
    """Writes each order unless its id is taken; retries what may succeed while time is left."""
    known: dict[str, StoredOrder | None] = {}
    written, unsure = set[str](), set[str]()
    unwritten, unread = dict(orders), list[str]()
    for _ in attempts(remaining_ms):
        errors = _insert(unwritten, dynamodb, table)
        new = {order_id: orders[order_id] for order_id, error in errors.items() if error is None}
        known |= new
        written |= new.keys()
        unread += [order_id for order_id, error in errors.items() if error == _DUPLICATE]
        unwritten = {
            order_id: orders[order_id] for order_id, error in errors.items() if error in _TRANSIENT_STATEMENT_ERRORS
        }
        unsure |= unwritten.keys()
        if unread and has_time_for_a_call(remaining_ms):
            found, unread = _read(unread, dynamodb, table)
            known |= found
            # Written by a call whose answer was lost: no other message has this id and this time.
            written |= {order_id for order_id in unsure & found.keys() if found[order_id] == orders[order_id]}
        if not unwritten and not unread:
            break
    return Kept(known, written)


def _insert(orders: Mapping[str, StoredOrder], dynamodb: "DynamoDBClient", table: str) -> dict[str, str | None]:
    """Tries each order once; returns the error code of each, None for those that were written."""
    errors: dict[str, str | None] = {}
    for chunk in _chunks(orders, _MOST_STATEMENTS):
        try:
            answer = dynamodb.batch_execute_statement(Statements=[_statement(orders[name], table) for name in chunk])
        except (ClientError, BotoCoreError) as error:
            logger.warning("orders not written", extra={"error_code": error_code(error), "orders": len(chunk)})
            errors |= dict.fromkeys(chunk, _NO_ANSWER if is_transient(error) else error_code(error))
            continue
        for order_id, response in zip(chunk, answer["Responses"], strict=True):
            errors[order_id] = _statement_error(order_id, response)
    return errors


def _statement(stored: StoredOrder, table: str) -> "BatchStatementRequestTypeDef":
    item = to_item(stored)
    return {"Statement": _insert_text(table, tuple(item)), "Parameters": list(item.values())}


@cache  # an order has at most eight sets of attributes
def _insert_text(table: str, names: tuple[str, ...]) -> str:
    values = ", ".join(f"'{name}': ?" for name in names)
    return f'INSERT INTO "{table}" VALUE {{{values}}}'


def _statement_error(order_id: str, response: Mapping[str, Any]) -> str | None:
    if "Error" not in response:
        return None
    code = str(response["Error"]["Code"])
    if code != _DUPLICATE:
        logger.warning("order not written", extra={"order_id": order_id, "error_code": code})
    return code


def _read(
    order_ids: Iterable[str], dynamodb: "DynamoDBClient", table: str
) -> tuple[dict[str, StoredOrder | None], list[str]]:
    """What the table holds under the ids, and the ids to ask for again."""
    found: dict[str, StoredOrder | None] = {}
    again: list[str] = []
    for chunk in _chunks(order_ids, _MOST_KEYS):
        keys = [{ORDER_ID: {"S": order_id}} for order_id in chunk]
        try:
            answer = dynamodb.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
        except (ClientError, BotoCoreError) as error:
            logger.warning("orders not read", extra={"error_code": error_code(error), "orders": len(chunk)})
            again += chunk if is_transient(error) else []
            continue
        found |= {item[ORDER_ID]["S"]: _stored_order(item) for item in answer["Responses"].get(table, ())}
        unprocessed = answer.get("UnprocessedKeys", {}).get(table)
        again += [key[ORDER_ID]["S"] for key in (unprocessed["Keys"] if unprocessed else ())]
    return found, again


def _stored_order(item: Mapping[str, Any]) -> StoredOrder | None:
    try:
        return from_item(item)
    except InvalidOrder as error:
        logger.error("stored item is no order", extra={"field": error.field, "rule": error.rule})
        return None


def _chunks(names: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(names)
    while chunk := list(islice(rest, size)):
        yield chunk
