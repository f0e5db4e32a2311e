"""The emulator's EventBridge Scheduler keeps and fires schedules as AWS does.

Its CloudFormation drops a schedule's time zone, start and end, all expressions are read as UTC, and an input's context
attributes stay as they are written. What becomes of a function that fails is in `invocations`.
"""

from __future__ import annotations

import datetime
import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from shop.local import mending

if TYPE_CHECKING:
    from collections.abc import Callable

    # The next time by a cron expression after the given one, both without a zone's offset; None where there is none.
    NextFire = Callable[[datetime.datetime], datetime.datetime | None]

_TYPE = "AWS::Scheduler::Schedule"
_DEFAULTS = {"ScheduleExpressionTimezone": "UTC", "StartDate": None, "EndDate": None, "KmsKeyArn": None}
_UTC = datetime.UTC
# Far more than the nights of a clock change in a row that a schedule could fall into.
_MOST_SKIPPED = 50


class _Firing(NamedTuple):
    """When a schedule was to fire, and whether that was its only time."""

    at: datetime.datetime
    is_last: bool


def mend() -> None:
    """Mend the emulator's Scheduler. Raises MendError."""
    provisioners, scheduler = (
        mending.module("services.cloudformation.provisioners"),
        mending.module("services.scheduler"),
    )
    events = mending.module("services.eventbridge")

    def keep(physical_id: str, props: dict[str, Any]) -> None:
        record = scheduler._schedules[f"{props.get('GroupName', 'default')}/{physical_id}"]
        record.update({name: props.get(name, default) for name, default in _DEFAULTS.items()})
        record["LastModificationDate"] = time.time()

    mending.follow(provisioners._RESOURCE_HANDLERS[_TYPE], keep)
    mending.wrap(scheduler, "_tick_schedules", lambda _: lambda: _tick(scheduler, events, time.time()))


def next_time(expression_next: NextFire, zone: str, after: datetime.datetime) -> datetime.datetime | None:
    """The first time (UTC) after `after` (UTC) by an expression that is read in `zone`.

    A time that the clock skips in spring is left out, one that it shows twice in autumn counts once, the first time
    (Amazon EventBridge Scheduler User Guide, "Schedule types", daylight saving time).
    """
    info = ZoneInfo(zone)
    local = after.astimezone(info).replace(tzinfo=_UTC)
    for _ in range(_MOST_SKIPPED):
        candidate = expression_next(local)
        if candidate is None:
            return None
        real = candidate.replace(tzinfo=info, fold=0).astimezone(_UTC)
        if real > after and real.astimezone(info).replace(tzinfo=_UTC, fold=0) == candidate:
            return real
        local = candidate
    return None


def fill(text: str, *, arn: str, at: datetime.datetime, execution_id: str) -> str:
    """An input with its context attributes replaced ("Adding context attributes", same guide); others stay."""
    values = {
        "schedule-arn": arn,
        "scheduled-time": at.astimezone(_UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": execution_id,
        "attempt-number": "1",
    }
    for name, value in values.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _tick(scheduler: Any, events: Any, now: float) -> None:
    """Fire what is due, once however long ago it was to fire."""
    for state_key, schedule in list(scheduler._schedules._data.items()):
        firing = _due(scheduler, events, state_key, schedule, now)
        if firing is None:
            continue
        scheduler._schedule_last_fired[state_key] = now
        account, region, _ = state_key
        previous = scheduler.get_account_id(), scheduler.get_region()
        scheduler.set_request_account_id(account)
        scheduler.set_request_region(region)
        try:
            _fire(events, schedule, firing.at, account, region)
        finally:
            scheduler.set_request_account_id(previous[0])
            scheduler.set_request_region(previous[1])
        if firing.is_last and schedule.get("ActionAfterCompletion") == "DELETE":
            scheduler._schedules._data.pop(state_key, None)
            scheduler._schedule_last_fired.pop(state_key, None)


def _due(scheduler: Any, events: Any, state_key: Any, schedule: dict[str, Any], now: float) -> _Firing | None:
    if schedule.get("State") != "ENABLED" or not _is_within(scheduler, schedule, now):
        return None
    expression, zone = schedule["ScheduleExpression"], schedule.get("ScheduleExpressionTimezone") or "UTC"
    last = scheduler._schedule_last_fired.get(state_key)
    if expression.startswith("at("):
        once = datetime.datetime.fromisoformat(expression[3:-1].strip()).replace(tzinfo=ZoneInfo(zone))
        return _Firing(once, is_last=True) if last is None and once.timestamp() <= now else None
    # A changed expression counts from the change on; what it would have meant before is no firing that was missed.
    since = max(last or 0, schedule["LastModificationDate"])
    interval = events._parse_rate_seconds(expression)
    if interval is not None:
        due: datetime.datetime | None = _time(since + interval)
    else:
        fields = events._parse_cron_fields(expression)
        due = next_time(lambda after: events._cron_next_fire(fields, after), zone, _time(since)) if fields else None
    return _Firing(due, is_last=False) if due and due.timestamp() <= now else None


def _is_within(scheduler: Any, schedule: dict[str, Any], now: float) -> bool:
    start, end = (scheduler._to_epoch(schedule.get(name)) for name in ("StartDate", "EndDate"))
    return (start is None or now >= start) and (end is None or now <= end)


def _time(epoch: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(epoch, tz=_UTC)


def _fire(events: Any, schedule: dict[str, Any], at: datetime.datetime, account: str, region: str) -> None:
    execution_id = str(uuid.uuid4())
    target = dict(schedule["Target"])
    if target.get("Input"):
        target["Input"] = fill(target["Input"], arn=schedule["Arn"], at=at, execution_id=execution_id)
    event = {
        "EventId": execution_id,
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Time": at.timestamp(),
        "Resources": [schedule["Arn"]],
        "Account": account,
        "Region": region,
    }
    try:
        events._invoke_target(target, event, schedule)
    except Exception:
        logging.getLogger("scheduler").exception("%s was not fired", schedule["Arn"])
