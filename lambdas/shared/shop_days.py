"""Days of the shop: what a date means in the shop's time zone, and when it begins and ends in UTC."""

import re
import reprlib
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST: Final = date(1000, 1, 2)
_LAST: Final = date(9999, 12, 30)
"""MariaDB's DATETIME holds the years 1000 to 9999 (MariaDB, "DATETIME"); in every zone these days are inside."""


def parse_day(text: object) -> date:
    """The day that a text `YYYY-MM-DD` names.

    Raises:
        ValueError: it is no such text, no day of the calendar, or a day that the database cannot hold.
    """
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        # No more of it than a person needs, because a request may have megabytes here.
        raise ValueError(f"date: {reprlib.repr(text)} is not of the form YYYY-MM-DD")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"date: {text!r} is not a day of the calendar") from None
    if not _FIRST <= day <= _LAST:
        raise ValueError(f"date: {text!r} is not from {_FIRST} to {_LAST}")
    return day


def bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When the day begins, and when the next one does: in UTC, without a zone, as the database has its times."""
    return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    # Where clocks skip midnight, `fold=0` reads it by the offset before: the very moment of the change.
    return datetime.combine(day, time(), zone).astimezone(UTC).replace(tzinfo=None)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The shop's day at a moment (with a zone)."""
    return moment.astimezone(zone).date()


def today(zone: ZoneInfo) -> date:
    """The shop's day now."""
    return day_of(datetime.now(UTC), zone)
