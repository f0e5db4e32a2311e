"""Puts back into the orders table what it lacks of a table that was restored beside it, and overwrites nothing.

DynamoDB restores into a new table only (DynamoDB Developer Guide, "Restoring a table to a point in time"), while the
stack, its stream and its functions belong to the old one. So the orders come back by being written there again. Each
is then a new item of the stream: it is announced once more with its `deduplication_id`, and recorded once all the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError

from shop.dead_letters import stored_orders
from shop.errors import ShopError
from shop.order_rules import InvalidOrder, Order, from_item
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = Mapping[str, Any]
"""In the low-level form of the DynamoDB API, so that what is copied is what was there."""

WRITERS: Final = 8
"""Conditional writes at the same time; each is one order, so that none that is there can be replaced."""
SHOWN: Final = 20
"""Ids of a kind that a person is shown; JSON has all of them."""
_ATTEMPTS: Final = 10
"""Of each call: a table that was idle for long takes a while to keep up with many writes."""
_KEY: Final = [{"AttributeName": "orderID", "KeyType": "HASH"}]


@dataclass(frozen=True)
class Restoration:
    """How two tables compare, and what was copied: `read` = `there` + `missing` + conflicts + what is no order."""

    read: int = 0
    """Items of the restored table that were looked at."""
    there: int = 0
    """Orders that the live table has, with the same content."""
    missing: int = 0
    """Orders that the live table lacked."""
    copied: int = 0
    """Orders among them that are in the live table now."""
    conflicts: tuple[str, ...] = ()
    """Ids under which the live table has something else; it stays."""
    no_orders: tuple[str, ...] = ()
    """Ids of items that break the rules of an order; they are not copied, since nobody could announce them."""

    def __add__(self, other: "Restoration") -> "Restoration":
        return Restoration(
            self.read + other.read,
            self.there + other.there,
            self.missing + other.missing,
            self.copied + other.copied,
            self.conflicts + other.conflicts,
            self.no_orders + other.no_orders,
        )


def restore(
    target: Target, source: str, *, go: bool, on_page: Callable[[Restoration], None] = lambda _: None
) -> Restoration:
    """Compare the restored table `source` with the target's orders table; with `go`, copy what is missing there.

    What was interrupted may be repeated: orders that were copied are then there. `on_page` is told how far it came.
    Raises ShopError when `source` is no table of orders, or is the orders table itself.
    """
    config = Config(max_pool_connections=WRITERS, retries={"mode": "standard", "total_max_attempts": _ATTEMPTS})
    dynamodb: DynamoDBClient = target.client("dynamodb", config)
    live = target.output("OrdersTableName")
    _check(dynamodb, source, live)
    so_far = Restoration()
    with ThreadPoolExecutor(WRITERS) as threads:
        for items in _pages(dynamodb, source):
            found, missing = _compare(items, stored_orders(dynamodb, live, set(items)))
            so_far += found
            if go and missing:
                so_far += _copy(dynamodb, live, missing, threads)
            on_page(so_far)
    return so_far


def rows(result: Restoration) -> list[tuple[str, int]]:
    """Return the counts for a person."""
    return [
        ("items in the restored table", result.read),
        ("in the orders table already", result.there),
        ("missing there", result.missing),
        ("copied", result.copied),
        ("there with other content", len(result.conflicts)),
        ("no orders", len(result.no_orders)),
    ]


def _check(dynamodb: "DynamoDBClient", source: str, live: str) -> None:
    if source == live:
        raise ShopError(f"--from: {source} is the orders table itself, not a restored one")
    try:
        table = dynamodb.describe_table(TableName=source)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        raise ShopError(f"--from: there is no table {source}") from None
    if table["KeySchema"] != _KEY:
        raise ShopError(f"--from: {source} is no table of orders: its key is not orderID alone")
    if table["TableStatus"] != "ACTIVE":
        raise ShopError(f"--from: {source} is not ready: {table['TableStatus']}")


def _pages(dynamodb: "DynamoDBClient", source: str) -> Iterator[dict[str, Item]]:
    """Yield the items of the restored table by their ids, a page of the scan at a time."""
    for page in dynamodb.get_paginator("scan").paginate(TableName=source, ConsistentRead=True):
        yield {item["orderID"]["S"]: item for item in page["Items"]}


def _compare(items: Mapping[str, Item], live: Mapping[str, Item]) -> tuple[Restoration, list[Item]]:
    """Return how the items stand against those that the live table has of the same ids, and which it lacks."""
    orders = {order_id: _order(item) for order_id, item in items.items()}
    known = {order_id: order for order_id, order in orders.items() if order is not None}
    missing = [items[order_id] for order_id in known if order_id not in live]
    conflicts = tuple(each for each in known if each in live and _order(live[each]) != known[each])
    no_orders = tuple(order_id for order_id, order in orders.items() if order is None)
    there = len(known) - len(missing) - len(conflicts)
    return Restoration(len(items), there, len(missing), 0, conflicts, no_orders), missing


def _order(item: Item) -> Order | None:
    """Return the order in an item, without when and how it came: a copy of it that came later is the same order."""
    try:
        return from_item(item).order
    except InvalidOrder:
        return None


def _copy(dynamodb: "DynamoDBClient", live: str, missing: Sequence[Item], threads: Executor) -> Restoration:
    """Write what is missing; return what that adds to the counts, conflicts with what came meanwhile among it."""
    written = list(threads.map(lambda item: _put(dynamodb, live, item), missing))
    beaten = {item["orderID"]["S"]: item for item, done in zip(missing, written, strict=True) if not done}
    if not beaten:
        return Restoration(copied=len(missing))
    again, _ = _compare(beaten, stored_orders(dynamodb, live, set(beaten)))
    return Restoration(
        there=again.there,
        missing=-again.there - len(again.conflicts),
        copied=len(missing) - len(beaten),
        conflicts=again.conflicts,
    )


def _put(dynamodb: "DynamoDBClient", live: str, item: Item) -> bool:
    """Write one item unless its id is taken; return whether it was written."""
    try:
        dynamodb.put_item(TableName=live, Item=item, ConditionExpression="attribute_not_exists(orderID)")
    except ClientError as error:
        if error.response["Error"].get("Code") != "ConditionalCheckFailedException":
            raise
        return False
    return True
