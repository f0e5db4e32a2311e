"""What the notifier publishes, and what it reports when records or the topic fail."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from order_notifier import handler as notifier
from order_notifier.announcement import announce, size, to_json
from shared.order_items import StoredOrder, to_item
from shared.order_rules import Order
from tests.embedded_metrics import counts
from tests.unit.fakes import Clock, FakeBatchService, client_error, timeout

RECEIVED_AT = "2026-11-26T09:15:00.123Z"
FULL = StoredOrder(Order("A-1001", "Caffè Latte", 2, Decimal("3.5"), "C-7", "2026-11-26T09:15:00Z"), RECEIVED_AT, "m-1")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setenv("ORDER_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:orders")
    notifier._announced_early.clear()
    return clock


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> FakeBatchService:  # noqa: ARG001 (its set-up is needed)
    topic = FakeBatchService()
    monkeypatch.setattr(notifier, "_sns", topic)
    return topic


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Any]:  # noqa: ARG001 (its set-up is needed)
    """A queue subscribed to a topic of moto's; call it for the notifications that it got."""
    with mock_aws():
        sns, sqs = boto3.client("sns"), boto3.client("sqs")
        arn = sns.create_topic(Name="orders")["TopicArn"]
        url = sqs.create_queue(QueueName="mailbox")["QueueUrl"]
        queue_arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
        monkeypatch.setattr(notifier, "_sns", sns)
        monkeypatch.setenv("ORDER_TOPIC_ARN", arn)
        yield lambda: [
            json.loads(message["Body"])
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        ]


def record(number: int, stored: StoredOrder | None = None, **changes: Any) -> dict[str, Any]:
    stored = stored or StoredOrder(Order(f"A-{number}", "Espresso", 1, Decimal("2.2")), RECEIVED_AT)
    return {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(number), "NewImage": to_item(stored)}} | changes


def poison(number: int) -> dict[str, Any]:
    return record(number, dynamodb={"SequenceNumber": str(number), "NewImage": {"orderID": {"S": f"A-{number}"}}})


def run(clock: Clock, *records: Mapping[str, Any]) -> str | None:
    """Runs the handler; the sequence number that it reports as the first failed."""
    failures = notifier.handler({"Records": list(records)}, clock)["batchItemFailures"]
    assert len(failures) <= 1
    return failures[0]["itemIdentifier"] if failures else None


def announced(topic: FakeBatchService) -> list[str]:
    return [entry["Subject"].removeprefix("New order ") for entry in topic.taken]


def test_the_announcement_as_subscribers_get_it(mailbox: Any, clock: Clock) -> None:
    assert run(clock, record(1, FULL)) is None
    (mail,) = mailbox()
    assert mail["Subject"] == "New order A-1001"
    assert mail["Message"] == (
        "{\n"
        '  "orderID": "A-1001",\n'
        '  "customer_id": "C-7",\n'
        '  "product": "Caffè Latte",\n'
        '  "quantity": 2,\n'
        '  "price_per_item": 3.5,\n'
        '  "order_date": "2026-11-26T09:15:00Z",\n'
        '  "received_at": "2026-11-26T09:15:00.123Z",\n'
        '  "message_id": "m-1"\n'
        "}"
    )
    assert {name: value["Value"] for name, value in mail["MessageAttributes"].items()} == {
        "event": "order.created",
        "deduplication_id": "A-1001",
        "product": "Caffè Latte",
    }


def test_what_is_announced_is_named_and_counted_and_nothing_else(
    topic: FakeBatchService, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shop")
    topic.answers = [{1: ("InvalidParameter", True)}]
    assert run(clock, record(1, FULL), record(2), record(3)) == "2"
    assert vars(caplog.records[-1])["orders"] == [{"message_id": "m-1", "order_id": "A-1001"}, {"order_id": "A-3"}]
    assert run(clock, record(2), record(3)) is None
    assert vars(caplog.records[-1])["orders"] == [{"order_id": "A-2"}]
    assert counts(caplog.records) == {"OrdersAnnounced": 3}


def test_a_batch_is_published_in_one_call_in_order(topic: FakeBatchService, clock: Clock) -> None:
    assert run(clock, *(record(number) for number in range(1, 11))) is None
    assert len(topic.calls) == 1
    assert announced(topic) == [f"A-{number}" for number in range(1, 11)]


def test_only_new_items_are_announced(topic: FakeBatchService, clock: Clock) -> None:
    assert run(clock, record(1, eventName="MODIFY"), record(2, eventName="REMOVE"), record(3)) is None
    assert announced(topic) == ["A-3"]
    assert run(clock, record(4, eventName="MODIFY")) is None
    assert len(topic.calls) == 1


@pytest.mark.parametrize("failure", [("InternalError", False), ("Throttled", True), ("ThrottledException", False)])
def test_entries_that_failed_for_a_moment_are_published_again(
    topic: FakeBatchService, clock: Clock, failure: tuple[str, bool]
) -> None:
    topic.answers = [{1: failure}, {0: failure}]
    assert run(clock, record(1), record(2), record(3)) is None
    assert announced(topic) == ["A-1", "A-3", "A-2"]
    assert [len(call) for call in topic.calls] == [3, 1, 1]


@pytest.mark.parametrize(
    "error", [timeout(), client_error("Throttling"), client_error("InternalFailure", 500)], ids=repr
)
def test_calls_that_failed_for_a_moment_are_made_again(topic: FakeBatchService, clock: Clock, error: Exception) -> None:
    topic.answers = [error, error]
    assert run(clock, record(1), record(2)) is None
    assert announced(topic) == ["A-1", "A-2"]


def test_a_call_refused_for_good_is_reported_at_once(topic: FakeBatchService, clock: Clock) -> None:
    topic.answers = [client_error("AuthorizationError", 403)]
    assert run(clock, record(1), record(2)) == "1"
    assert len(topic.calls) == 1


def test_a_lasting_failure_ends_in_time(topic: FakeBatchService, clock: Clock) -> None:
    topic.answers = [client_error("Throttling")] * 1000
    assert run(clock, record(1), record(2)) == "1"
    assert len(topic.calls) > 5
    assert clock.seconds_left > 0.5


def test_a_poisoned_record_is_reported_and_blocks_nobody(topic: FakeBatchService, clock: Clock) -> None:
    assert run(clock, record(1), poison(2), record(3), poison(4), record(5)) == "2"
    assert announced(topic) == ["A-1", "A-3", "A-5"]


@pytest.mark.parametrize("image", [{}, None])
def test_a_record_without_an_image_is_poison(topic: FakeBatchService, clock: Clock, image: Any) -> None:
    change = {"SequenceNumber": "1"} | ({} if image is None else {"NewImage": image})
    assert run(clock, record(1, dynamodb=change), record(2)) == "1"
    assert announced(topic) == ["A-2"]


def test_another_order_under_a_known_sequence_number_is_announced(topic: FakeBatchService, clock: Clock) -> None:
    run(clock, poison(1), record(2))
    assert run(clock, record(2, FULL)) is None
    assert announced(topic) == ["A-2", "A-1001"]


@pytest.mark.parametrize(
    ("product", "attribute"),
    [
        ("\0", "\ufffd"),
        ("a\x1bb\ufffe\uffff", "a\ufffdb\ufffd\ufffd"),
        ("😀 é \x7f\x85", "😀 é \x7f\x85"),
        ("tab\tline\n", "tab\tline\n"),
        ("\U0001ffff", "\U0001ffff"),
        (" ", " "),
        ("\ufffe" * 200, "\ufffd" * 200),
    ],
)
def test_what_sns_cannot_carry(product: str, attribute: str) -> None:
    entry = announce(StoredOrder(FULL.order._replace(product=product), RECEIVED_AT), "0")
    assert json.loads(entry["Message"])["product"] == product
    assert entry["MessageAttributes"]["product"]["StringValue"] == attribute
    refused = set("\0\x1b\ufffe\uffff")
    assert not refused & set(entry["Message"] + entry["MessageAttributes"]["product"]["StringValue"])


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200), st.integers(0, 10_000_000_000))
def test_every_message_can_be_parsed_and_has_exact_numbers(product: str, units: int) -> None:
    order = FULL.order._replace(product=product, price_per_item=Decimal(units).scaleb(-4))
    message = json.loads(to_json(StoredOrder(order, RECEIVED_AT)), parse_float=Decimal, parse_int=Decimal)
    assert (message["product"], message["price_per_item"]) == (product, order.price_per_item)


def test_large_announcements_are_spread_over_calls(topic: FakeBatchService, clock: Clock) -> None:
    long_date = f"2026-11-26T09:15:00.{'1' * 120_000}Z"
    large = [
        StoredOrder(Order(f"A-{n}", "😀" * 200, 1, Decimal(1), "\ufffe" * 64, long_date), RECEIVED_AT) for n in range(5)
    ]
    assert run(clock, *(record(number, stored) for number, stored in enumerate(large))) is None
    assert [len(call) for call in topic.calls] == [2, 2, 1]
    assert announced(topic) == [f"A-{n}" for n in range(5)]
    for call in topic.calls:
        assert sum(size(entry) for entry in call) <= 262_144  # type: ignore[arg-type, misc]


def test_the_largest_order_fits_into_one_announcement() -> None:
    date = f"2026-11-26T09:15:00.{'1' * (200_000 - 21)}Z"
    largest = Order("A" * 64, "\0" * 200, 10_000, Decimal("999999.9999"), "\0" * 64, date)
    assert size(announce(StoredOrder(largest, RECEIVED_AT), "0")) < 262_144


@given(products=st.lists(st.text(min_size=1), min_size=1, max_size=3))
@settings(max_examples=30)
def test_a_call_carries_the_form_that_the_sdk_would_send(products: list[str]) -> None:
    orders = [Order(f"A-{at}", product, 1, Decimal("2.2")) for at, product in enumerate(products)]
    entries = [announce(StoredOrder(order, RECEIVED_AT), order.order_id) for order in orders]

    assert sent_form(notifier._sns, entries) == str(sent_form(boto3.client("sns"), entries)).encode()


class NotSentError(Exception):
    """Ends a call before anything leaves the process."""


def sent_form(client: Any, entries: list[Any]) -> object:
    """The body of the request by which a client would publish the entries: text where the SDK itself encodes it."""
    forms: list[object] = []
    topic = "arn:aws:sns:eu-west-1:123456789012:orders"

    def keep(request: Any, **_: object) -> None:
        forms.append(request.body)
        raise NotSentError

    client.meta.events.register("before-send.sns.PublishBatch", keep, unique_id="keep")
    try:
        with pytest.raises(NotSentError):
            client.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    finally:
        client.meta.events.unregister("before-send.sns.PublishBatch", unique_id="keep")
    return forms[0]
