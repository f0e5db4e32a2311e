"""What lies in the pipeline's dead-letter queues, and why.

SQS keeps no reason with a dead-lettered message. It is found again here, by the validation that the processor runs and
by comparing with what is stored. Reading a queue means receiving: every message is given back at the end, and its
receive count has risen by one.
"""

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from shop.errors import ShopError
from shop.health import depth
from shop.http_client import Backoff
from shop.order_rules import InvalidOrder, Order, decode_order, from_item
from shop.orders import claimed_id
from shop.output import moment, note, plural
from shop.queues import queue_name, stack_queues
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

HOLD_SECONDS = 60
"""Visibility timeout while a queue is read: what an interrupted reader fails to give back is hidden no longer."""
POLL_SECONDS = 1
"""A long poll asks all of a queue's servers, so one empty answer means no visible message (SQS, "long polling")."""
ORIGINAL_ID = "original_message_id"
"""Message attribute with the id of the message that a redriven copy stands for."""
MAX_KEYS = 100
"""BatchGetItem's limit."""


@dataclass(frozen=True)
class DeadLetter:
    """One message in a dead-letter queue."""

    queue: str
    message_id: str
    orderID: str | None  # noqa: N815  (the field's name in the contract)
    reason: str
    receive_count: int
    sent_at: str
    """When SQS first took the message, RFC 3339 in UTC."""
    attributes: dict[str, str]
    body: str


def read_all(target: Target, limit: int | None = None) -> list[DeadLetter]:
    """Return what the pipeline's dead-letter queues hold, oldest first in each, at most `limit` of each queue.

    Messages that another reader holds are not among them; a note on stderr says how many.
    """
    sqs: SQSClient = target.client("sqs")
    orders_queue = target.output("OrdersDeadLetterQueueUrl")
    letters = []
    for url in dead_letter_queues(target):
        with received(sqs, url, limit) as messages:
            reasons = _order_reasons(target, messages) if url == orders_queue else _batch_reasons(messages)
        letters += sorted((make_letter(url, *row) for row in reasons), key=lambda letter: letter.sent_at)
    return letters


def dead_letter_queues(target: Target) -> list[str]:
    """Return the URLs of the stack's dead-letter queues: the orders' own first, then all but the orders' queue."""
    first = target.output("OrdersDeadLetterQueueUrl")
    others = {queue_name(url): url for url in stack_queues(target, target.stack)}
    for url in (first, target.output("OrdersQueueUrl")):
        others.pop(queue_name(url), None)
    return [first, *others.values()]


@contextmanager
def received(sqs: "SQSClient", url: str, limit: int | None = None) -> Iterator[list["MessageTypeDef"]]:
    """Hold a queue's messages for the length of the block, then give every one back, whatever happened in it.

    Receives until no new message comes, or until there are `limit`. A message is hidden for at most `HOLD_SECONDS`.
    """
    held: dict[str, MessageTypeDef] = {}
    try:
        _note_hidden(sqs, url)
        while limit is None or len(held) < limit:
            batch = _receive(sqs, url, 10 if limit is None else min(10, limit - len(held)))
            new = {message["MessageId"] for message in batch} - held.keys()
            # The newest receipt handle is the one that gives a message back.
            held.update((message["MessageId"], message) for message in batch)
            if not new:
                break
        yield list(held.values())
    finally:
        give_back(sqs, url, [message["ReceiptHandle"] for message in held.values()])


def _note_hidden(sqs: "SQSClient", url: str) -> None:
    hidden = depth(sqs, url).in_flight
    if hidden:
        note(f"{queue_name(url)}: about {plural(hidden, 'message')} held by another reader, not listed")


def _receive(sqs: "SQSClient", url: str, count: int) -> list["MessageTypeDef"]:
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=count,
        VisibilityTimeout=HOLD_SECONDS,
        WaitTimeSeconds=POLL_SECONDS,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    return answer.get("Messages", [])


def give_back(sqs: "SQSClient", url: str, receipt_handles: Sequence[str]) -> None:
    """Make received messages visible again; a note on stderr says how many come back only after the timeout."""
    late = 0
    for start in range(0, len(receipt_handles), 10):
        chunk = receipt_handles[start : start + 10]
        answer = sqs.change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(index), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for index, handle in enumerate(chunk)
            ],
        )
        late += len(answer.get("Failed", []))
    if late:
        note(f"{queue_name(url)}: {plural(late, 'message')} not given back, visible again within {HOLD_SECONDS} s")


def _order_reasons(
    target: Target, messages: Sequence["MessageTypeDef"]
) -> list[tuple["MessageTypeDef", str | None, str]]:
    verdicts = [check(message["Body"], fallback_id(message)) for message in messages]
    valid = [verdict for verdict in verdicts if isinstance(verdict, Order)]
    stored = stored_orders(target.client("dynamodb"), target.output("OrdersTableName"), {o.order_id for o in valid})
    return [
        (message, verdict.order_id, compare(verdict, stored.get(verdict.order_id)))
        if isinstance(verdict, Order)
        else (message, claimed_id(message["Body"].encode()), verdict)
        for message, verdict in zip(messages, verdicts, strict=True)
    ]


def check(body: str, fallback: str) -> Order | str:
    """Return the order in a message, or why the processor refuses it."""
    try:
        return decode_order(body, fallback)
    except InvalidOrder as error:
        return f"invalid: {error}"


def fallback_id(message: "MessageTypeDef") -> str:
    """Return the id of an order that carries none: the attribute of a redriven message, else the message's own id.

    An attribute without text gives an empty id, which is refused, as the processor does it.
    """
    attribute: Mapping[str, Any] | None = message.get("MessageAttributes", {}).get(ORIGINAL_ID)
    return message["MessageId"] if attribute is None else attribute.get("StringValue", "")


def compare(order: Order, item: Mapping[str, Any] | None) -> str:
    """Return why a valid order was dead-lettered, judged by the stored item of its id (DynamoDB's low-level form)."""
    if item is None:
        return "valid and not stored: it can be redriven"
    try:
        stored = from_item(item).order
    except InvalidOrder as error:
        return f"conflict: what is stored as {order.order_id} is no order ({error})"
    different = [name for name, mine, other in zip(Order._fields, order, stored, strict=True) if mine != other]
    if not different:
        return "stored already with the same content: it can be deleted"
    return f"conflict: {order.order_id} is stored with another {', '.join(different)}"


def stored_orders(dynamodb: "DynamoDBClient", table: str, ids: set[str]) -> dict[str, Mapping[str, Any]]:
    """Return the stored items (DynamoDB's low-level form) of those `ids` that the table has, read consistently."""
    ordered = sorted(ids)
    found: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(ordered), MAX_KEYS):
        found.update(
            (item["orderID"]["S"], item) for item in _items(dynamodb, table, ordered[start : start + MAX_KEYS])
        )
    return found


def _items(dynamodb: "DynamoDBClient", table: str, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the stored items of at most `MAX_KEYS` ids; keys that a throttled table hands back are read again."""
    backoff = Backoff()
    keys: Any = [{"orderID": {"S": order_id}} for order_id in ids]
    for attempt in range(backoff.attempts):
        answer = dynamodb.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
        yield from answer["Responses"].get(table, [])
        unprocessed: Mapping[str, Any] = answer.get("UnprocessedKeys", {})
        keys = unprocessed.get(table, {}).get("Keys", [])
        if not keys:
            return
        time.sleep(backoff.delay(attempt))
    raise ShopError(f"table {table}: {plural(len(keys), 'order')} not read in {backoff.attempts} attempts (throttled)")


def _batch_reasons(messages: Sequence["MessageTypeDef"]) -> list[tuple["MessageTypeDef", str | None, str]]:
    return [(message, None, failed_batch(message["Body"])) for message in messages]


class _Context(msgspec.Struct):
    condition: str = "no condition given"


class _Batch(msgspec.Struct, rename="camel"):
    batch_size: int
    shard_id: str
    start_sequence_number: str
    end_sequence_number: str


class _FailedBatch(msgspec.Struct):
    batch: _Batch = msgspec.field(name="DDBStreamBatchInfo")
    context: _Context = msgspec.field(name="requestContext", default_factory=_Context)


def failed_batch(body: str) -> str:
    """Return what a stream's failure destination says (Lambda, "Retain discarded records"): it has no records in it."""
    try:
        failed = msgspec.json.decode(body, type=_FailedBatch)
    except msgspec.MsgspecError:
        return "not a record of a failed stream batch"
    batch = failed.batch
    return (
        f"not announced ({failed.context.condition}): {plural(batch.batch_size, 'stream record')} of {batch.shard_id}, "
        f"{batch.start_sequence_number} to {batch.end_sequence_number}"
    )


def make_letter(url: str, message: "MessageTypeDef", order_id: str | None, reason: str) -> DeadLetter:
    """Return a received message of a dead-letter queue with the reason that was found for it."""
    system: Mapping[str, str] = message.get("Attributes", {})  # type: ignore[assignment]
    return DeadLetter(
        queue=queue_name(url),
        message_id=message["MessageId"],
        orderID=order_id,
        reason=reason,
        receive_count=int(system.get("ApproximateReceiveCount", 0)),
        sent_at=utc(int(system.get("SentTimestamp", 0))),
        attributes={name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()},
        body=message["Body"],
    )


def row(letter: DeadLetter) -> tuple[object, ...]:
    """Return a dead letter's cells for a table: what names it, the reason, when it was sent, how often received."""
    return (letter.orderID or letter.message_id, letter.reason, moment(letter.sent_at), letter.receive_count)


def _attribute(value: Mapping[str, Any]) -> str:
    """Return a message attribute as text, a binary one in base64 as SQS itself writes it."""
    text: str | None = value.get("StringValue")
    return text if text is not None else base64.b64encode(value.get("BinaryValue", b"")).decode("ascii")


def utc(milliseconds: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
