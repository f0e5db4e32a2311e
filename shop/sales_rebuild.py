"""Has all stored orders recorded in the sales database once more, which adds the sales that it lost.

The orders table is where orders are kept; the sales database is made from their announcements and can be made again.
Each order goes to the recorder's queue as it was announced there, so nobody else hears of it, and the recorder leaves
alone what it has.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from shop.errors import ShopError, explain
from shop.http_client import Backoff
from shop.order_rules import InvalidOrder, announce, batches, from_item
from shop.output import plural
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_sqs.client import SQSClient

_LARGEST_CALL: Final = 1_048_576
"""Bytes of all bodies of one SendMessageBatch together (Amazon SQS API Reference, "SendMessageBatch")."""


@dataclass(frozen=True)
class Rebuild:
    """What became of the items of the orders table: `orders` + what is no order is all of them."""

    orders: int = 0
    sent: int = 0
    """Orders that are on the recorder's queue now."""
    no_orders: tuple[str, ...] = ()
    """Ids of items that break the rules of an order; nobody could record them."""


def rebuild(
    pipeline: Target, sales: Target, *, go: bool, on_page: Callable[[Rebuild], None] = lambda _: None
) -> Rebuild:
    """Count the stored orders; with `go`, send each to the recorder's queue. `on_page` is told how far it came.

    What was interrupted may be repeated: a sale is recorded once however often its order comes.
    Raises ShopError when SQS keeps refusing some of them.
    """
    dynamodb: DynamoDBClient = pipeline.client("dynamodb")
    sqs: SQSClient = sales.client("sqs")
    queue = sales.output("SalesRecorderQueueUrl")
    so_far = Rebuild()
    pages = dynamodb.get_paginator("scan").paginate(TableName=pipeline.output("OrdersTableName"), ConsistentRead=True)
    for page in pages:
        announced, no_orders = _read(page["Items"])
        if go:
            _send(sqs, queue, announced)
        so_far = Rebuild(
            so_far.orders + len(announced), so_far.sent + go * len(announced), so_far.no_orders + no_orders
        )
        on_page(so_far)
    return so_far


def _read(items: Sequence[Any]) -> tuple[list[str], tuple[str, ...]]:
    """Return the announcements of the orders among the items, and the ids of what is none."""
    announced: list[str] = []
    no_orders: list[str] = []
    for item in items:
        try:
            announced.append(announce(from_item(item), "0")["Message"])
        except InvalidOrder:
            no_orders.append(item["orderID"]["S"])
    return announced, tuple(no_orders)


def _send(sqs: "SQSClient", queue: str, bodies: Sequence[str]) -> None:
    for batch in batches(bodies, _bytes, _LARGEST_CALL):
        _send_batch(sqs, queue, batch)


def _bytes(body: str) -> int:
    return len(body.encode())


def _send_batch(sqs: "SQSClient", queue: str, bodies: Sequence[str]) -> None:
    """Send what one call may have; those that SQS refuses for a while are sent again, within bounds."""
    backoff = Backoff()
    entries: Any = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
    failed: Sequence[Any] = ()
    for attempt in range(backoff.attempts):
        try:
            failed = sqs.send_message_batch(QueueUrl=queue, Entries=entries).get("Failed", [])
        except (ClientError, BotoCoreError) as error:
            raise _not_sent(len(entries), explain(error) or str(error)) from None
        if not failed:
            return
        # Its message is wrong, and would be the next time: sending it again would only hold up the answer.
        if final := [each for each in failed if each["SenderFault"] and "Throttl" not in each["Code"]]:
            raise _not_sent(len(failed), _said(final[0]))
        again = {each["Id"] for each in failed}
        entries = [entry for entry in entries if entry["Id"] in again]
        time.sleep(backoff.delay(attempt))
    raise _not_sent(len(failed), _said(failed[0]))


def _said(failure: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (failure["Code"], failure.get("Message"))))


def _not_sent(orders: int, why: str) -> ShopError:
    """What to tell when it ends early: nothing is lost by beginning again."""
    return ShopError(f"{plural(orders, 'order')} not sent: {why} (run it again: a sale is recorded once)")
