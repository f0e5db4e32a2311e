"""Which day a report is of, and where it is noted that the day's report was mailed."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.shop_days import day_of, parse_day, today


class InvalidEvent(ValueError):
    """The event breaks a rule; the text names the thing, the value and the rule."""


def mailed_key(day: date) -> str:
    """The key of the object that says, in the bucket of the reports, that the report of the whole day was mailed."""
    return f"mailed/{day.isoformat()}.json"


def read_day(event: object, zone: ZoneInfo) -> date:
    """The day that an event asks for: its `date`, else the day before its `scheduled_time`, else today, in the zone.

    `date` is `YYYY-MM-DD`, `scheduled_time` a date-time with an offset (RFC 3339), which is what EventBridge Scheduler
    puts for `<aws.scheduler.scheduled-time>`. Other keys are ignored.

    Raises:
        InvalidEvent: the event, or the one of the two that counts, is not of that form.
    """
    if event is None:
        return today(zone)
    if not isinstance(event, Mapping):
        raise InvalidEvent("event: is not a JSON object")
    try:
        if "date" in event:
            return parse_day(event["date"])
        if "scheduled_time" in event:
            return _day_before(event["scheduled_time"], zone)
    except ValueError as error:
        raise InvalidEvent(str(error)) from None
    return today(zone)


def _day_before(text: object, zone: ZoneInfo) -> date:
    moment = _parse_moment(text)
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"scheduled_time: {text!r} is not a date-time with an offset, as in 2026-11-26T02:00:00Z")
    try:
        day = day_of(moment, zone) - timedelta(days=1)
    except OverflowError:
        raise ValueError(f"scheduled_time: {text!r} is at the end of the calendar") from None
    return parse_day(day.isoformat())


def _parse_moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
