from __future__ import annotations

import datetime
from typing import Any

import pytest

from shop.local import schedules

UTC = datetime.UTC


def _daily(hour: int, minute: int) -> Any:
    """What the emulator makes of `cron(minute hour * * ? *)`: it knows no zones."""

    def after(moment: datetime.datetime) -> datetime.datetime:
        at = moment.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return at if at > moment else at + datetime.timedelta(days=1)

    return after


@pytest.mark.parametrize(
    ("zone", "after", "expected"),
    [
        pytest.param("UTC", "2026-11-21T01:59:59", "2026-11-21T02:30:00", id="utc"),
        pytest.param("UTC", "2026-11-21T02:30:00", "2026-11-22T02:30:00", id="not twice"),
        pytest.param("Asia/Tokyo", "2026-11-20T12:00:00", "2026-11-20T17:30:00", id="east, the day before in UTC"),
        pytest.param("America/New_York", "2026-11-21T03:00:00", "2026-11-21T07:30:00", id="west"),
        # Berlin's clocks go from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
        pytest.param("Europe/Berlin", "2026-03-28T12:00:00", "2026-03-30T00:30:00", id="skipped in spring"),
        pytest.param("Europe/Berlin", "2026-10-24T12:00:00", "2026-10-25T00:30:00", id="the first of two in autumn"),
        pytest.param("Europe/Berlin", "2026-10-25T00:30:00", "2026-10-26T01:30:00", id="not the second of two"),
        pytest.param("Europe/Berlin", "2026-10-25T01:10:00", "2026-10-26T01:30:00", id="nor from between them"),
    ],
)
def test_a_cron_expression_is_read_in_its_zone(zone: str, after: str, expected: str) -> None:
    found = schedules.next_time(_daily(2, 30), zone, datetime.datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found == datetime.datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_an_expression_that_never_comes_again_has_no_next_time() -> None:
    assert schedules.next_time(lambda _: None, "UTC", datetime.datetime.now(UTC)) is None


def test_the_context_attributes_of_an_input_are_filled() -> None:
    text = (
        '{"at": "<aws.scheduler.scheduled-time>", "by": "<aws.scheduler.schedule-arn>",'
        ' "id": "<aws.scheduler.execution-id>", "try": <aws.scheduler.attempt-number>, "as": "<aws.scheduler.other>"}'
    )
    zone = datetime.timezone(datetime.timedelta(hours=9))
    at = datetime.datetime(2026, 11, 21, 2, 30, tzinfo=zone)
    assert schedules.fill(text, arn="arn:x", at=at, execution_id="e-1") == (
        '{"at": "2026-11-20T17:30:00Z", "by": "arn:x", "id": "e-1", "try": 1, "as": "<aws.scheduler.other>"}'
    )


class _Events:
    """The parts of the emulator's EventBridge that fire a schedule; expressions are daily at 02:30, or rates."""

    def __init__(self) -> None:
        self.fired: list[str] = []

    def _parse_rate_seconds(self, expression: str) -> int | None:
        return 60 if expression == "rate(1 minute)" else None

    def _parse_cron_fields(self, expression: str) -> object:
        return ("02:30",) if expression.startswith("cron") else None

    def _cron_next_fire(self, _: object, after: datetime.datetime) -> datetime.datetime:
        next_time: datetime.datetime = _daily(2, 30)(after)
        return next_time

    def _invoke_target(self, target: dict[str, Any], _event: object, _schedule: object) -> None:
        self.fired.append(target["Input"])


class _Scheduler:
    """The emulator's Scheduler with one schedule, changed last on 21 November 2026 at midnight (UTC)."""

    def __init__(self, **schedule: Any) -> None:
        self.changed = datetime.datetime(2026, 11, 21, tzinfo=UTC).timestamp()
        self._schedules = self
        self._schedule_last_fired: dict[Any, float] = {}
        self._data = {
            ("000000000000", "us-east-1", "default/daily"): {
                "Arn": "arn:x",
                "State": "ENABLED",
                "ScheduleExpression": "cron(30 2 * * ? *)",
                "ScheduleExpressionTimezone": "UTC",
                "LastModificationDate": self.changed,
                "Target": {"Input": "<aws.scheduler.scheduled-time>"},
                **schedule,
            }
        }

    @staticmethod
    def _to_epoch(value: float | None) -> float | None:
        return value

    @staticmethod
    def get_account_id() -> str:
        return "000000000000"

    get_region = get_account_id

    @staticmethod
    def set_request_account_id(_: str) -> None:
        """Nothing here asks whose request it is."""

    set_request_region = set_request_account_id


HOUR = 3600.0


def _fired(scheduler: _Scheduler, *hours: float) -> list[str]:
    events = _Events()
    for hour in hours:
        schedules._tick(scheduler, events, scheduler.changed + hour * HOUR)
    return events.fired


def test_a_schedule_fires_once_when_it_is_due() -> None:
    assert _fired(_Scheduler(), 0.1, 2.4, 2.5, 2.6, 26.4, 26.6) == ["2026-11-21T02:30:00Z", "2026-11-22T02:30:00Z"]


def test_a_schedule_fires_in_its_zone() -> None:
    assert _fired(_Scheduler(ScheduleExpressionTimezone="Asia/Tokyo"), 2.6, 17.4, 17.6) == ["2026-11-21T17:30:00Z"]


def test_a_rate_counts_from_the_change() -> None:
    assert _fired(_Scheduler(ScheduleExpression="rate(1 minute)"), 0.01, 0.02, 0.021) == ["2026-11-21T00:01:00Z"]


def test_a_time_comes_once_and_a_schedule_that_is_to_go_then_goes() -> None:
    scheduler = _Scheduler(ScheduleExpression="at(2026-11-21T02:00:00)", ActionAfterCompletion="DELETE")
    assert _fired(scheduler, 1.9, 2.0, 2.1) == ["2026-11-21T02:00:00Z"]
    assert scheduler._data == {}


@pytest.mark.parametrize(
    "schedule",
    [
        {"State": "DISABLED"},
        {"StartDate": datetime.datetime(2026, 11, 22, tzinfo=UTC).timestamp()},
        {"EndDate": datetime.datetime(2026, 11, 21, 2, tzinfo=UTC).timestamp()},
        {"ScheduleExpression": "never"},
    ],
)
def test_what_is_not_to_fire_does_not(schedule: dict[str, Any]) -> None:
    assert _fired(_Scheduler(**schedule), 2.6) == []
