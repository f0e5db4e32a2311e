"""The orders that came last to the processor, and how far each has got, from what the functions log.

The orders table has no index by time, and to scan it would cost more the more there is in it; the logs of the last
hour have every order, those that were refused too, and are read alike on AWS and on the local cloud. Who looks again
reads only what is new. Nothing of an order is known here but its ids and the rule that it broke.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Final

from shop.insights import Found
from shop.logs import Unseen, milliseconds, read
from shop.output import moment
from shop.target import Target
from shop.trace import PROCESSOR, Entry, read_entries, utc_text, worker_groups

if TYPE_CHECKING:
    from mypy_boto3_logs.client import CloudWatchLogsClient

LIMIT: Final = 25
_MOST_KEPT: Final = 1_000
"""Orders that are remembered from look to look, so that a page may be open for days."""
_MOST_STEPS: Final = 10 * _MOST_KEPT
"""More, because what was announced may be read before what was stored: each group is ingested on its own."""
_STEPS: Final = ("announced", "recorded")
_HAS_ORDERS: Final = "%message_id%"


@dataclass(frozen=True)
class LatestOrder:
    """A message that the processor has tried."""

    at: str
    """When SQS took it, or when it was first tried where that is not logged (RFC 3339 in UTC)."""
    message_id: str
    orderID: str | None  # noqa: N815  (the field's name in the contract)
    """None for what was refused: a wrong order's id is not logged."""
    outcome: str
    """`stored`, `duplicate`, or why it was not stored, as the processor logged its last try."""
    detail: str
    """The rule that was broken and which try it was; empty for what is stored."""
    steps: tuple[str, ...]
    """Of `announced` and `recorded` those that are done."""

    @property
    def is_refused(self) -> bool:
        """Whether the processor did not take it the last time that it tried."""
        return self.outcome not in {"stored", "duplicate"}

    @property
    def said(self) -> str:
        """How far it has got, for a person."""
        if self.outcome == "duplicate":
            return "stored already"
        return ", ".join((": ".join(filter(None, (self.outcome, self.detail))), *self.steps))


@dataclass
class LatestOrders:
    """Reads what functions log from a moment on, each line once; may be used by many threads."""

    groups: Mapping[str, str]
    """The functions' log groups: name → step, as `trace.worker_groups` gives them."""
    since: datetime
    pattern: str = ""
    """By which CloudWatch may leave out other lines."""
    _unseen: dict[str, Unseen] = field(init=False)
    _tries: dict[str, tuple[str, Entry]] = field(default_factory=dict)
    """By message: when SQS took it, as far as that is known, and what the last try came to."""
    _steps: dict[str, set[str]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        self._unseen = {group: Unseen(milliseconds(self.since)) for group in self.groups}

    def look(self, logs: "CloudWatchLogsClient", limit: int = LIMIT) -> list[LatestOrder]:
        """Read what is new, and return the latest orders, newest first."""
        with self._lock:
            for group, step in self.groups.items():
                self._take(logs, group, step)
            # Those of one batch have one time; their rows must not change places from look to look.
            newest = sorted(self._tries.items(), key=lambda each: (each[1][0], each[0]), reverse=True)
            self._tries = dict(newest[:_MOST_KEPT])
            while len(self._steps) > _MOST_STEPS:
                del self._steps[next(iter(self._steps))]
            return [self._order(message_id, *found) for message_id, found in newest[:limit]]

    def _take(self, logs: "CloudWatchLogsClient", group: str, step: str) -> None:
        unseen = self._unseen[group]
        for event in unseen.of(read(logs, group, unseen.start_ms, self.pattern)):
            found = Found(datetime.fromtimestamp(event.at_ms / 1000, UTC), group, event.message)
            for entry in read_entries(step, found):
                if entry.message_id is None:
                    continue
                if step == PROCESSOR:
                    self._tried(entry.message_id, entry)
                elif entry.outcome in _STEPS:
                    self._steps.setdefault(entry.message_id, set()).add(entry.outcome)
        unseen.forget()

    def _tried(self, message_id: str, entry: Entry) -> None:
        first, last = self._tries.get(message_id, (utc_text(entry.at), entry))
        # A group's streams are ingested each on its own, so an earlier try may be read after a later one.
        if entry.at >= last.at:
            self._tries[message_id] = (entry.received_at or first, entry)

    def _order(self, message_id: str, at: str, entry: Entry) -> LatestOrder:
        done = self._steps.get(message_id, set())
        steps = tuple(step for step in _STEPS if step in done)
        return LatestOrder(at, message_id, entry.order_id, entry.outcome, entry.detail, steps)


def follow(target: Target, since: datetime) -> LatestOrders:
    """Return a reader of the stage's logs from a moment on; nothing is read yet."""
    # The emulator knows no regular expressions in patterns.
    return LatestOrders(worker_groups(target), since, _HAS_ORDERS if target.cloud is None else "")


def row(order: LatestOrder) -> tuple[object, ...]:
    """Return an order's cells for a table."""
    return (moment(order.at), order.orderID, order.message_id, order.said)
