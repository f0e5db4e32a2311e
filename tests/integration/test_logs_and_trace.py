"""`python -m shop logs` and `python -m shop orders trace`, each as a process of its own, against deployed functions."""

import json
import signal
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from shop import logs
from shop.local.clients import client
from shop.local.cloud import Cloud
from tests.integration.pipeline import Pipeline
from tests.integration.test_cli import Shell, order
from tests.polling import eventually

PATIENCE = 90.0
"""Seconds for an order to go all the way while other tests keep the emulator busy."""


@pytest.fixture(scope="module")
def shell(cloud_folder: Any) -> Shell:
    return Shell(cloud_folder)


@pytest.fixture
def name() -> str:
    return f"trace-{uuid.uuid4().hex[:12]}"


def place(shell: Shell, body: str) -> str:
    """Send an order; return its message id."""
    [answer] = shell.json("orders", "place", "-", stdin=body)
    return str(answer["messageId"])


def traced(shell: Shell, wanted: str) -> list[dict[str, Any]] | None:
    """Return the ways of an id; None as long as nothing is known of it."""
    code, out, _ = shell.run("orders", "trace", wanted, "--json")
    found: list[dict[str, Any]] | None = json.loads(out) if code == 0 else None
    return found


def test_a_valid_orders_way_is_shown_to_its_end(
    shell: Shell, outputs: Mapping[str, Mapping[str, str]], name: str
) -> None:
    message_id = place(shell, order(name))
    recorded = ["recorder"] if "local-sales-report" in outputs else []
    expected = ["queue", "processor", "notifier", *recorded]

    def whole() -> dict[str, Any] | None:
        [way] = traced(shell, message_id) or [{"steps": []}]
        return way if {step["where"] for step in way["steps"]} >= set(expected) else None

    way = eventually(whole, timeout=PATIENCE, describe=lambda: traced(shell, message_id))
    assert (way["order_id"], way["place"]) == (name, "stored")
    # Though a step may be told of what the one before has not logged yet: lines are written after the work.
    assert [step["where"] for step in way["steps"]] == expected
    assert "Not " not in way["now"]
    assert way["request_id"]
    for wanted in (name, way["request_id"]):
        assert traced(shell, wanted) == [way]
    code, table, _ = shell.run("orders", "trace", name)
    assert code == 0
    assert table.startswith(f"Order {name}, message {message_id}, request {way['request_id']}\n")


def test_an_invalid_order_shows_its_tries_and_nothing_of_the_customers(shell: Shell, name: str) -> None:
    body = order(name).replace(
        '"quantity"', '"customer_id": "secret-9", "order_date": "2026-02-30T10:00:00Z", "quantity"'
    )
    message_id = place(shell, body)
    [way] = eventually(lambda: traced(shell, message_id), timeout=PATIENCE)
    tried = [step["what"] for step in way["steps"] if step["where"] == "processor"]
    assert tried[0] == "invalid order: order_date: is not a day of the calendar, try 1 of 3"
    assert way["place"] != "stored"
    assert "secret-9" not in json.dumps(way)


def test_an_unknown_order_is_one_sentence(shell: Shell, name: str) -> None:
    code, out, err = shell.run("orders", "trace", name, "--json")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {name} is unknown in stage local: not in the table, ")
    assert err.count("\n") == 1


def test_logs_are_followed_filtered_and_summed_up(shell: Shell, name: str) -> None:
    following = shell.start("logs", "OrderProcessor", "--follow", "--filter", name, "--json")
    try:
        message_id = place(shell, order(name))
        assert following.stdout is not None
        line = json.loads(following.stdout.readline())
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=PATIENCE)
    finally:
        following.kill()
        following.wait()
    assert line["message"] == "batch done"
    assert message_id in [each["message_id"] for each in line["fields"]["orders"]]
    assert following.returncode == 130
    assert "Traceback" not in err

    code, shown, _ = shell.run("logs", "orderprocessor", "--filter", name)
    assert code == 0
    assert shown.count("\n") == 1
    assert f'"order_id":"{name}"' in shown
    figures = shell.json("logs", "OrderProcessor", "--report")
    assert figures["invocations"] >= 1
    assert 0 <= figures["median_ms"] <= figures["p95_ms"] <= figures["max_ms"]
    assert figures["memory_mb"] >= 128
    assert figures["errors"] >= 0


def test_a_function_that_is_not_there_names_those_that_are(shell: Shell) -> None:
    code, out, err = shell.run("logs", "Nope")
    assert (code, out) == (1, "")
    assert err.startswith("error: stage local has no function 'Nope': CreateMobileImage, ")


def test_an_error_is_reported_as_such(pipeline: Pipeline) -> None:
    """The simulator raises over an event that it does not take."""
    functions = pipeline.client("lambda")
    function = pipeline.outputs["OrderSimulatorFunctionName"]
    functions.invoke(FunctionName=function, Payload=b'{"count": "many"}')
    group = pipeline.function("OrderSimulatorFunctionName")["LoggingConfig"]["LogGroup"]
    found = [logs.read_report(each.message) for each in logs.read(pipeline.client("logs"), group, 0)]
    assert "error" in {each.status for each in found if each}


def test_log_events_come_in_pages_without_gaps(cloud: Cloud) -> None:
    group = f"pages-{uuid.uuid4().hex[:12]}"
    api = client(cloud, "logs")
    api.create_log_group(logGroupName=group)
    api.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)
    events = [{"timestamp": now + number // 5, "message": f"line {number}"} for number in range(12)]
    api.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    for size in (1, 3, 4, 12, 100):
        pages = api.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": size})
        assert [event["message"] for page in pages for event in page["events"]] == [each["message"] for each in events]
