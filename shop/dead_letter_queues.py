"""All dead-letter queues of a stage by name, and which of their messages a command is about."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from shop import images, report, target
from shop.dead_letters import ANNOUNCEMENTS, ORDERS, DeadLetter, FailureQueue, order_queues, read
from shop.errors import ShopError
from shop.image_dead_letters import image_queues
from shop.output import note
from shop.sales_dead_letters import REPORTS, SALES, SCHEDULE, sales_queues
from shop.target import Target

_PIPELINE: Final = {ORDERS, ANNOUNCEMENTS}
_REPORT: Final = {SALES, REPORTS, SCHEDULE}
_EDITABLE: Final = {ORDERS, SALES}
_PURPOSES: Final = {
    ORDERS: "orders that were not stored",
    ANNOUNCEMENTS: "batches of stored orders that were not announced",
    SALES: "sales that were not recorded for the report",
    REPORTS: "reports that failed",
    SCHEDULE: "reports that were not started",
}
_PERIOD: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Place:
    """A dead-letter queue and the system that it belongs to."""

    queue: FailureQueue
    where: Target
    size: images.Size | None = None
    """The size that a queue of images is for."""


@dataclass(frozen=True)
class Filters:
    """Which messages a command is about: those that every given filter takes."""

    queues: tuple[str, ...] = ()
    reason: str | None = None
    """Part of the reason, whatever its case."""
    since: datetime | None = None
    """Sent at this moment or later."""
    ids: frozenset[str] = frozenset()
    """Message ids or orderIDs."""

    @property
    def choose_messages(self) -> bool:
        """Whether a queue's messages are told apart, rather than all of it taken."""
        return self.reason is not None or self.since is not None or bool(self.ids)

    @property
    def are_given(self) -> bool:
        """Whether there is any filter."""
        return bool(self.queues) or self.choose_messages

    def take(self, letter: DeadLetter) -> bool:
        """Whether a message of a queue that was chosen is one of those meant."""
        if self.ids and letter.message_id not in self.ids and letter.orderID not in self.ids:
            return False
        if self.reason is not None and self.reason.casefold() not in letter.reason.casefold():
            return False
        return self.since is None or datetime.fromisoformat(letter.sent_at) >= self.since


def parse_period(text: str) -> timedelta:
    """Return a length of time such as `45s`, `30m`, `2h` or `3d`; raise ShopError for anything else."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise ShopError(f"{text!r} is not a length of time such as 30m, 2h or 3d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_since(text: str, now: datetime) -> datetime:
    """Return the moment that `text` means: an RFC 3339 date-time with an offset, or a time before `now`.

    Raises ShopError for anything else.
    """
    if _PERIOD.fullmatch(text):
        try:
            return now - parse_period(text)
        except OverflowError:
            raise ShopError(f"--since: {text} ago is before the calendar") from None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ShopError(f"--since: {text!r} is no time such as 2026-11-26T09:15:00Z, 30m, 2h or 3d")


def purpose(place: Place) -> str:
    """Return what ends in a dead-letter queue, for a person."""
    if place.size is not None:
        return f"images that could not be made in the size {place.size.name}"
    return _PURPOSES[place.queue.name]


def takes_edits(place: Place) -> bool:
    """Whether a message of the queue may be changed as it is sent back."""
    return place.queue.name in _EDITABLE


def find(stage: str, names: Sequence[str] = ()) -> list[Place]:
    """Return a stage's dead-letter queues, only those of these names where any is given.

    Where no name is given, a system that is not deployed beside the order pipeline is left out, and a note says so.
    Raises ShopError as `target.find` does, and for a name that no queue has.
    """

    def look(system: str) -> Target:
        return report.find(stage) if system == target.SALES_REPORT else target.find(stage, system)

    return find_by(look, names)


def find_by(look: Callable[[str], Target], names: Sequence[str] = ()) -> list[Place]:
    """Return dead-letter queues as `find` does, of the stage whose systems `look` gives by their names."""
    wanted = set(names)
    found = [place for place in _places(look, wanted) if not wanted or place.queue.name in wanted]
    missing = wanted - {place.queue.name for place in found}
    if missing:
        known = ", ".join((ORDERS, ANNOUNCEMENTS, SALES, REPORTS, SCHEDULE))
        raise ShopError(f"--queue: no dead-letter queue is called {min(missing)!r}: {known}, or an image size's name")
    return found


def _places(look: Callable[[str], Target], wanted: set[str]) -> Iterator[Place]:
    if not wanted or wanted & _PIPELINE:
        yield from _pipeline(look(target.ORDER_PIPELINE))
    for name, system, of_others, places in (
        ("sales report", target.SALES_REPORT, _PIPELINE | wanted - _REPORT, _sales),
        ("images", target.IMAGE_FANOUT, _PIPELINE | _REPORT, _images),
    ):
        if wanted and wanted <= of_others:
            continue
        try:
            yield from places(look(system))
        except ShopError as error:
            if wanted:
                raise
            # The others' are worth showing where one stack is not deployed.
            note(f"without the dead-letter queues of the {name}: {error}")


def _pipeline(where: Target) -> list[Place]:
    return [Place(queue, where) for queue in order_queues(where)]


def _sales(where: Target) -> list[Place]:
    return [Place(queue, where) for queue in sales_queues(where)]


def _images(where: Target) -> list[Place]:
    opened = images.open_images(where)
    return [Place(queue, opened.where, size) for queue, size in zip(image_queues(opened), opened.sizes, strict=True)]


def read_letters(places: Sequence[Place], filters: Filters, limit: int | None = None) -> list[DeadLetter]:
    """Return the messages that the filters take, oldest first in each queue, of at most `limit` that are read of each.

    Every message that is looked at is received and given back.
    """
    with ThreadPoolExecutor(max(1, len(places))) as threads:
        # The last receive of each queue waits for a message that does not come; together they wait once.
        found = list(threads.map(lambda place: read(place.where.client("sqs"), place.queue, limit), places))
    return [letter for letters in found for letter in letters if filters.take(letter)]
