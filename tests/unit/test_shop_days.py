"""A date's meaning in the shop's time zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import shop_days

_ZONES = sorted(available_timezones())
_MODERN_DAYS = st.dates(date(2012, 1, 1), date(2040, 12, 31))


def test_a_day_has_its_hours_in_utc() -> None:
    start, end = shop_days.bounds(date(2026, 11, 21), ZoneInfo("Europe/Rome"))
    assert (start, end) == (datetime(2026, 11, 20, 23), datetime(2026, 11, 21, 23))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Rome", date(2026, 3, 29), 23),
        ("Europe/Rome", date(2026, 10, 25), 25),
        ("America/Havana", date(2026, 3, 8), 23),  # clocks skip midnight itself
        ("America/Havana", date(2026, 11, 1), 25),  # midnight comes twice
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("Asia/Kathmandu", date(2026, 6, 1), 24),
        ("Pacific/Apia", date(2011, 12, 30), 0),  # a day that was left out
    ],
)
def test_days_on_which_clocks_change(zone: str, day: date, hours: float) -> None:
    start, end = shop_days.bounds(day, ZoneInfo(zone))
    assert end - start == timedelta(hours=hours)


@given(st.sampled_from(_ZONES), _MODERN_DAYS)
def test_each_moment_is_in_exactly_one_day(zone_name: str, day: date) -> None:
    zone = ZoneInfo(zone_name)
    start, end = shop_days.bounds(day, zone)
    assert shop_days.bounds(day + timedelta(days=1), zone)[0] == end
    for moment in (start, end - timedelta(milliseconds=1)):
        assert shop_days.day_of(moment.replace(tzinfo=UTC), zone) == day


@pytest.mark.parametrize("day", ["1000-01-02", "9999-12-30"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_first_and_the_last_day_have_bounds(day: str, zone: str) -> None:
    start, end = shop_days.bounds(shop_days.parse_day(day), ZoneInfo(zone))
    assert start < end


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("21.11.2026", "is not of the form YYYY-MM-DD"),
        ("2026-11-21T00:00:00Z", "is not of the form YYYY-MM-DD"),
        ("20261121", "is not of the form YYYY-MM-DD"),
        ("\u0662\u0660\u0662\u0666-\u0661\u0661-\u0662\u0661", "is not of the form YYYY-MM-DD"),
        (20261121, "is not of the form YYYY-MM-DD"),
        (None, "is not of the form YYYY-MM-DD"),
        ("2026-02-30", "is not a day of the calendar"),
        ("0000-01-01", "is not a day of the calendar"),
        ("0999-12-31", "is not from 1000-01-02 to 9999-12-30"),
        ("9999-12-31", "is not from 1000-01-02 to 9999-12-30"),
    ],
)
def test_what_is_no_day_is_refused_with_its_value(text: object, rule: str) -> None:
    with pytest.raises(ValueError, match=r"^date: ") as refusal:
        shop_days.parse_day(text)
    assert str(refusal.value) == f"date: {text!r} {rule}"


@pytest.mark.parametrize("value", ["x" * 1_000_000, ["x"] * 1_000_000, {"x": "x" * 1_000_000}])
def test_of_a_long_value_the_refusal_shows_a_part(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not of the form YYYY-MM-DD$") as refusal:
        shop_days.parse_day(value)
    assert len(str(refusal.value)) < 200


def test_today_is_the_shops_and_not_utcs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Clock":  # noqa: ARG003
            return cls(2026, 11, 21, 11, 0, tzinfo=UTC)

    monkeypatch.setattr(shop_days, "datetime", Clock)
    assert shop_days.today(ZoneInfo("Pacific/Kiritimati")) == date(2026, 11, 22)
    assert shop_days.today(ZoneInfo("Pacific/Pago_Pago")) == date(2026, 11, 21)
    assert shop_days.today(ZoneInfo("Etc/GMT+12")) == date(2026, 11, 20)
