"""The demo's books: what was sent, where each order ended, and whether the counts add up.

Pure: it is given what was seen and says what is missing. Everything is counted by this run's own ids, so that what an
earlier run or somebody else left in the cloud changes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from shop.dead_letters import DeadLetter
from shop.local.mailbox import Mail
from shop.order_rules import day_of
from shop.orders import Answer
from shop.report import Report

End = Literal["stored", "refused", "stored once", "dead-lettered"]
"""Where an order should end; `stored once` is a copy of an order that is stored already."""


@dataclass(frozen=True)
class Planned:
    """One hand-made order: what it shows, the body to send, and where it should end."""

    shows: str
    body: bytes
    end: End


@dataclass(frozen=True)
class Sales:
    """One day's sales report, before and after a run of the demo."""

    before: Report
    after: Report
    sold: int
    """Quantity of the orders stored in this run that are of that day."""
    mail: Mail | None
    """The later report as a subscriber got it; None where it did not come."""
    alone: bool = True
    """Whether nobody else sent orders meanwhile; else the report may have grown by theirs too."""

    def differences(self) -> list[str]:
        """Return what is wrong with the report, each as one line."""
        lines = []
        if self.growth < self.sold or (self.alone and self.growth > self.sold):
            lines.append(f"the report of {self.after.date} counts {self.growth} more where {self.sold} were stored")
        if self.mail is None:
            lines.append(f"the report of {self.after.date} was made but not mailed")
        return lines

    @property
    def growth(self) -> int:
        """By how much the report's overall quantity has grown."""
        return self.after.quantity - self.before.quantity


def sold_on(items: Iterable[Mapping[str, Any]], day: str, zone: ZoneInfo) -> int:
    """Return the quantity of the stored orders that are of a day: by `order_date`, else by `received_at`."""
    return sum(int(item["quantity"]["N"]) for item in items if _day(item, zone) == day)


def _day(item: Mapping[str, Any], zone: ZoneInfo) -> str:
    moment: str = item.get("order_date", item["received_at"])["S"]
    return day_of(datetime.fromisoformat(moment), zone).isoformat()


@dataclass(frozen=True)
class Resized:
    """What came of the demo's picture in one size; the measures in pixels, as the file itself has them."""

    size: str
    state: str
    """`made`, or what became of it instead."""
    expected: tuple[int, int]
    """Width and height that the picture should have in this size."""
    measures: tuple[int, int] | None = None
    bytes: int | None = None
    file: str | None = None
    """Where the demo wrote it."""


@dataclass(frozen=True)
class Picture:
    """The demo's picture, its measures as one sees it upright."""

    name: str
    measures: tuple[int, int]
    bytes: int
    sizes: list[Resized]

    def differences(self) -> list[str]:
        """Return what is wrong with the sizes, each as one line."""
        return [line for each in self.sizes if (line := _wrong_size(each))]


def _wrong_size(resized: Resized) -> str | None:
    if resized.measures is None:
        return f"the picture's {resized.size} was not made: {resized.state}"
    if resized.measures == resized.expected:
        return None
    return f"the picture's {resized.size} has {measured(resized.measures)} where {measured(resized.expected)} should be"


def measured(measures: tuple[int, int]) -> str:
    """Return width and height in pixels for a person."""
    return f"{measures[0]:,} x {measures[1]:,} pixels"


def fitted(measures: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return the measures of an image that is made to fit a box: aspect kept, never enlarged, at least a pixel."""
    scale = min(1.0, *(limit / length for limit, length in zip(box, measures, strict=True)))
    width, height = (max(1, round(length * scale)) for length in measures)
    return width, height


@dataclass(frozen=True)
class Ledger:
    """One run of the demo, as far as it has come."""

    sent: list[tuple[Planned, Answer]] = field(default_factory=list)
    simulated: int = 0
    simulated_invalid: int = 0
    simulator_prefix: str | None = None
    """What the order ids of this run's simulated orders start with; None until some of them were seen."""
    stored: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Stored items of this run by order id."""
    announced: list[Mail] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    sales: Sales | None = None
    """The day's report; None before it is made, and where the sales report is not deployed."""
    picture: Picture | None = None
    """None before it is uploaded."""

    @property
    def accepted(self) -> int:
        """Messages that the queue took in this run."""
        return sum(answer.refusal is None for _, answer in self.sent) + self.simulated

    @property
    def distinct(self) -> int:
        """Accepted messages without those that repeat an accepted order."""
        return self.accepted - sum(plan.end == "stored once" and answer.refusal is None for plan, answer in self.sent)

    @property
    def expected_dead(self) -> int:
        """Accepted messages that should end in the dead-letter queue."""
        invalid = sum(plan.end == "dead-lettered" and answer.refusal is None for plan, answer in self.sent)
        return invalid + self.simulated_invalid

    @property
    def own_ids(self) -> set[str]:
        """Order ids of the hand-made orders that were accepted; an order without one takes its message's id."""
        return {answer.orderID or answer.messageId for _, answer in self.sent if answer.messageId}

    def owns(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is of this run."""
        if letter.message_id in {answer.messageId for _, answer in self.sent}:
            return True
        return self.simulator_prefix is not None and (letter.orderID or "").startswith(self.simulator_prefix)

    @property
    def announced_ids(self) -> set[str]:
        """Order ids that were announced."""
        return {mail.attributes.get("deduplication_id", "") for mail in self.announced}

    @property
    def complete(self) -> bool:
        """Whether every order has its end."""
        return not self.differences()

    def differences(self) -> list[str]:
        """Return what does not add up, each as one line; empty when everything does."""
        sales = self.sales.differences() if self.sales else []
        picture = self.picture.differences() if self.picture else []
        return [*self._wrong_answers(), *self._wrong_counts(), *self._unannounced(), *sales, *picture]

    def _wrong_answers(self) -> list[str]:
        return [
            f"{plan.shows}: should end {plan.end}, but: {answer.status} {answer.refusal or 'accepted'}"
            for plan, answer in self.sent
            if (plan.end == "refused") != (answer.refusal is not None)
        ]

    def _wrong_counts(self) -> list[str]:
        stored, dead = len(self.stored), len(self.dead_letters)
        lines = []
        if self.distinct != stored + dead:
            lines.append(f"accepted {self.distinct} different orders, but {stored} stored + {dead} dead-lettered")
        if dead != self.expected_dead:
            lines.append(f"{dead} dead-lettered where {self.expected_dead} should be")
        return lines

    def _unannounced(self) -> list[str]:
        missing = sorted(self.stored.keys() - self.announced_ids)
        return [f"stored but not announced: {', '.join(missing)}"] if missing else []

    def summary(self) -> dict[str, Any]:
        """Return the run for a program."""
        return {
            "sent": [{"shows": plan.shows, "end": plan.end, "answer": answer} for plan, answer in self.sent],
            "simulated": {"sent": self.simulated, "invalid": self.simulated_invalid},
            "accepted": self.accepted,
            "distinct": self.distinct,
            "stored": sorted(self.stored),
            "announced": sorted(self.announced_ids),
            "dead_letters": self.dead_letters,
            "sales_report": self.sales,
            "picture": self.picture,
            "differences": self.differences(),
        }
