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
from shop.deployed import stacks
from shop.errors import ShopError
from shop.order_rules import InvalidOrder, Order, from_item
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TableDescriptionTypeDef

Item = Mapping[str, Any]
"""In the low-level form of the DynamoDB API, so that what is copied is what was there."""

WRITERS: Final = 8
"""Conditional writes at the same time; each is one order, so that none that is there can be replaced."""
SHOWN: Final = 20
"""Ids of a kind that a person is shown; JSON has all of them."""
_ATTEMPTS: Final = 10
"""Of each call: a table that was idle for long takes a while to keep up with many writes."""
_STACK_TAG: Final = "aws:cloudformation:stack-name"
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
    other_source: str | None = None
    """ARN of the table that the restored one was made of, where that is not the orders table."""

    def __add__(self, other: "Restoration") -> "Restoration":
        return Restoration(
            self.read + other.read,
            self.there + other.there,
            self.missing + other.missing,
            self.copied + other.copied,
            self.conflicts + other.conflicts,
            self.no_orders + other.no_orders,
            self.other_source or other.other_source,
        )


def restore(
    target: Target,
    source: str,
    *,
    go: bool,
    not_restored: bool = False,
    on_page: Callable[[Restoration], None] = lambda _: None,
) -> Restoration:
    """Compare the restored table `source` with the target's orders table; with `go`, copy what is missing there.

    What was interrupted may be repeated: orders that were copied are then there. `on_page` is told how far it came.
    Raises ShopError when `source` is no table of orders, or is one that a stack uses, the orders table among them; and
    when DynamoDB does not say that it was restored, unless `not_restored` says that this is known.
    """
    config = Config(max_pool_connections=WRITERS, retries={"mode": "standard", "total_max_attempts": _ATTEMPTS})
    dynamodb: DynamoDBClient = target.client("dynamodb", config)
    live = target.output("OrdersTableName")
    table = _describe(dynamodb, source)
    live_arn = dynamodb.describe_table(TableName=live)["Table"]["TableArn"]
    _check_unused(target, dynamodb, table, live_arn)
    _check_usable(table)
    origin = _check_restored(target, table, not_restored=not_restored)
    so_far = Restoration(other_source=None if origin == live_arn else origin)
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


def _describe(dynamodb: "DynamoDBClient", source: str) -> "TableDescriptionTypeDef":
    try:
        return dynamodb.describe_table(TableName=source)["Table"]
    except dynamodb.exceptions.ResourceNotFoundException:
        raise ShopError(f"--from: there is no table {source}") from None


def _check_unused(target: Target, dynamodb: "DynamoDBClient", table: "TableDescriptionTypeDef", live_arn: str) -> None:
    """Refuse a table in use: another stage's orders would be announced and recorded in this one."""
    name, arn = table["TableName"], table["TableArn"]
    if arn == live_arn:
        raise ShopError(f"--from: {name} is the orders table itself, not a restored one")
    maker = _maker(dynamodb, arn)
    for stack in stacks(target.client("cloudformation")):
        # A table may be imported into a stack, and so have another's tag or none; one that was kept has a stack's
        # tag when the stack is long gone.
        told = {output["OutputValue"] for output in stack.get("Outputs", [])}
        if stack["StackName"] == maker or not told.isdisjoint({name, arn}):
            raise ShopError(f"--from: {name} is in use: it belongs to stack {stack['StackName']}")


def _maker(dynamodb: "DynamoDBClient", arn: str) -> str | None:
    """Return the stack that made a table: CloudFormation tags what it makes, and a restore copies no tags."""
    pages = dynamodb.get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
    return next((tag["Value"] for page in pages for tag in page["Tags"] if tag["Key"] == _STACK_TAG), None)


def _check_usable(table: "TableDescriptionTypeDef") -> None:
    name = table["TableName"]
    if table["KeySchema"] != _KEY:
        raise ShopError(f"--from: {name} is no table of orders: its key is not orderID alone")
    if table["TableStatus"] != "ACTIVE":
        raise ShopError(f"--from: {name} is not ready: {table['TableStatus']}")


def _check_restored(target: Target, table: "TableDescriptionTypeDef", *, not_restored: bool) -> str | None:
    """Return the ARN of the table that this one was restored from, None where DynamoDB does not say."""
    summary = table.get("RestoreSummary")
    # The emulator does not tell a restored table from another.
    if summary is None and target.cloud is None and not not_restored:
        raise ShopError(
            f"--from: {table['TableName']} was not restored from anything, as far as DynamoDB knows; if it is a copy "
            "of the orders table all the same, say --not-restored"
        )
    return None if summary is None else summary.get("SourceTableArn")


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
