"""What the simulator sends, for which events, and what it says when SQS does not take everything."""

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from order_simulator import handler as simulator
from shared.orders import InvalidOrder, decode_order
from tests.unit.fakes import Clock, FakeBatchService, client_error, timeout


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setenv("ORDERS_QUEUE_URL", "https://sqs.invalid/orders")
    return clock


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> FakeBatchService:  # noqa: ARG001 (its set-up is needed)
    queue = FakeBatchService()
    monkeypatch.setattr(simulator, "_sqs", queue)
    return queue


@pytest.fixture
def queue_url(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[str]:  # noqa: ARG001 (its set-up is needed)
    with mock_aws():
        sqs = boto3.client("sqs")
        url = sqs.create_queue(QueueName="orders")["QueueUrl"]
        monkeypatch.setattr(simulator, "_sqs", sqs)
        monkeypatch.setenv("ORDERS_QUEUE_URL", url)
        yield url


def bodies(queue: FakeBatchService) -> list[dict[str, Any]]:
    return [json.loads(entry["MessageBody"]) for entry in queue.taken]


def without_ids(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in order.items() if key not in {"orderID", "order_date"}} for order in orders]


def test_orders_arrive_on_the_queue(queue_url: str, clock: Clock) -> None:
    assert simulator.handler({"count": 13, "error_rate": 0, "seed": 7}, clock) == {"sent": 13, "invalid": 0}
    attributes = boto3.client("sqs").get_queue_attributes(
        QueueUrl=queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "13"


@pytest.mark.parametrize("event", [{}, None, {"detail-type": "Scheduled Event"}])
def test_without_wishes_twenty_orders_are_sent(queue: FakeBatchService, clock: Clock, event: Any) -> None:
    assert simulator.handler(event, clock)["sent"] == 20
    assert [len(call) for call in queue.calls] == [10, 10]


def test_each_order_is_valid_or_invalid_as_counted(queue: FakeBatchService, clock: Clock) -> None:
    result = simulator.handler({"count": 2_000, "seed": 1}, clock)
    invalid, reasons = 0, set[str]()
    for entry in queue.taken:
        try:
            order = decode_order(entry["MessageBody"], "not used!")
        except InvalidOrder as error:
            reasons.add(str(error))
            invalid += 1
            continue
        assert order.price_per_item * 100 == int(order.price_per_item * 100), "at most two decimals"
        assert order.price_per_item > 0
        assert order.customer_id
        assert order.order_date
    assert result == {"sent": 2_000, "invalid": invalid}
    assert reasons == {'price_per_item: "err" is not a number'}
    assert 220 < invalid < 380, "about 15 %"
    assert len({order["product"] for order in bodies(queue)}) > 10


@pytest.mark.parametrize(("rate", "invalid"), [(0, 0), (0.0, 0), (1, 50), (1.0, 50)])
def test_the_error_rates_ends(queue: FakeBatchService, clock: Clock, rate: float, invalid: int) -> None:
    assert simulator.handler({"count": 50, "error_rate": rate}, clock) == {"sent": 50, "invalid": invalid}
    assert len(queue.taken) == 50


def test_a_seed_repeats_the_orders_under_new_ids(queue: FakeBatchService, clock: Clock) -> None:
    event = {"count": 40, "error_rate": 0.5, "seed": 7}
    results = [simulator.handler(event, clock) for _ in range(2)]
    first, second = bodies(queue)[:40], bodies(queue)[40:]
    assert results[0] == results[1]
    assert without_ids(first) == without_ids(second)
    assert len({order["orderID"] for order in first + second}) == 80


@pytest.mark.parametrize("events", [({"seed": 1}, {"seed": 2}), ({}, {}), ({"seed": 0}, {})])
def test_otherwise_orders_differ(queue: FakeBatchService, clock: Clock, events: tuple[Any, Any]) -> None:
    for event in events:
        simulator.handler(event, clock)
    assert without_ids(bodies(queue)[:20]) != without_ids(bodies(queue)[20:])


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        *(("count", value, "an integer between 0 and 10000") for value in (True, -1, 10_001, "5", 2.0, None, [5])),
        *(
            ("error_rate", value, "a number between 0 and 1")
            for value in (False, -0.1, 1.1, "0.5", float("nan"), float("inf"), None)
        ),
        *(("seed", value, "an integer of at least 0") for value in (True, -1, 1.5, "7", None, float("nan"))),
    ],
)
def test_a_wrong_value_is_named_before_anything_is_sent(
    queue: FakeBatchService, clock: Clock, field: str, value: Any, rule: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field}: ") as caught:
        simulator.handler({field: value}, clock)
    assert str(caught.value) == f"{field}: {value!r} is not {rule}"
    assert queue.calls == []


@pytest.mark.parametrize("event", [[], "20", 20])
def test_an_event_must_be_an_object(queue: FakeBatchService, clock: Clock, event: Any) -> None:
    with pytest.raises(ValueError, match=r"^event: "):
        simulator.handler(event, clock)
    assert queue.calls == []


def test_entries_and_calls_that_failed_for_a_moment_are_sent_again(queue: FakeBatchService, clock: Clock) -> None:
    queue.answers = [
        {3: ("InternalError", False), 7: ("RequestThrottled", True)},
        {1: ("InternalError", False)},
        timeout(),
    ]
    assert simulator.handler({"count": 10}, clock)["sent"] == 10
    assert [len(call) for call in queue.calls] == [10, 2, 1, 1]
    assert len({order["orderID"] for order in bodies(queue)}) == 10


def test_what_sqs_does_not_take_is_an_error_with_counts(queue: FakeBatchService, clock: Clock) -> None:
    queue.answers = [{}, {4: ("InvalidMessageContents", True)}]
    with pytest.raises(simulator.NotAllSentError, match=r"^SQS took 19 of 30 orders"):
        simulator.handler({"count": 30}, clock)
    assert len(queue.calls) == 2, "what fails for good is not tried again"


def test_a_missing_queue_is_an_error_at_once(queue: FakeBatchService, clock: Clock) -> None:
    queue.answers = [client_error("AWS.SimpleQueueService.NonExistentQueue")]
    with pytest.raises(simulator.NotAllSentError, match=r"^SQS took 0 of 20 orders"):
        simulator.handler({}, clock)
    assert len(queue.calls) == 1


def test_the_end_of_the_functions_time_is_an_error_with_counts(queue: FakeBatchService, clock: Clock) -> None:
    clock.seconds_left = 0.7
    with pytest.raises(simulator.NotAllSentError, match=r"^SQS took 0 of 20 orders"):
        simulator.handler({}, clock)
    assert queue.calls == []


@pytest.mark.usefixtures("queue")
def test_the_most_orders_cost_little_time(clock: Clock) -> None:
    started = time.process_time()
    assert simulator.handler({"count": 10_000}, clock)["sent"] == 10_000
    assert time.process_time() - started < 5, "of 300 s, on a small function of a fourteenth of a processor"
