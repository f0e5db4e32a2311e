"""Sends dead-lettered messages back to where they failed, or deletes them.

A message is sent first and deleted after, by the handle of this very receive, so that one is never lost; what is
stopped half-way is simply repeated, because every target takes the same order, sale, image or event twice without
harm (an announcement comes a second time under the same `deduplication_id`). What cannot be sent stays, with the
reason. All that was received is deleted or given back, whatever happens.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from shop import announcements
from shop.dead_letter_queues import Filters, Place
from shop.dead_letters import (
    ANNOUNCEMENTS,
    BATCH,
    NO_BATCH,
    ORDERS,
    ORIGINAL_ID,
    DeadLetter,
    Reader,
    check,
    compare,
    fallback_id,
    read_batch,
    stored_orders,
)
from shop.errors import ShopError, explain
from shop.health import depth
from shop.json_merge_patch import NotEditable, Patch, edit
from shop.move_task import move
from shop.order_rules import InvalidEvent, StoredOrder, announce, read_day
from shop.output import plural
from shop.sales_dead_letters import REPORTS, SALES, SCHEDULE, check_sale, is_watch, read_run
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

RATE: Final = 100.0
"""Messages a second unless told otherwise: some way below what one processor's functions take."""
LOWEST_RATE: Final = 0.5
"""Slower than that, a message would be visible again before its turn comes."""
_DENIED: Final = ("AccessDenied", "AuthorizationError", "KMSAccessDenied", "NotAuthorized")
_ANY_ZONE: Final = ZoneInfo("UTC")

Change = Patch | Callable[[str], Patch]
"""A merge patch for bodies of orders and sales; or what finds it for a body, or raises NotEditable. Where what is found
is empty, the body goes back byte for byte.
"""

State = Literal["sent", "deleted", "kept", "would be sent", "would be deleted"]


@dataclass(frozen=True)
class Outcome:
    """What became of one message, or would become of it."""

    queue: str
    message_id: str
    orderID: str | None  # noqa: N815  (the field's name in the contract)
    state: State
    detail: str
    """Where it goes, or why it stays."""
    messages: int = 1
    """More where SQS moved a whole queue, whose messages were not looked at; `message_id` is then empty."""


@dataclass(frozen=True)
class Redrive:
    """What a redrive is asked to do."""

    filters: Filters
    patch: Change | None = None
    rate: float = RATE
    """Messages and announcements a second."""
    received_within: timedelta | None = None
    """How far back orders of an aged-out batch are looked for. Where it is not said, the default is taken and such a
    batch stays: only a person can say that this was far enough."""


class _Refused(Exception):
    """The message cannot be sent; says why."""


class _Delivery(NamedTuple):
    """What sends a message back."""

    detail: str
    calls: Sequence[Callable[[], object]]
    stays: str | None = None
    """Why the message stays all the same once the calls are made."""


class _Pace:
    """Lets a call through so many times a second, whatever thread it comes from."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1 / per_second
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        time.sleep(max(0.0, turn - time.monotonic()))


class _Once:
    """The orders that messages of this run announce, so that no second message does, whatever thread it is in.

    Of batches that have aged out each is looked for among all orders of its time, so every message of an hour would
    announce that hour. An order that is left out is not lost: the message that has it stays unless all of it is sent.
    """

    def __init__(self) -> None:
        self._taken: set[StoredOrder] = set()
        self._lock = threading.Lock()

    def take(self, orders: Sequence[StoredOrder]) -> list[StoredOrder]:
        """Return those that no message had before this one."""
        with self._lock:
            new = [each for each in orders if each not in self._taken]
            self._taken.update(new)
        return new


def waiting(places: Sequence[Place]) -> int:
    """Return about how many messages there are to look at, for a progress bar."""
    return sum(depth(place.where.client("sqs"), place.queue.url).visible for place in places)


def plan(places: Sequence[Place], asked: Redrive, on_message: Callable[[], None] = lambda: None) -> list[Outcome]:
    """Return what `run` would do with each message that the filters take; nothing changes but receive counts."""
    outcomes = []
    for place in places:
        prepare = _way_back(place, asked)
        with Reader(place.where.client("sqs"), place.queue.url).open() as reader:
            for message, letter in _chosen(reader, place, asked.filters, on_message):
                outcomes.append(_would(place, prepare, message, letter))
    return outcomes


def _would(
    place: Place, prepare: Callable[["MessageTypeDef"], _Delivery], message: "MessageTypeDef", letter: DeadLetter
) -> Outcome:
    try:
        delivery = prepare(message)
    except _Refused as refusal:
        return _outcome(letter, "kept", str(refusal))
    except (ClientError, BotoCoreError) as error:
        stopped = _end_of_run(place, error)
        if stopped is not None:
            raise stopped from error
        return _outcome(letter, "kept", explain(error) or str(error))
    detail = delivery.detail if delivery.stays is None else f"{delivery.detail}; stays: {delivery.stays}"
    return _outcome(letter, "would be sent" if delivery.calls or delivery.stays is None else "kept", detail)


def _outcome(letter: DeadLetter, state: State, detail: str) -> Outcome:
    return Outcome(letter.queue, letter.message_id, letter.orderID, state, detail)


def _chosen(
    reader: Reader, place: Place, filters: Filters, on_message: Callable[[], None]
) -> Iterator[tuple["MessageTypeDef", DeadLetter]]:
    for batch in reader.batches():
        for message, letter in zip(batch, place.queue.judge(batch), strict=True):
            on_message()
            if filters.take(letter):
                yield message, letter


def run(places: Sequence[Place], asked: Redrive, on_message: Callable[[], None] = lambda: None) -> list[Outcome]:
    """Send back each message that the filters take, and delete it; return what became of each.

    Raises ShopError where AWS does not let the caller send, or a service cannot be reached: what was sent by then is
    deleted, the rest is where it was.
    """
    pace = _Pace(asked.rate)
    outcomes: list[Outcome] = []
    for place in places:
        moved = _move_all(place, asked, on_message)
        outcomes += _run_queue(place, asked, pace, on_message) if moved is None else moved
    return outcomes


def _move_all(place: Place, asked: Redrive, on_message: Callable[[], None]) -> list[Outcome] | None:
    """Have SQS move a queue's messages where all go and none is changed; None where that is not so, or not possible."""
    destination = _takes_as_it_is(place)
    if destination is None or asked.patch is not None or asked.filters.choose_messages or place.where.cloud is not None:
        return None

    def advance(count: int) -> None:
        for _ in range(count):
            on_message()

    moved = move(place.where.client("sqs"), place.queue.url, destination, asked.rate, advance)
    if moved is None:
        return None
    return [Outcome(place.queue.name, "", None, "sent", "to its queue, by SQS", moved)] if moved else []


def _takes_as_it_is(place: Place) -> str | None:
    """Return the URL of the queue that takes the place's messages without a change; None where there is none."""
    if place.size is not None:
        return place.size.queue_url
    return place.where.output("SalesRecorderQueueUrl") if place.queue.name == SALES else None


def _run_queue(place: Place, asked: Redrive, pace: _Pace, on_message: Callable[[], None]) -> list[Outcome]:
    prepare = _way_back(place, asked)
    outcomes: list[Outcome] = []
    started_ms = time.time_ns() // 1_000_000
    # A batch takes no longer than half of the time that its messages are hidden.
    size = max(1, int(min(BATCH, asked.rate * 10)))
    with (
        Reader(place.where.client("sqs"), place.queue.url).open() as reader,
        ThreadPoolExecutor(BATCH) as threads,
    ):
        for batch in reader.batches(size):
            letters = place.queue.judge(batch)
            # What this run sent may have failed again by now; to send it once more would never end.
            meant = [
                (message, letter)
                for message, letter in zip(batch, letters, strict=True)
                if asked.filters.take(letter) and _sent_ms(message) <= started_ms
            ]
            results = list(threads.map(lambda pair: _send(place, prepare, pace, *pair), meant))
            reader.delete([outcome.message_id for outcome, _ in results if outcome.state == "sent"])
            outcomes += [outcome for outcome, _ in results]
            for _ in batch:
                on_message()
            stopped = next((stop for _, stop in results if stop is not None), None)
            if stopped is not None:
                raise stopped
    return outcomes


def _sent_ms(message: "MessageTypeDef") -> int:
    """When SQS first took the message, which is not changed by its move to the dead-letter queue."""
    return int(message.get("Attributes", {}).get("SentTimestamp", 0))


def _send(
    place: Place,
    prepare: Callable[["MessageTypeDef"], _Delivery],
    pace: _Pace,
    message: "MessageTypeDef",
    letter: DeadLetter,
) -> tuple[Outcome, ShopError | None]:
    """Return what became of a message, and the error that ends the whole run, if it was of that kind."""
    try:
        delivery = prepare(message)
        for call in delivery.calls:
            pace.wait()
            call()
    except _Refused as refusal:
        return _outcome(letter, "kept", str(refusal)), None
    except (ClientError, BotoCoreError) as error:
        return _outcome(letter, "kept", explain(error) or str(error)), _end_of_run(place, error)
    except ShopError as error:
        # The table is throttled: what others of the batch have sent is deleted before the run ends.
        return _outcome(letter, "kept", str(error)), error
    if delivery.stays is not None:
        return _outcome(letter, "kept", f"{delivery.detail}; {delivery.stays}"), None
    return _outcome(letter, "sent", delivery.detail), None


def _end_of_run(place: Place, error: ClientError | BotoCoreError) -> ShopError | None:
    """Return what to tell a person where no other message would fare better."""
    said = explain(error)
    if isinstance(error, ParamValidationError):
        return None
    if not isinstance(error, ClientError):
        return ShopError(f"stopped: {said}; what was not sent is where it was, repeat the command")
    if not error.response["Error"].get("Code", "").removeprefix("AWS.").startswith(_DENIED):
        return None
    if place.queue.name == ORDERS and error.operation_name == "SendMessage":
        advice = "list your IAM principal in operator_principal_arns (stacks/settings.py) and deploy"
        return ShopError(f"the orders queue takes messages from operators only: {advice} ({said})")
    return ShopError(f"your IAM principal may not send messages of {place.queue.name} back ({said})")


def _way_back(place: Place, asked: Redrive) -> Callable[["MessageTypeDef"], _Delivery]:
    """Return what makes a delivery of a message of the queue; it raises _Refused for one that cannot be sent."""
    name, where, patch = place.queue.name, place.where, asked.patch
    sqs: SQSClient = where.client("sqs")
    if name == ORDERS:
        return partial(_order, where, sqs, patch)
    if name == SALES:
        return partial(_sale, sqs, where.output("SalesRecorderQueueUrl"), patch)
    if patch is not None:
        return _refuse_edit
    if place.size is not None:
        return partial(_as_it_is, sqs, place.size.queue_url)
    if name == ANNOUNCEMENTS:
        return partial(_announcements, where, asked.received_within, _Once())
    return partial({REPORTS: _failed_report, SCHEDULE: _missed_report}[name], where)


def _refuse_edit(_: "MessageTypeDef") -> _Delivery:
    raise _Refused("--edit is for orders and sales")


def _order(where: Target, sqs: "SQSClient", patch: Change | None, message: "MessageTypeDef") -> _Delivery:
    """An order on its way to the orders queue, under the id that it had first (DESIGN, `original_message_id`)."""
    body = _edited(message["Body"], patch)
    order = check(body, fallback_id(message))
    if isinstance(order, str):
        raise _Refused(order)
    stored = stored_orders(where.client("dynamodb"), where.output("OrdersTableName"), {order.order_id})
    verdict = compare(order, stored.get(order.order_id))
    if verdict.startswith("conflict"):
        raise _Refused(verdict)
    attributes = {ORIGINAL_ID: {"DataType": "String", "StringValue": message["MessageId"]}, **_attributes(message)}
    call = partial(
        sqs.send_message, QueueUrl=where.output("OrdersQueueUrl"), MessageBody=body, MessageAttributes=attributes
    )
    return _Delivery(f"to the orders queue, as {order.order_id}", [call])


def _sale(sqs: "SQSClient", url: str, patch: Change | None, message: "MessageTypeDef") -> _Delivery:
    body = _edited(message["Body"], patch)
    if reason := check_sale(body):
        raise _Refused(reason)
    return _to_queue(sqs, url, message, body)


def _as_it_is(sqs: "SQSClient", url: str, message: "MessageTypeDef") -> _Delivery:
    return _to_queue(sqs, url, message, message["Body"])


def _to_queue(sqs: "SQSClient", url: str, message: "MessageTypeDef", body: str) -> _Delivery:
    call = partial(sqs.send_message, QueueUrl=url, MessageBody=body, MessageAttributes=_attributes(message))
    return _Delivery("to its queue", [call])


def _edited(body: str, patch: Change | None) -> str:
    if patch is None:
        return body
    try:
        if not callable(patch):
            return edit(body, patch)
        found = patch(body)
        return edit(body, found) if found else body
    except NotEditable as error:
        raise _Refused(f"cannot be edited: body: {error}") from None


def _attributes(message: "MessageTypeDef") -> dict[str, Any]:
    """The message's attributes in the form that SendMessage takes."""
    fields = ("DataType", "StringValue", "BinaryValue")
    found: dict[str, Any] = dict(message.get("MessageAttributes", {}))
    return {
        name: {field: value[field] for field in fields if value.get(field) is not None} for name, value in found.items()
    }


def _announcements(
    where: Target, received_within: timedelta | None, once: _Once, message: "MessageTypeDef"
) -> _Delivery:
    failed = read_batch(message["Body"])
    if failed is None:
        raise _Refused(NO_BATCH)
    try:
        found = announcements.find(where, failed.batch, received_within or announcements.RECEIVED_WITHIN)
    except announcements.Unknown as error:
        raise _Refused(str(error)) from None
    sns: SNSClient = where.client("sns")
    orders = once.take(found.orders)
    calls = [partial(_announce, sns, where.output("OrderTopicArn"), stored) for stored in orders]
    ids = ", ".join(stored.order.order_id for stored in orders)
    detail = f"{plural(len(calls), 'order')} of the {found.source} announced again{': ' if ids else ''}{ids}"
    if len(orders) < len(found.orders):
        detail += f" ({len(found.orders) - len(orders):,} more by other messages)"
    stays = f"{'; '.join(found.no_orders)}: mend the item and repeat, or purge" if found.no_orders else None
    if stays is None and found.is_guess and received_within is None:
        stays = "were these all? then purge it; else repeat with --received-within"
    return _Delivery(detail, calls, stays)


def _announce(sns: "SNSClient", topic: str, stored: StoredOrder) -> None:
    entry: Any = announce(stored, "0")
    sns.publish(TopicArn=topic, **{name: value for name, value in entry.items() if name != "Id"})


def _failed_report(where: Target, message: "MessageTypeDef") -> _Delivery:
    run_ = read_run(message["Body"])
    if run_ is None:
        raise _Refused("not a record of a failed report")
    return _start_report(where, bytes(run_.request_payload))


def _missed_report(where: Target, message: "MessageTypeDef") -> _Delivery:
    if is_watch(message["Body"]):
        raise _Refused("only asked whether the day's report was mailed: see that it was, then purge")
    return _start_report(where, message["Body"].encode())


def _start_report(where: Target, payload: bytes) -> _Delivery:
    """The report's event once more, asynchronously, so that Lambda tries it again and keeps it if it fails again."""
    try:
        event = msgspec.json.decode(payload)
        read_day(event, _ANY_ZONE)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(f"the event is not JSON: {error}") from None
    except InvalidEvent as error:
        raise _Refused(f"the event asks for no day: {error}") from None
    functions: LambdaClient = where.client("lambda")
    call = partial(
        functions.invoke,
        FunctionName=where.output("SalesReportFunctionName"),
        InvocationType="Event",
        Payload=payload,
    )
    named = isinstance(event, dict) and ("date" in event or "scheduled_time" in event)
    return _Delivery(
        "the report is started again" if named else "today's report is started: its event has no day", [call]
    )


def purge_plan(places: Sequence[Place], filters: Filters, on_message: Callable[[], None]) -> list[Outcome]:
    """Return which messages `purge` would delete; nothing changes but receive counts."""
    outcomes = []
    for place in places:
        with Reader(place.where.client("sqs"), place.queue.url).open() as reader:
            outcomes += [
                _outcome(letter, "would be deleted", letter.reason)
                for _, letter in _chosen(reader, place, filters, on_message)
            ]
    return outcomes


def purge(places: Sequence[Place], filters: Filters, file: IO[bytes], on_message: Callable[[], None]) -> list[Outcome]:
    """Delete the messages that the filters take, each batch only once it is written to `file`; return them."""
    outcomes: list[Outcome] = []
    for place in places:
        with Reader(place.where.client("sqs"), place.queue.url).open() as reader:
            for batch in reader.batches():
                letters = [letter for letter in place.queue.judge(batch) if filters.take(letter)]
                export(letters, file)
                os.fsync(file.fileno())
                reader.delete([letter.message_id for letter in letters])
                outcomes += [_outcome(letter, "deleted", letter.reason) for letter in letters]
                for _ in batch:
                    on_message()
    return outcomes


def export(letters: Sequence[DeadLetter], file: IO[bytes]) -> None:
    """Write messages as JSON Lines, whole."""
    file.writelines(msgspec.json.encode(letter) + b"\n" for letter in letters)
    file.flush()


def row(outcome: Outcome) -> tuple[object, ...]:
    """Return an outcome's cells for a table."""
    what = plural(outcome.messages, "message") if not outcome.message_id else outcome.orderID or outcome.message_id
    return (outcome.queue, what, outcome.state, outcome.detail)
