"""The latest orders, put together from what the functions log as it comes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto import mock_aws
from typer.testing import CliRunner

from shop import latest_orders, target, trace
from shop.cli import app
from shop.latest_orders import LatestOrders
from shop.logs import milliseconds, read
from shop.target import Target
from tests.unit import shop_stack

START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
PROCESSOR, NOTIFIER, RECORDER = GROUPS = ("processor", "notifier", "recorder")


def at(seconds: float) -> str:
    return trace.utc_text(START + timedelta(seconds=seconds))


class Logs:
    """The functions' log groups in moto."""

    def __init__(self, client: Any) -> None:
        self.client = client
        for group in GROUPS:
            client.create_log_group(logGroupName=group)
            client.create_log_stream(logGroupName=group, logStreamName="s")

    def add(self, group: str, seconds: float, line: dict[str, Any]) -> None:
        event = {"timestamp": int((START + timedelta(seconds=seconds)).timestamp() * 1000), "message": json.dumps(line)}
        self.client.put_log_events(logGroupName=group, logStreamName="s", logEvents=[event])

    def done(self, group: str, seconds: float, *numbers: int, **more: str) -> None:
        received = {"received_at": at(seconds - 1)} if group == PROCESSOR else {}
        orders = [{"message_id": f"m-{n}", "order_id": f"A-{n}", **received, **more} for n in numbers]
        self.add(group, seconds, {"message": "batch done", "orders": orders})

    def refused(self, seconds: float, number: int, count: int) -> None:
        why = {"message": "invalid order", "field": "quantity", "rule": "is not an integer"}
        self.add(PROCESSOR, seconds, {**why, "message_id": f"m-{number}", "receive_count": count})


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    with mock_aws():
        deployed = shop_stack.deploy()
        names = {
            f"{name}FunctionName": name.casefold() for name in ("OrderProcessor", "OrderNotifier", "SalesRecorder")
        }
        found = replace(deployed, outputs={**deployed.outputs, **names})
        monkeypatch.setattr(target, "find", lambda *_: found)
        monkeypatch.setattr(target, "at", lambda *_: found)
        short = {"orderprocessor": PROCESSOR, "ordernotifier": NOTIFIER, "salesrecorder": RECORDER}
        monkeypatch.setattr(trace, "group_of", lambda _, name: short[name])
        yield found


@pytest.fixture
def logs(dev: Target) -> Logs:
    return Logs(dev.client("logs"))


@pytest.fixture
def reader(dev: Target) -> LatestOrders:
    # moto takes a regular expression in a pattern for a word.
    return replace(latest_orders.follow(dev, START - timedelta(minutes=1)), pattern="")


def said(reader: LatestOrders, logs: Logs, limit: int = 25) -> list[tuple[str | None, str]]:
    return [(order.orderID or order.message_id, order.said) for order in reader.look(logs.client, limit)]


def test_an_order_is_shown_with_how_far_it_has_got(reader: LatestOrders, logs: Logs) -> None:
    logs.done(PROCESSOR, 2, 1, outcome="stored")
    assert said(reader, logs) == [("A-1", "stored")]
    logs.done(RECORDER, 4, 1)
    logs.done(NOTIFIER, 3, 1)
    assert said(reader, logs) == [("A-1", "stored, announced, recorded")]
    assert reader.look(logs.client)[0].at == at(1)


def test_what_was_announced_before_its_line_of_the_processor_was_read_counts(reader: LatestOrders, logs: Logs) -> None:
    logs.done(NOTIFIER, 3, 1)
    assert said(reader, logs) == []
    logs.done(PROCESSOR, 2, 1, outcome="stored")
    assert said(reader, logs) == [("A-1", "stored, announced")]


def test_the_newest_stand_first_and_no_more_than_asked_for(reader: LatestOrders, logs: Logs) -> None:
    for number in range(5):
        logs.done(PROCESSOR, 2 + number, number, outcome="stored")
    assert [name for name, _ in said(reader, logs, limit=3)] == ["A-4", "A-3", "A-2"]


def test_a_refused_order_shows_the_last_try_until_it_is_mended(reader: LatestOrders, logs: Logs) -> None:
    logs.refused(1, 7, 1)
    logs.refused(4, 7, 2)
    [order] = reader.look(logs.client)
    assert (order.is_refused, order.orderID, order.at) == (True, None, at(1))
    assert order.said == "invalid order: quantity: is not an integer, try 2 of 3"
    logs.done(PROCESSOR, 60, 7, outcome="stored")
    assert said(reader, logs) == [("A-7", "stored")]


def test_a_try_whose_line_comes_late_changes_nothing(reader: LatestOrders, logs: Logs) -> None:
    logs.done(PROCESSOR, 20, 7, outcome="stored")
    assert said(reader, logs) == [("A-7", "stored")]
    logs.refused(10, 7, 1)
    assert said(reader, logs) == [("A-7", "stored")]


def test_an_order_that_came_again_was_stored_already(reader: LatestOrders, logs: Logs) -> None:
    logs.done(PROCESSOR, 2, 1, outcome="duplicate")
    assert said(reader, logs) == [("A-1", "stored already")]


def test_no_more_is_remembered_than_a_page_may_show(
    reader: LatestOrders, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest_orders, "_MOST_KEPT", 2)
    logs.done(PROCESSOR, 2, 1, outcome="stored")
    logs.done(PROCESSOR, 3, 2, 3, outcome="stored")
    assert len(said(reader, logs)) == 3
    assert [name for name, _ in said(reader, logs)] == ["A-3", "A-2"]


def test_no_more_steps_are_remembered_than_there_may_be_orders(
    reader: LatestOrders, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest_orders, "_MOST_STEPS", 2)
    for number in range(3):
        logs.done(NOTIFIER, 3 + number, number)
    assert said(reader, logs) == []
    logs.done(PROCESSOR, 2, 0, 1, 2, outcome="stored")
    # What was announced longest ago is forgotten first.
    assert dict(said(reader, logs)) == {"A-0": "stored", "A-1": "stored, announced", "A-2": "stored, announced"}


def test_a_look_begins_where_the_one_before_it_ended(
    reader: LatestOrders, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, int]] = []

    def recorded(client: Any, group: str, start_ms: int, pattern: str = "") -> Any:
        begun.append((group, start_ms))
        return read(client, group, start_ms, pattern)

    monkeypatch.setattr(latest_orders, "read", recorded)
    logs.done(PROCESSOR, 300, 1, outcome="stored")
    logs.done(NOTIFIER, 300, 1)
    logs.done(RECORDER, 300, 1)
    assert said(reader, logs) == [("A-1", "stored, announced, recorded")]
    assert {start for _, start in begun} == {milliseconds(START - timedelta(minutes=1))}
    begun.clear()
    reader.look(logs.client)
    # So much earlier as lines may come late.
    assert begun == [(group, milliseconds(START + timedelta(seconds=270))) for group in GROUPS]


def test_the_command_shows_them(dev: Target, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest_orders, "_HAS_ORDERS", "")
    logs.done(PROCESSOR, 2, 1, outcome="stored")
    result = CliRunner().invoke(app, ["orders", "latest", "--stage", dev.stage, "--json"])
    assert json.loads(result.stdout) == [
        {"at": at(1), "message_id": "m-1", "orderID": "A-1", "outcome": "stored", "detail": "", "steps": []}
    ]
    table = CliRunner().invoke(app, ["orders", "latest"]).stdout
    assert "A-1" in table
    assert "stored" in table
    old = CliRunner().invoke(app, ["orders", "latest", "--since", "1m", "--json"])
    assert json.loads(old.stdout) == []
