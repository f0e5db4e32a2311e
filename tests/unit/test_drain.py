"""The simulation of a drain does what arithmetic says, and the scaling paper has its tables."""

from dataclasses import replace

import pytest

from bench import drain
from bench.drain import Assumptions, Scenario, simulate
from stacks.settings import load_settings

PROD = load_settings({"stage": "prod"})
GIVEN = drain.assume(PROD)
SMALL = Assumptions(api_rate=100, api_burst=100, max_concurrency=50, shards=1, announce_seconds=0.2)
"""Announces 50 orders a second."""


def test_the_paper_has_the_tables_as_they_are_made() -> None:
    text = drain.PAPER.read_text(encoding="utf-8")
    made = drain.tables(PROD)
    assert drain.fill(text, made) == text
    for name, table in made.items():
        assert f"<!-- bench.drain: {name} -->\n{table}<!-- end -->" in text


def test_a_table_that_is_out_of_date_is_made_anew() -> None:
    text = "a\n<!-- bench.drain: limits -->\nold\n<!-- end -->\nb"
    assert drain.fill(text, {"limits": "new\n"}) == "a\n<!-- bench.drain: limits -->\nnew\n<!-- end -->\nb"
    with pytest.raises(KeyError):
        drain.fill(text, {})


def test_a_load_below_every_rate_leaves_no_backlog() -> None:
    found = simulate(Scenario("", 10, 4, 60), SMALL)
    assert (found.throttled, found.deepest_queue, found.most_unannounced) == (0, 0, 0)
    assert (found.stored_after, found.announced_after, found.longest_wait) == (0, 0, 0)


def test_a_backlog_drains_at_what_is_left_of_the_rate() -> None:
    # 40 a second too many for 60 s, then 50 - 30 a second to spare.
    found = simulate(Scenario("", 30, 3, 60), SMALL)
    assert found.most_unannounced == 40 * 60
    assert found.announced_after == pytest.approx(40 * 60 / 20, abs=1)
    assert found.longest_wait == pytest.approx(40 * 60 / 50, abs=1)


def test_what_is_above_the_rate_and_the_burst_is_throttled() -> None:
    # A bucket of 100 is full at the start and gets 100 more in each of the other nine seconds.
    assert simulate(Scenario("", 30, 10, 10), SMALL).throttled == 10 * 300 - 10 * 100


def test_a_backlog_that_never_drains_is_said_to_be_so() -> None:
    found = simulate(Scenario("", 60, 1, 60), SMALL)
    assert (found.stored_after, found.announced_after, found.longest_wait) == (0, None, None)


def test_an_outage_is_waited_out_on_the_queue() -> None:
    found = simulate(Scenario("", 10, 1, 600, is_down=True), SMALL)
    assert found.deepest_queue == 6_000
    # The first order waits for all of the outage.
    assert found.longest_wait == pytest.approx(600, abs=1)


def test_pollers_come_five_a_second() -> None:
    # 500 a second at first, 500 more each second: 500 + 1,000 + 1,500 stored in three seconds.
    fast = replace(GIVEN, announce_seconds=0.001, publish_rate=100_000)
    found = simulate(Scenario("", 0.1, 30_000, 1, is_down=True), replace(fast, api_rate=3_000, api_burst=3_000))
    assert (found.deepest_queue, found.stored_after) == (3_000, 2)


def test_a_larger_factor_never_drains_later() -> None:
    for scenario in drain.SCENARIOS:
        slow, fast = simulate(scenario, GIVEN), simulate(scenario, replace(GIVEN, batches_a_shard=10))
        assert slow.announced_after is not None
        assert fast.announced_after is not None
        assert fast.announced_after <= slow.announced_after


def test_limits_follow_the_settings_lowest_first() -> None:
    rates = {limit.name: limit.rate for limit in drain.limits(PROD)}
    assert list(rates.values()) == sorted(rates.values())
    assert rates["throttle of the API"] == PROD.orders_requests_per_second
    assert rates["daily quota of the API key"] * 86_400 == PROD.orders_daily_quota
    assert rates["processor"] == PROD.order_processor_max_concurrency * 100


def test_what_is_assumed_of_the_event_source_mappings_is_what_is_deployed() -> None:
    from stacks import order_pipeline  # noqa: PLC0415 (the CDK takes seconds to import)

    assert GIVEN.batch_size == order_pipeline._BATCH_SIZE
