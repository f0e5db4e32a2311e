"""An order's way through the pipeline, put together from the logs of each step, the table and the dead-letter queue.

A way is that of one message: its id is what the client got, and a redriven copy keeps it. Every step logs it, and the
API's access log is joined by the request id that the message carries. Nothing of an order is shown but its ids and the
rule that it broke. The orders queue is not looked into: receiving would count towards an order's three tries.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shop import target as targets
from shop.audit import DEAD, QUEUED, REFUSED, STORED, UNKNOWN, Place, queue_depth
from shop.dead_letters import ORIGINAL_ID, DeadLetter, order_queues, read, stored_orders
from shop.deployed import physical_ids
from shop.errors import ShopError
from shop.health import depth
from shop.insights import ID, MOST_IDS, Found, search
from shop.logs import group_of
from shop.output import note, plural
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

API: Final = "API"
PROCESSOR: Final = "processor"
NOTIFIER: Final = "notifier"
RECORDER: Final = "recorder"
QUEUE: Final = "queue"
_SEQUENCE: Final = (API, QUEUE, PROCESSOR, NOTIFIER, RECORDER)
_FOLLOWS: Final[Mapping[str, tuple[str, ...]]] = {"stored": (NOTIFIER, RECORDER), "announced": (RECORDER,)}
"""By what an entry says: the steps that have something to log of the order only after it."""
_TRIES: Final = 3
"""How often the orders queue delivers a message (the contract)."""
_IN_TABLE: Final = {"stored", "duplicate"}
_ACCESS_LOGS: Final = "OrdersApiAccessLogs"


@dataclass(frozen=True)
class Entry:
    """What one step logged of one order."""

    at: datetime
    source: str
    outcome: str
    """`stored`, `duplicate`, the words of a refusal, `announced`, `recorded`; of the API the HTTP status."""
    message_id: str | None = None
    order_id: str | None = None
    request_id: str | None = None
    received_at: str | None = None
    detail: str = ""

    @property
    def ids(self) -> set[str]:
        """All ids that the entry has."""
        return {each for each in (self.message_id, self.order_id, self.request_id) if each}


@dataclass(frozen=True)
class Step:
    """A station of an order's way."""

    at: str
    """RFC 3339 in UTC, to the millisecond."""
    where: str
    what: str
    ms: int | None
    """Milliseconds since the step before; None for the first."""


@dataclass(frozen=True)
class Way:
    """What became of one message, or of one request that gave none."""

    message_id: str | None
    order_id: str | None
    request_id: str | None
    steps: list[Step]
    place: Place
    now: str
    """Where it is now, and what is missing, in a sentence."""


@dataclass(frozen=True)
class Sources:
    """Where the traces of orders are."""

    target: Target
    groups: Mapping[str, str]
    """The log groups of the steps: name → step."""
    has_recorder: bool
    """Whether sales are recorded in this stage."""
    since: datetime
    now: datetime

    def search(self, ids: Collection[str]) -> list[Entry]:
        """Return what the steps logged of orders with one of these ids."""
        left_out = len(ids) - MOST_IDS
        if left_out > 0:
            note(
                f"what the logs say is looked up for {MOST_IDS:,} of {len(ids):,} message and request ids only: of the "
                f"other {left_out:,} steps are missing here; trace one of their messages by its own id"
            )
        found = search(self.target.client("logs"), list(self.groups), sorted(ids)[:MOST_IDS], self.since, self.now)
        entries = [entry for each in found for entry in read_entries(self.groups[each.group], each)]
        return [entry for entry in entries if not entry.ids.isdisjoint(ids)]


@dataclass
class _Evidence:
    """All that is known of one message."""

    message_id: str | None
    entries: list[Entry] = field(default_factory=list)
    item: Mapping[str, Any] | None = None
    """What is stored by this message, in DynamoDB's low-level form."""
    letter: DeadLetter | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it is known to have got where it was to go, or never to have been taken."""
        return self.item is not None or self.is_refused or any(e.outcome in _IN_TABLE for e in self.entries)

    @property
    def is_refused(self) -> bool:
        """Whether the API took the request for no order."""
        return self.message_id is None and any(e.source == API and not _is_ok(e) for e in self.entries)

    def first(self, name: str) -> str | None:
        """Return the first value that an entry has under this name."""
        return next((value for entry in self.entries if (value := getattr(entry, name))), None)


def trace(target: Target, wanted: str, since: datetime, now: datetime) -> list[Way]:
    """Return the ways of all messages that a message id, request id or orderID stands for, oldest first.

    Raises ShopError for what is no such id, where nothing is known of it, and where the logs cannot be searched.
    """
    if not ID.fullmatch(wanted):
        raise ShopError(f"{wanted!r} is no message id, request id or orderID: 1 to 64 letters, digits, '.', '_', '-'")
    sources = _sources(target, since, now)
    entries = sources.search({wanted})
    item = _stored(target, {wanted}).get(wanted)
    letters = [] if _is_settled(wanted, entries, item) else _dead_letters(target, {wanted, *_ids(entries)})
    related = _joined(entries, item, letters) - {wanted}
    if related:
        entries += sources.search(related)
    items = _stored(target, {entry.order_id for entry in entries if entry.order_id} - {wanted})
    found = _evidence(entries, {**items, **({wanted: item} if item else {})}, letters)
    mine = [each for each in found if _is_about(each, wanted)]
    waiting = queue_depth(target.client("sqs"), target.output("OrdersQueueUrl"))
    if not mine:
        raise ShopError(_unknown(sources, wanted, waiting))
    ways = [way(each, sources, waiting=waiting) for each in mine]
    return sorted(ways, key=lambda each: each.steps[0].at if each.steps else "")


def _unknown(sources: Sources, wanted: str, waiting: int) -> str:
    said = (
        f"{wanted} is unknown in stage {sources.target.stage}: not in the table, not in the orders' dead-letter queue, "
        f"and in no log since {utc_text(sources.since)} (--since looks further back; new lines take a few seconds)"
    )
    # Of an order that is refused the log has the message id alone, until the dead-letter queue shows the rest.
    return f"{said}; it may be in what waits: {_on_queue(waiting)}, which are not looked into" if waiting else said


def _sources(target: Target, since: datetime, now: datetime) -> Sources:
    names = physical_ids(target.client("cloudformation"), target.stack, "AWS::Logs::LogGroup")
    workers = worker_groups(target)
    groups = {**{name: API for name in names if _ACCESS_LOGS in name}, **workers}
    return Sources(target, groups, RECORDER in workers.values(), since, now)


def worker_groups(target: Target) -> dict[str, str]:
    """Return the log groups of the functions that an order passes: name → step, in the order's sequence.

    Without the recorder where sales are not recorded in this stage, and a note says so.
    """
    groups = {
        group_of(target, target.output("OrderProcessorFunctionName")): PROCESSOR,
        group_of(target, target.output("OrderNotifierFunctionName")): NOTIFIER,
    }
    recorder = _recorder(target)
    return {**groups, recorder: RECORDER} if recorder else groups


def _recorder(target: Target) -> str | None:
    try:
        report = targets.at(target, targets.SALES_REPORT)
    except ShopError as error:
        note(f"without the recording of sales: {error}")
        return None
    return group_of(report, report.output("SalesRecorderFunctionName"))


def read_entries(source: str, found: Found) -> Iterator[Entry]:
    """Yield what a log event of a step says of orders: one line of a batch speaks of many."""
    try:
        line = msgspec.json.decode(found.message, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return
    if source == API:
        yield _access(found.at, line)
        return
    done = {PROCESSOR: "stored", NOTIFIER: "announced", RECORDER: "recorded"}[source]
    orders = line.get("orders")
    if isinstance(orders, list):
        for order in orders:
            if isinstance(order, dict):
                yield _entry(found.at, source, _text(order, "outcome") or done, order)
    elif "message_id" in line or "order_id" in line:
        yield _entry(found.at, source, str(line.get("message", "")), line, _refusal(line))


def _entry(at: datetime, source: str, outcome: str, line: Mapping[str, Any], detail: str = "") -> Entry:
    ids = (_text(line, "message_id"), _text(line, "order_id"), _text(line, "request_id"))
    return Entry(at, source, outcome, *ids, _text(line, "received_at"), detail)


def _access(at: datetime, line: Mapping[str, Any]) -> Entry:
    # API Gateway writes `-` for what there is none of.
    error = _text(line, "errorType") or "-"
    detail = "" if error == "-" else error
    return Entry(at, API, str(line.get("status", "")), request_id=_text(line, "requestId"), detail=detail)


def _text(line: Mapping[str, Any], name: str) -> str | None:
    value = line.get(name)
    return value if isinstance(value, str) and value else None


def _refusal(line: Mapping[str, Any]) -> str:
    """The rule that was broken and which try it was; never what the order said."""
    broken = ": ".join(filter(None, (_text(line, "field"), _text(line, "rule"), _text(line, "error"))))
    count = line.get("receive_count")
    tried = f"try {count} of {_TRIES}" if isinstance(count, int) else ""
    return ", ".join(filter(None, (broken, tried)))


def _stored(target: Target, ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    return stored_orders(target.client("dynamodb"), target.output("OrdersTableName"), set(ids)) if ids else {}


def _is_settled(wanted: str, entries: Iterable[Entry], item: Mapping[str, Any] | None) -> bool:
    """Whether there is nothing in the dead-letter queue to look for; looking raises receive counts."""
    items = {wanted: item} if item else {}
    found = [each for each in _evidence(entries, items, []) if _is_about(each, wanted)]
    return bool(found) and all(each.is_settled for each in found)


def _dead_letters(target: Target, ids: set[str]) -> list[DeadLetter]:
    sqs: SQSClient = target.client("sqs")
    orders = order_queues(target)[0]
    if not depth(sqs, orders.url).visible:
        return []
    return [letter for letter in read(sqs, orders) if ids & {letter.message_id, letter.orderID, first_id(letter)}]


def first_id(letter: DeadLetter) -> str:
    """Return the id that a dead letter's order had first: a redriven copy carries it as an attribute."""
    original = letter.attributes.get(ORIGINAL_ID, "")
    return original if ID.fullmatch(original) else letter.message_id


def _joined(entries: Iterable[Entry], item: Mapping[str, Any] | None, letters: Iterable[DeadLetter]) -> set[str]:
    """The message and request ids by which the rest of the way is found."""
    found = {each for entry in entries for each in (entry.message_id, entry.request_id) if each}
    found |= {first_id(letter) for letter in letters}
    stored_by = _message_id(item)
    return {each for each in (*found, stored_by) if each and ID.fullmatch(each)}


def _ids(entries: Iterable[Entry]) -> set[str]:
    return {each for entry in entries if entry.source == PROCESSOR for each in (entry.message_id,) if each}


def _message_id(item: Mapping[str, Any] | None) -> str | None:
    found: str | None = None if item is None else item.get("message_id", {}).get("S")
    return found


def _evidence(
    entries: Iterable[Entry], items: Mapping[str, Mapping[str, Any]], letters: Iterable[DeadLetter]
) -> list[_Evidence]:
    """Sort what was found by message; what names no message is joined by its request or by the stored order."""
    entries = list(entries)
    by_request = {e.request_id: e.message_id for e in entries if e.request_id and e.message_id}
    by_order = {e.order_id: e.message_id for e in entries if e.outcome == "stored" and e.order_id and e.message_id}
    by_order |= {order_id: found for order_id, item in items.items() if (found := _message_id(item))}
    ways: dict[str, _Evidence] = {}

    def of(message_id: str | None, otherwise: str | None) -> _Evidence:
        return ways.setdefault(message_id or otherwise or "", _Evidence(message_id))

    for entry in dict.fromkeys(entries):  # a line with two of the ids was found twice
        message_id = entry.message_id or by_request.get(entry.request_id or "") or by_order.get(entry.order_id or "")
        of(message_id, entry.request_id or entry.order_id).entries.append(entry)
    for order_id, item in items.items():
        of(_message_id(item), order_id).item = item
    for letter in letters:
        of(first_id(letter), None).letter = letter
    return list(ways.values())


def _is_about(found: _Evidence, wanted: str) -> bool:
    ids = {each for entry in found.entries for each in entry.ids} | {found.message_id}
    if found.item is not None:
        ids.add(found.item["orderID"]["S"])
    if found.letter is not None:
        ids |= {found.letter.orderID, found.letter.message_id}
    return wanted in ids


def way(found: _Evidence, sources: Sources, *, waiting: int) -> Way:
    """Return what became of a message; `waiting` is how many are on the orders queue, visible or in flight."""
    order_id = found.first("order_id")
    if order_id is None and found.item is not None:
        order_id = found.item["orderID"]["S"]
    if order_id is None and found.letter is not None:
        order_id = found.letter.orderID
    place, now = _place(found, sources, waiting)
    return Way(found.message_id, order_id, found.first("request_id"), list(_steps(found)), place, now)


def _steps(found: _Evidence) -> Iterator[Step]:
    told = [(_happened(entry, found.entries), entry.source, _what(entry)) for entry in found.entries]
    received_at = _received_at(found)
    if received_at is not None:
        was_tried = any(entry.source == PROCESSOR and entry.at < received_at for entry in found.entries)
        told.append((received_at, QUEUE, "accepted again (redriven)" if was_tried else "accepted"))
    before: datetime | None = None
    for at, where, what in sorted(told, key=lambda each: (each[0], _SEQUENCE.index(each[1]))):
        ms = None if before is None else round((at - before).total_seconds() * 1000)
        yield Step(utc_text(at), where, what, ms)
        before = at


def _happened(entry: Entry, entries: Iterable[Entry]) -> datetime:
    """When it had happened at the latest: a step logs after its work, what follows from that perhaps before it."""
    follows = _FOLLOWS.get(entry.outcome, ())
    return min([entry.at, *(each.at for each in entries if each.source in follows)])


def _received_at(found: _Evidence) -> datetime | None:
    """When SQS first took the message: of a redriven one it is the time of the redrive."""
    text = found.first("received_at")
    if text is None and found.item is not None:
        text = found.item["received_at"]["S"]
    if text is None and found.letter is not None:
        text = found.letter.sent_at
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _what(entry: Entry) -> str:
    if entry.source == API:
        said = f"accepted ({entry.outcome})" if _is_ok(entry) else f"refused ({entry.outcome})"
    else:
        said = "the same order is stored already" if entry.outcome == "duplicate" else entry.outcome
    return f"{said}: {entry.detail}" if entry.detail else said


def _is_ok(entry: Entry) -> bool:
    return entry.outcome.startswith("2")


def _place(found: _Evidence, sources: Sources, waiting: int) -> tuple[Place, str]:
    if found.is_refused:
        return REFUSED, "The API refused it: it was never on the queue."
    if found.is_settled:
        return STORED, _stored_and(found, sources)
    if found.letter is not None:
        option = targets.stage_option(sources.target.stage)
        command = f".venv/bin/python -m shop dlq show {found.letter.message_id}{option}"
        return DEAD, f"In the orders' dead-letter queue; {command} shows why."
    if any(entry.source == PROCESSOR for entry in found.entries):
        return _tried(waiting)
    if waiting:
        return QUEUED, f"Waits for the processor ({_on_queue(waiting)})."
    return UNKNOWN, "Accepted, and the orders queue is empty: its lines are not in the logs yet, or are no longer."


def _tried(waiting: int) -> tuple[Place, str]:
    if waiting:
        return QUEUED, f"Not stored: it is tried again, or has just been set aside ({_on_queue(waiting)})."
    return UNKNOWN, (
        "Not stored, and no longer on the queue: it is being moved to the dead-letter queue, or a reader of that "
        "queue holds it, or it was deleted there."
    )


def _on_queue(waiting: int) -> str:
    return f"{plural(waiting, 'message')} on the orders queue"


def _stored_and(found: _Evidence, sources: Sources) -> str:
    done_by = {entry.source for entry in found.entries if entry.outcome in {"announced", "recorded"}}
    if all(entry.outcome != "stored" for entry in found.entries) and found.item is None:
        return "Nothing is missing: the same order was stored by another message, which has its announcement."
    wanted = {NOTIFIER: "announced", RECORDER: "recorded"} if sources.has_recorder else {NOTIFIER: "announced"}
    done = [word for source, word in wanted.items() if source in done_by]
    missing = [word for source, word in wanted.items() if source not in done_by]
    said = f"{_listed(['Stored', *done])}."
    if not missing:
        return said
    received_at = _received_at(found)
    if received_at is not None and received_at < sources.since:
        return f"{said} Whether it was {' and '.join(missing)} is in older logs: --since looks further back."
    said += f" Not {' and not '.join(missing)} yet, as far as the logs go"
    return f"{said}; if it stays so, see status and dlq list."


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def utc_text(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rows(found: Way) -> list[tuple[object, ...]]:
    """Return the steps of a way for a table."""
    return [(step.at, "" if step.ms is None else f"{step.ms:,}", step.where, step.what) for step in found.steps]


def title(found: Way) -> str:
    """Return what names a way: its ids, as far as they are known."""
    ids = (("Order", found.order_id), ("message", found.message_id), ("request", found.request_id))
    return ", ".join(f"{name} {each}" for name, each in ids if each)
