"""The audit gives every order that was sent one place, and calls none lost that may still be on its way."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from shop import audit as auditing
from shop import dead_letters
from shop.audit import Audit, Sent, audit, read_sent
from shop.errors import ShopError
from shop.target import Target
from tests.unit import shop_stack

PLACED = b"""[
  {"orderID": "A-1", "status": 202, "messageId": "m-1", "refusal": null},
  {"orderID": null, "status": 202, "messageId": "m-2", "refusal": null},
  {"orderID": "A-3", "status": 400, "messageId": null, "refusal": "quantity: 0 is below 1"},
  {"orderID": null, "status": 400, "messageId": null, "refusal": "body: not JSON"}
]"""


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    # moto has all of a queue's messages in one place, so a short poll finds them as well.
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0)
    with mock_aws():
        yield shop_stack.deploy()


def store(target: Target, *ids: str) -> None:
    for order_id in ids:
        target.client("dynamodb").put_item(
            TableName=target.output("OrdersTableName"), Item={"orderID": {"S": order_id}, "product": {"S": "Tea"}}
        )


def send(target: Target, queue: str, body: str, original_id: str | None = None) -> str:
    attributes: dict[str, Any] = {}
    if original_id is not None:
        attributes["original_message_id"] = {"DataType": "String", "StringValue": original_id}
    answer = target.client("sqs").send_message(
        QueueUrl=target.output(queue), MessageBody=body, MessageAttributes=attributes
    )
    return str(answer["MessageId"])


def bury(target: Target, body: str, original_id: str | None = None) -> str:
    return send(target, "OrdersDeadLetterQueueUrl", body, original_id)


def counts(result: Audit) -> tuple[int | None, int, int, int, int, int]:
    return (result.accepted, result.stored, result.dead, result.queued, result.unknown, result.refused)


def test_every_order_has_one_place(target: Target) -> None:
    store(target, "A-1", "A-2", "others")
    bury(target, '{"orderID": "A-3", "quantity": "two"}')
    result = audit(target, ["A-1", "A-2", "A-3", "A-4"])
    assert result.places == {"A-1": "stored", "A-2": "stored", "A-3": "dead-lettered", "A-4": "unknown"}
    assert counts(result) == (4, 2, 1, 0, 1, 0)
    assert auditing.unknown_ids(result) == ["A-4"]
    assert (result.totals.stored, result.totals.dead, result.totals.queued) == (3, 1, 0)


def test_while_something_is_queued_nothing_is_called_lost(target: Target) -> None:
    send(target, "OrdersQueueUrl", '{"orderID": "A-1"}')
    result = audit(target, ["A-1", "A-2"])
    assert set(result.places.values()) == {"in queue or unknown"}
    assert counts(result) == (2, 0, 0, 2, 0, 0)
    assert result.totals.queued == 1


def test_the_orders_queue_is_never_received_from(target: Target) -> None:
    send(target, "OrdersQueueUrl", '{"orderID": "A-1"}')
    audit(target, ["A-1"])
    [message] = target.client("sqs").receive_message(
        QueueUrl=target.output("OrdersQueueUrl"), MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_dead_letters_are_given_back(target: Target) -> None:
    bury(target, "{}")
    audit(target)
    assert audit(target).dead == 1


def test_dead_letters_without_an_order_id_are_known_by_their_messages(target: Target) -> None:
    first = bury(target, "not JSON")
    bury(target, "not JSON either", original_id="m-of-the-first-try")
    result = audit(target, [first, "m-of-the-first-try"])
    assert set(result.places.values()) == {"dead-lettered"}


def test_while_another_reader_holds_dead_letters_nothing_is_called_lost(target: Target) -> None:
    bury(target, '{"orderID": "A-1"}')
    target.client("sqs").receive_message(QueueUrl=target.output("OrdersDeadLetterQueueUrl"))
    result = audit(target, ["A-1"])
    assert result.places == {"A-1": "in queue or unknown"}
    assert result.totals.held == 1


def test_an_order_that_is_stored_while_the_table_is_read_is_found(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = auditing._scan

    def scan_then_store(*args: Any) -> Any:
        result = scan(*args)
        store(target, "A-1")
        return result

    monkeypatch.setattr(auditing, "_scan", scan_then_store)
    assert audit(target, ["A-1"]).places == {"A-1": "stored"}


def test_an_order_queued_while_the_audit_runs_is_not_called_lost(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = auditing._scan

    def scan_then_send(*args: Any) -> Any:
        result = scan(*args)
        send(target, "OrdersQueueUrl", '{"orderID": "A-1"}')
        return result

    monkeypatch.setattr(auditing, "_scan", scan_then_send)
    assert audit(target, ["A-1"]).places == {"A-1": "in queue or unknown"}


def test_an_order_that_is_stored_while_the_queue_is_counted_last_is_found(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redriven after the dead letters were read, it is still queued when the table is."""
    count, counts_before = auditing.queue_depth, iter([False, False])

    def store_then_count(sqs: Any, url: str) -> int:
        # The first count of the orders queue, that of the dead letters, and the last one.
        if next(counts_before, None) is None:
            store(target, "A-1")
        return count(sqs, url)

    monkeypatch.setattr(auditing, "queue_depth", store_then_count)
    assert audit(target, ["A-1"]).places == {"A-1": "stored"}


def test_a_refused_order_that_is_nowhere_is_no_loss(target: Target) -> None:
    store(target, "A-2")
    result = audit(target, ["A-1", "A-2"], {"A-1", "A-2"})
    assert result.places == {"A-1": "refused", "A-2": "stored"}
    assert counts(result) == (1, 1, 0, 0, 0, 1)


def test_what_was_sent_twice_and_what_is_in_two_places_is_counted(target: Target) -> None:
    store(target, "A-1")
    bury(target, '{"orderID": "A-1", "quantity": 2}')
    result = audit(target, ["A-1", "A-1", "A-1"])
    assert result.places == {"A-1": "stored"}
    assert (result.accepted, result.duplicates, result.stored_and_dead) == (1, 2, 1)


def test_without_ids_there_are_the_counts(target: Target) -> None:
    store(target, "A-1", "A-2")
    bury(target, '{"orderID": "A-2"}')
    send(target, "OrdersQueueUrl", "{}")
    result = audit(target)
    assert counts(result) == (None, 2, 1, 1, 0, 0)
    assert (result.stored_and_dead, result.places) == (1, {})


@pytest.mark.slow
def test_more_orders_than_a_page_of_the_table_and_than_a_batch_of_keys(target: Target) -> None:
    stored = [f"A-{number}" for number in range(250)]
    store(target, *stored)
    missing = [f"B-{number}" for number in range(250)]
    result = audit(target, stored + missing)
    assert (result.stored, result.unknown) == (250, 250)


def test_an_id_that_no_key_can_be_is_unknown(target: Target) -> None:
    assert audit(target, ["x" * 3_000]).unknown == 1


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (b"A-1\n\n  A-2\t\r\n", Sent(["A-1", "A-2"])),
        (b"\xef\xbb\xbfA-1\nA-1", Sent(["A-1", "A-1"])),
        (b'{"orderID": "A-1", "quantity": 2}\n{"messageId": "m-2"}\nA-3', Sent(["A-1", "m-2", "A-3"])),
        (PLACED, Sent(["A-1", "m-2", "A-3"], frozenset({"A-3"}))),
        (b'{"orderID": "A-1", "refusal": "throttled"}\n{"orderID": "A-1", "messageId": "m"}', Sent(["A-1", "A-1"])),
        (b"", Sent([])),
    ],
)
def test_what_was_sent_is_read(text: bytes, sent: Sent) -> None:
    assert read_sent(text.split(b"\n"), "sent") == sent


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'A-1\n{"quantity": 2}', "sent, line 2: has neither an orderID nor a messageId"),
        (b'[{"messageId": "m"}, {}]', "sent, order 2: has neither an orderID nor a messageId"),
        (b'A-1\n{"orderID": ', "sent, line 2: neither an id nor an order"),
        (b'{"orderID": 7}', "sent, line 1: neither an id nor an order"),
        (b"A-\xff", "sent, line 1: neither an id nor an order"),
        (b'[{"orderID": "A-1"}', "sent: not an array of orders"),
    ],
)
def test_what_cannot_be_read_is_named(text: bytes, problem: str) -> None:
    with pytest.raises(ShopError) as raised:
        read_sent(text.split(b"\n"), "sent")
    assert str(raised.value).startswith(problem)


def test_a_table_of_places_shows_all_of_them(target: Target) -> None:
    store(target, "A-1")
    shown = dict(auditing.rows(audit(target, ["A-1", "A-2", "A-2"], {"A-3"})))
    assert shown == {
        "accepted": 2,
        "stored": 1,
        "dead-lettered": 0,
        "in queue or unknown": 0,
        "unknown": 1,
        "ids sent again": 1,
    }
    assert list(auditing.rows(audit(target))) == [
        ("stored", 1),
        ("in the dead-letter queue", 0),
        ("in the orders queue", 0),
    ]
