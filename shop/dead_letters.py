"""Reading dead-letter queues, and why each message of the pipeline's is there.

SQS keeps no reason with a dead-lettered message. It is found again here, by the validation that the processor runs and
by comparing with what is stored. Reading a queue means receiving: every message is given back at the end, and its
receive count has risen by one.
"""

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from shop.errors import ShopError
from shop.health import depth
from shop.http_client import Backoff
from shop.order_rules import InvalidOrder, Order, decode_order, from_item
from shop.orders import claimed_id
from shop.output import moment, note, plural
from shop.queues import queue_name
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
BATCH = 10
"""Messages a call: the most of each of SQS's batch calls."""
ORDERS = "orders"
ANNOUNCEMENTS = "announcements"


@dataclass(frozen=True)
class DeadLetter:
    """One message in a dead-letter queue."""

    queue: str
    """The queue's name on the command line, such as `orders`."""
    message_id: str
    orderID: str | None  # noqa: N815  (the field's name in the contract)
    reason: str
    receive_count: int
    sent_at: str
    """When SQS first took the message, RFC 3339 in UTC."""
    attributes: dict[str, str]
    body: str


@dataclass(frozen=True)
class FailureQueue:
    """One of the app's dead-letter queues or failure queues."""

    name: str
    """What it is called on the command line."""
    url: str
    judge: Callable[[Sequence["MessageTypeDef"]], list[DeadLetter]]
    """Returns received messages with the reason of each, in their sequence."""


def order_queues(target: Target) -> list[FailureQueue]:
    """Return where the pipeline's failures end: orders that were not stored, and batches that were not announced."""
    return [
        FailureQueue(ORDERS, target.output("OrdersDeadLetterQueueUrl"), partial(_judge_orders, target)),
        FailureQueue(ANNOUNCEMENTS, target.output("UnannouncedOrdersQueueUrl"), _judge_batches),
    ]


def read_all(target: Target, limit: int | None = None) -> list[DeadLetter]:
    """Return what the pipeline's dead-letter queues hold, oldest first in each, at most `limit` of each queue.

    Messages that another reader holds are not among them; a note on stderr says how many.
    """
    sqs: SQSClient = target.client("sqs")
    return [letter for queue in order_queues(target) for letter in read(sqs, queue, limit)]


def read(sqs: "SQSClient", queue: FailureQueue, limit: int | None = None) -> list[DeadLetter]:
    """Return what a queue holds, oldest first, at most `limit` messages; each is received and given back."""
    with received(sqs, queue.url, limit) as messages:
        letters = queue.judge(messages)
    return sorted(letters, key=lambda letter: letter.sent_at)


@contextmanager
def received(sqs: "SQSClient", url: str, limit: int | None = None) -> Iterator[list["MessageTypeDef"]]:
    """Hold a queue's messages for the length of the block, then give every one back, whatever happened in it.

    Receives until no new message comes, or until there are `limit`. A message is hidden for at most `HOLD_SECONDS`.
    """
    with Reader(sqs, url).open() as reader:
        yield [message for batch in reader.batches(limit=limit) for message in batch]


class Reader:
    """Takes each message of a queue once; what is not deleted is given back when it is closed.

    SQS shows a message again `HOLD_SECONDS` after it was received, so one may come more than once while a long queue
    is worked through: it is passed over, and hidden for as long again.
    """

    def __init__(self, sqs: "SQSClient", url: str) -> None:
        self._sqs = sqs
        self._url = url
        self._seen: set[str] = set()
        self._held: dict[str, str] = {}

    @contextmanager
    def open(self) -> Iterator["Reader"]:
        """Give this reader for the length of a block, then give back what it holds, whatever happened in it."""
        try:
            _note_hidden(self._sqs, self._url)
            yield self
        finally:
            give_back(self._sqs, self._url, list(self._held.values()))

    def batches(self, size: int = BATCH, limit: int | None = None) -> Iterator[list["MessageTypeDef"]]:
        """Yield messages that are new to this reader, at most `size` (1 to 10) at a time and `limit` in all.

        Ends when the queue gives nothing any more, or only messages that came before: as many calls of those as it
        takes to hide all that is held once more.
        """
        vain = 0
        while vain <= len(self._held) // BATCH and (limit is None or len(self._seen) < limit):
            batch = _receive(self._sqs, self._url, size if limit is None else min(size, limit - len(self._seen)))
            if not batch:
                return
            # The newest receipt handle is the one that counts.
            self._held.update((message["MessageId"], message["ReceiptHandle"]) for message in batch)
            new = {message["MessageId"]: message for message in batch if message["MessageId"] not in self._seen}
            self._seen.update(new)
            vain = 0 if new else vain + 1
            if new:
                yield list(new.values())

    def delete(self, message_ids: Sequence[str]) -> None:
        """Delete messages by the handles of this very receive; a note on stderr says how many SQS kept."""
        kept = 0
        for start in range(0, len(message_ids), BATCH):
            chunk = message_ids[start : start + BATCH]
            answer = self._sqs.delete_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(index), "ReceiptHandle": self._held[message_id]}
                    for index, message_id in enumerate(chunk)
                ],
            )
            refused = {int(entry["Id"]) for entry in answer.get("Failed", [])}
            for index, message_id in enumerate(chunk):
                if index not in refused:
                    del self._held[message_id]
            kept += len(refused)
        if kept:
            note(f"{queue_name(self._url)}: {plural(kept, 'message')} not deleted, which stays and can be repeated")


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
    for start in range(0, len(receipt_handles), BATCH):
        chunk = receipt_handles[start : start + BATCH]
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


def _judge_orders(target: Target, messages: Sequence["MessageTypeDef"]) -> list[DeadLetter]:
    verdicts = [check(message["Body"], fallback_id(message)) for message in messages]
    valid = [verdict for verdict in verdicts if isinstance(verdict, Order)]
    stored = stored_orders(target.client("dynamodb"), target.output("OrdersTableName"), {o.order_id for o in valid})
    return [
        make_letter(ORDERS, message, verdict.order_id, compare(verdict, stored.get(verdict.order_id)))
        if isinstance(verdict, Order)
        else make_letter(ORDERS, message, claimed_id(message["Body"].encode()), verdict)
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


def _judge_batches(messages: Sequence["MessageTypeDef"]) -> list[DeadLetter]:
    return [make_letter(ANNOUNCEMENTS, message, None, failed_batch(message["Body"])) for message in messages]


class _Context(msgspec.Struct):
    condition: str = "no condition given"


_SequenceNumber = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,40}\Z")]
"""At most 40 digits (DynamoDB API Reference, "StreamRecord")."""


class StreamBatch(msgspec.Struct, rename="camel"):
    """Where a batch of records is in a table's stream (`DDBStreamBatchInfo`)."""

    batch_size: Annotated[int, msgspec.Meta(ge=1)]
    shard_id: str
    start_sequence_number: _SequenceNumber
    end_sequence_number: _SequenceNumber
    stream_arn: str | None = None
    approximate_arrival_of_first_record: datetime | None = None
    approximate_arrival_of_last_record: datetime | None = None


class FailedBatch(msgspec.Struct):
    """What a stream's failure destination gets (Lambda Developer Guide, "Retain discarded records")."""

    batch: StreamBatch = msgspec.field(name="DDBStreamBatchInfo")
    context: _Context = msgspec.field(name="requestContext", default_factory=_Context)


def read_batch(body: str) -> FailedBatch | None:
    """Return the batch that a message of the failure queue tells of; None where it tells of none."""
    try:
        return msgspec.json.decode(body, type=FailedBatch)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None


NO_BATCH = "not a record of a failed stream batch"


def failed_batch(body: str) -> str:
    """Return what a message of the failure queue says: it has no records in it."""
    failed = read_batch(body)
    if failed is None:
        return NO_BATCH
    batch = failed.batch
    return (
        f"not announced ({failed.context.condition}): {plural(batch.batch_size, 'stream record')} of {batch.shard_id}, "
        f"{batch.start_sequence_number} to {batch.end_sequence_number}"
    )


def make_letter(queue: str, message: "MessageTypeDef", order_id: str | None, reason: str) -> DeadLetter:
    """Return a received message of the queue of that name, with the reason that was found for it."""
    system: Mapping[str, str] = message.get("Attributes", {})  # type: ignore[assignment]
    return DeadLetter(
        queue=queue,
        message_id=message["MessageId"],
        orderID=order_id,
        reason=reason,
        receive_count=int(system.get("ApproximateReceiveCount", 0)),
        sent_at=utc(int(system.get("SentTimestamp", 0))),
        attributes={name: attribute_text(value) for name, value in message.get("MessageAttributes", {}).items()},
        body=message["Body"],
    )


def row(letter: DeadLetter) -> tuple[object, ...]:
    """Return a dead letter's cells for a table: its queue, what names it, the reason, when sent, how often received."""
    name = letter.orderID or letter.message_id
    return (letter.queue, name, letter.reason, moment(letter.sent_at), letter.receive_count)


def fields(letter: DeadLetter) -> list[tuple[str, object]]:
    """Return all of a dead letter as rows of name and value."""
    return [
        ("queue", letter.queue),
        ("message id", letter.message_id),
        ("orderID", letter.orderID),
        ("reason", letter.reason),
        ("sent at", letter.sent_at),
        ("receives", letter.receive_count),
        *((f"attribute {name}", value) for name, value in sorted(letter.attributes.items())),
        ("body", letter.body),
    ]


def attribute_text(value: Mapping[str, Any]) -> str:
    """Return a message attribute as text, a binary one in base64 as SQS itself writes it."""
    text: str | None = value.get("StringValue")
    return text if text is not None else base64.b64encode(value.get("BinaryValue", b"")).decode("ascii")


def utc(milliseconds: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
