"""What the processor does with a batch, for each thing that can go wrong with the messages or with the table."""

import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_processor import handler as processor
from shared import times
from shared.order_items import from_item
from shared.order_rules import FIELDS, InvalidOrder
from shared.orders import decode_order, reason
from tests.embedded_metrics import counts
from tests.unit.fakes import TABLE, Clock, FakeTable, Fault, client_error, timeout

SENT_MS = "1795684500123"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> FakeTable:
    table = FakeTable(clock)
    monkeypatch.setattr(processor, "_dynamodb", table)
    monkeypatch.setenv("DYNAMODB_ORDERS_TABLE", TABLE)
    return table


def order(order_id: str | None = None, **changes: Any) -> str:
    fields = {"product": "Espresso", "quantity": 1, "price_per_item": 2.2} | changes
    return json.dumps(fields if order_id is None else {"orderID": order_id} | fields)


def message(message_id: str, body: str, **changes: Any) -> dict[str, Any]:
    return {"messageId": message_id, "body": body, "attributes": {"SentTimestamp": SENT_MS}} | changes


def process(clock: Clock, *messages: Mapping[str, Any]) -> list[str]:
    """Runs the handler on a batch; the ids of the messages that it reports as failed."""
    answer = processor.handler({"Records": list(messages)}, clock)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_a_batch_is_stored_in_one_call(table: FakeTable, clock: Clock) -> None:
    full = order("A-1", customer_id="C-7", order_date="2026-11-26T09:15:00Z", price_per_item=3.5)
    messages = [message("m-1", full), *(message(f"m-{n}", order(f"A-{n}")) for n in range(2, 11))]
    assert process(clock, *messages) == []
    assert table.calls == [[f"A-{n}" for n in range(1, 11)]]
    assert table.reads == []
    assert table.items["A-1"] == {
        "orderID": {"S": "A-1"},
        "customer_id": {"S": "C-7"},
        "product": {"S": "Espresso"},
        "quantity": {"N": "1"},
        "price_per_item": {"N": "3.5"},
        "order_date": {"S": "2026-11-26T09:15:00Z"},
        "received_at": {"S": "2026-11-26T09:15:00.123Z"},
        "message_id": {"S": "m-1"},
    }


def test_more_orders_than_a_call_takes_go_in_several(table: FakeTable, clock: Clock) -> None:
    assert process(clock, *(message(f"m-{n}", order(f"A-{n}")) for n in range(60))) == []
    assert [len(call) for call in table.calls] == [25, 25, 10]
    assert len(table.items) == 60


def test_an_order_without_id_takes_the_messages(table: FakeTable, clock: Clock) -> None:
    attributes = {"original_message_id": {"stringValue": "m-0", "dataType": "String"}}
    assert process(clock, message("m-1", order()), message("m-2", order(), messageAttributes=attributes)) == []
    assert set(table.items) == {"m-1", "m-0"}


@pytest.mark.parametrize("attribute", [{"stringValue": "no id"}, {"binaryValue": "AAAA", "dataType": "Binary"}, {}])
def test_a_bad_original_id_makes_the_order_invalid(table: FakeTable, clock: Clock, attribute: dict[str, str]) -> None:
    bad = message("m-1", order(), messageAttributes={"original_message_id": attribute})
    assert process(clock, bad, message("m-2", order())) == ["m-1"]
    assert set(table.items) == {"m-2"}


@pytest.mark.parametrize("body", ["", "hello", "[]", order("A-1", price_per_item="err"), "[" * 100_000, "\ud800"])
def test_an_invalid_order_fails_alone(table: FakeTable, clock: Clock, body: str) -> None:
    assert process(clock, message("m-1", order("A-1")), message("m-2", body), message("m-3", order("A-3"))) == ["m-2"]
    assert set(table.items) == {"A-1", "A-3"}


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": {"SentTimestamp": "soon"}},
        {"attributes": {"SentTimestamp": "9" * 30}},
        {"messageAttributes": "none"},
    ],
)
def test_a_message_that_is_not_understood_fails_alone(
    table: FakeTable, clock: Clock, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    assert process(clock, message("m-1", order("A-1")), message("m-2", order("A-2"), **changes)) == ["m-2"]
    assert set(table.items) == {"A-1"}
    assert counts(caplog.records)["OrdersInvalid{reason=body}"] == 1


@pytest.mark.parametrize("changes", [{"attributes": {}}, {"attributes": None}, {"messageAttributes": None}])
def test_a_message_made_up_by_hand_is_stored(table: FakeTable, clock: Clock, changes: dict[str, Any]) -> None:
    assert process(clock, message("m-1", order("A-1"), **changes)) == []
    assert from_item(table.items["A-1"]).received_at.endswith("Z")


@pytest.mark.parametrize("event", [{}, {"Records": [{"body": "{}"}]}])
def test_an_event_of_another_kind_fails_whole(table: FakeTable, clock: Clock, event: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        processor.handler(event, clock)
    assert table.items == {}


def test_a_redelivery_is_done_and_changes_nothing(table: FakeTable, clock: Clock) -> None:
    process(clock, message("m-1", order("A-1", price_per_item=3.5)))
    before = dict(table.items)
    later = message("m-1", order("A-1", price_per_item=3.5).replace("3.5", "3.50"), attributes={"SentTimestamp": "1"})
    assert process(clock, later) == []
    assert table.items == before
    assert table.reads == [["A-1"]]


def test_a_conflict_fails_and_the_first_stays(table: FakeTable, clock: Clock) -> None:
    process(clock, message("m-1", order("A-1")))
    before = dict(table.items)
    assert process(clock, message("m-2", order("A-1", quantity=2)), message("m-3", order("A-3"))) == ["m-2"]
    assert table.items["A-1"] == before["A-1"]
    assert "A-3" in table.items


def test_an_item_that_is_no_order_is_a_conflict(table: FakeTable, clock: Clock) -> None:
    table.items["A-1"] = {"orderID": {"S": "A-1"}, "product": {"S": "Espresso"}}
    assert process(clock, message("m-1", order("A-1"))) == ["m-1"]
    assert set(table.items["A-1"]) == {"orderID", "product"}


def test_one_id_twice_in_a_batch(table: FakeTable, clock: Clock) -> None:
    failed = process(
        clock,
        message("m-1", order("A-1")),
        message("m-2", order("A-1")),
        message("m-3", order("A-1", quantity=2)),
        message("m-4", order("A-1", quantity=2)),
    )
    assert failed == ["m-3", "m-4"]
    assert table.calls == [["A-1"]]
    assert from_item(table.items["A-1"]).order.quantity == 1


def test_one_id_twice_in_a_batch_is_compared_with_what_was_there(table: FakeTable, clock: Clock) -> None:
    process(clock, message("m-0", order("A-1", quantity=2)))
    assert process(clock, message("m-1", order("A-1")), message("m-2", order("A-1", quantity=2))) == ["m-1"]
    assert table.reads == [["A-1"]]


TRANSIENT = [
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "ThrottlingError",
    "TransactionConflict",
]
TRANSIENT_CALLS = [
    client_error("ThrottlingException"),
    client_error("ProvisionedThroughputExceededException"),
    client_error("RequestLimitExceeded"),
    client_error("InternalServerError", 500),
    client_error("Whatever", 503),
    timeout(),
]


@pytest.mark.parametrize("code", TRANSIENT)
@pytest.mark.parametrize("ran", [[], [1]])
def test_statements_that_failed_for_a_moment_are_tried_again(
    table: FakeTable, clock: Clock, code: str, ran: list[int]
) -> None:
    table.insert_faults = [Fault({1: code}, ran=ran)]
    assert process(clock, message("m-1", order("A-1")), message("m-2", order("A-2"))) == []
    assert table.calls == [["A-1", "A-2"], ["A-2"]]
    assert set(table.items) == {"A-1", "A-2"}


@pytest.mark.parametrize("error", TRANSIENT_CALLS, ids=repr)
@pytest.mark.parametrize("place", ["before", "after"])
def test_calls_that_failed_for_a_moment_are_made_again(
    table: FakeTable, clock: Clock, error: Exception, place: str
) -> None:
    table.insert_faults = [Fault(before=error) if place == "before" else Fault(after=error)] * 2
    assert process(clock, message("m-1", order("A-1")), message("m-2", order("A-2"))) == []
    assert set(table.items) == {"A-1", "A-2"}
    assert len(table.calls) == 3


def test_a_write_without_an_answer_is_no_conflict_and_does_not_hide_one(table: FakeTable, clock: Clock) -> None:
    process(clock, message("m-0", order("A-2", quantity=9)))
    table.insert_faults = [Fault(after=timeout())]
    assert process(clock, message("m-1", order("A-1")), message("m-2", order("A-2"))) == ["m-2"]
    assert from_item(table.items["A-2"]).order.quantity == 9


@pytest.mark.parametrize(
    "code", ["ValidationError", "AccessDenied", "ResourceNotFound", "ItemCollectionSizeLimitExceeded"]
)
def test_a_statement_refused_for_good_fails_alone_and_at_once(table: FakeTable, clock: Clock, code: str) -> None:
    table.insert_faults = [Fault({0: code})]
    assert process(clock, message("m-1", order("A-1")), message("m-2", order("A-2"))) == ["m-1"]
    assert len(table.calls) == 1


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"])
def test_a_call_refused_for_good_fails_all_at_once(table: FakeTable, clock: Clock, code: str) -> None:
    table.insert_faults = [Fault(before=client_error(code))]
    assert process(clock, message("m-1", order("A-1")), message("m-2", "hello")) == ["m-1", "m-2"]
    assert len(table.calls) == 1
    assert clock.pauses == []


@pytest.mark.parametrize("fault", [*TRANSIENT_CALLS, 1], ids=repr)
def test_a_read_that_failed_for_a_moment_is_made_again(table: FakeTable, clock: Clock, fault: Exception | int) -> None:
    process(clock, message("m-1", order("A-1")), message("m-2", order("A-2")))
    table.read_faults = [fault, fault]
    assert process(clock, message("m-1", order("A-1")), message("m-2", order("A-2"))) == []
    assert 2 <= len(table.reads) <= 3


def test_a_read_refused_for_good_leaves_the_message_failed(table: FakeTable, clock: Clock) -> None:
    process(clock, message("m-1", order("A-1")))
    table.read_faults = [client_error("AccessDeniedException")]
    assert process(clock, message("m-1", order("A-1")), message("m-2", order("A-2"))) == ["m-1"]
    assert len(table.reads) == 1


@pytest.mark.parametrize("seconds", [3.0, 30.0])
def test_a_lasting_failure_is_retried_until_a_call_would_not_end_in_time(
    table: FakeTable, clock: Clock, seconds: float
) -> None:
    clock.seconds_left = seconds
    table.insert_faults = [Fault(before=client_error("ThrottlingException"))] * 1000
    assert process(clock, message("m-1", order("A-1")), message("m-2", order("A-2"))) == ["m-1", "m-2"]
    assert len(table.calls) >= 3, "retried even within a function timeout of 3 s"
    assert clock.seconds_left > 0.5, "time for the last call's answer and to end in order"
    assert max(clock.pauses) <= 2.0


def test_a_redelivery_is_known_even_when_most_of_the_time_is_gone(table: FakeTable, clock: Clock) -> None:
    process(clock, message("m-1", order("A-1")))
    clock.seconds_left = 1.0
    assert process(clock, message("m-1", order("A-1"))) == []
    assert len(table.reads) == 1


def test_pauses_are_random_below_a_bound_that_doubles(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(random.SystemRandom, "uniform", lambda _self, low, high: low + high)
    assert len(list(times.attempts(clock.get_remaining_time_in_millis))) > 10
    assert clock.pauses[:8] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_logs_have_ids_and_rules_but_no_customer_data(
    table: FakeTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    process(clock, message("m-0", order("A-1")))
    table.insert_faults = [Fault({0: "AccessDenied"}), Fault(before=client_error("AccessDeniedException"))]
    customer_text = "Jane-Doe"
    process(
        clock,
        message("m-1", order("A-2", customer_id=customer_text)),
        message("m-2", order("A-3", customer_id=customer_text * 20)),
        message("m-3", order("A-1", product=customer_text)),
        message("m-4", order("A-4", **{customer_text: 1})),
        message("m-5", f'{{"product": "{customer_text}'),
        message("m-6", order("A-6", product=customer_text), attributes={"SentTimestamp": customer_text}),
    )
    texts = [json.dumps(record.__dict__, default=str) for record in caplog.records]
    assert not [text for text in texts if customer_text in text]
    invalid = [record.__dict__ for record in caplog.records if record.message == "invalid order"]
    assert [(line["message_id"], line["field"]) for line in invalid] == [
        ("m-2", "customer_id"),
        ("m-4", "body"),
        ("m-5", "body"),
    ]
    assert caplog.records[-1].__dict__["failed"] == 6


ATTRIBUTES = {
    "request_id": {"stringValue": "0b1c6f50-request", "dataType": "String"},
    "original_message_id": {"stringValue": "m-0", "dataType": "String"},
}


def delivered(message_id: str, body: str, receives: int = 1, *attributes: str) -> dict[str, Any]:
    """A message as SQS delivers it for the so-manieth time, with some of the attributes."""
    system = {"SentTimestamp": SENT_MS, "ApproximateReceiveCount": str(receives)}
    return message(
        message_id, body, attributes=system, messageAttributes={name: ATTRIBUTES[name] for name in attributes}
    )


def lines(caplog: pytest.LogCaptureFixture, text: str) -> list[dict[str, Any]]:
    names = ("message_id", "request_id", "order_id", "receive_count", "field", "orders")
    return [
        {name: vars(line)[name] for name in names if name in vars(line)}
        for line in caplog.records
        if line.message.startswith(text)
    ]


def test_what_is_done_is_named_in_the_batchs_line(
    table: FakeTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    batch = [
        delivered("m-1", order("A-1"), 1, "request_id"),
        delivered("m-2", order("A-1")),
        delivered("m-3", order("A-3"), 1, "request_id", "original_message_id"),
        delivered("m-4", order("A-1", quantity=2)),
    ]
    assert process(clock, *batch) == ["m-4"]
    received_at = "2026-11-26T09:15:00.123Z"
    request = {"request_id": "0b1c6f50-request"}
    expected = [
        {"message_id": "m-1", **request, "order_id": "A-1", "received_at": received_at, "outcome": "stored"},
        {"message_id": "m-2", "order_id": "A-1", "received_at": received_at, "outcome": "duplicate"},
        {"message_id": "m-0", **request, "order_id": "A-3", "received_at": received_at, "outcome": "stored"},
    ]
    assert lines(caplog, "batch done") == [{"orders": expected}]
    assert {name: item["message_id"]["S"] for name, item in table.items.items()} == {"A-1": "m-1", "A-3": "m-0"}


def test_what_is_refused_is_named_in_its_own_line(
    table: FakeTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    process(clock, delivered("m-1", order("A-1")))
    table.insert_faults = [Fault({1: "AccessDenied"})]
    caplog.clear()
    process(
        clock,
        delivered("m-2", order("A-1", quantity=2), 2, "request_id"),
        delivered("m-3", order("A-3"), 3, "original_message_id"),
        delivered("m-4", "hello", 1, "request_id"),
    )
    request = {"request_id": "0b1c6f50-request"}
    assert lines(caplog, "conflict") == [{"message_id": "m-2", **request, "order_id": "A-1", "receive_count": 2}]
    assert lines(caplog, "order not stored") == [{"message_id": "m-0", "order_id": "A-3", "receive_count": 3}]
    assert lines(caplog, "invalid order") == [{"message_id": "m-4", **request, "receive_count": 1, "field": "body"}]


@pytest.mark.parametrize("value", ["", "Jane Doe", "x" * 65, "<id>"])
@pytest.mark.parametrize("name", ["request_id", "original_message_id"])
def test_an_attribute_that_is_no_id_is_in_no_log_and_no_item(
    table: FakeTable, clock: Clock, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    strange = message("m-1", order("A-1"), messageAttributes={name: {"stringValue": value, "dataType": "String"}})
    assert process(clock, strange) == []
    [line] = lines(caplog, "batch done")
    assert line["orders"][0].keys() == {"message_id", "order_id", "received_at", "outcome"}
    assert line["orders"][0]["message_id"] == table.items["A-1"]["message_id"]["S"] == "m-1"


def test_an_order_of_an_earlier_version_has_no_message_id_and_is_the_same_order(
    table: FakeTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    process(clock, message("m-1", order("A-1")))
    del table.items["A-1"]["message_id"]
    caplog.clear()
    assert process(clock, message("m-1", order("A-1"))) == []
    [line] = lines(caplog, "batch done")
    assert line["orders"][0]["outcome"] == "duplicate"


def test_an_order_that_a_later_version_stored_is_the_same_order(table: FakeTable, clock: Clock) -> None:
    process(clock, message("m-1", order("A-1")))
    table.items["A-1"]["status"] = {"S": "new"}
    assert process(clock, message("m-2", order("A-1"))) == []


@pytest.mark.usefixtures("table")
def test_each_message_is_counted_once_whatever_becomes_of_it(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    bodies = {
        "new": order("A-1", quantity=3),
        "twin": order("A-1", quantity=3),
        "conflict": order("A-1", quantity=4),
        "other": order("A-2", quantity=5),
        "no number": order("A-3", price_per_item="err"),
        "free text": "hello",
        "unknown": order("A-4", colour="red"),
        "another unknown": order("A-5", size="L"),
    }
    for receives in (1, 2, 3):
        process(clock, *(delivered(name, body, receives) for name, body in bodies.items()))
    process(clock, *(delivered(f"{name}-redriven", bodies[name], 1, "original_message_id")
                     for name in ("conflict", "free text")))  # fmt: skip
    assert counts(caplog.records) == {
        "OrdersAccepted": 8,
        "OrdersStored": 2,
        "ItemsSold": 8,
        "OrdersConflicted": 1,
        "OrdersInvalid": 4,
        "OrdersInvalid{reason=price_per_item}": 1,
        "OrdersInvalid{reason=body}": 1,
        "OrdersInvalid{reason=unknown field}": 2,
    }


def test_an_order_whose_writing_got_no_answer_is_counted(
    table: FakeTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    process(clock, message("m-0", order("A-3")))
    caplog.clear()
    table.insert_faults = [Fault(after=timeout())]
    process(clock, message("m-1", order("A-1")), message("m-2", order("A-2", quantity=2)), message("m-3", order("A-3")))
    assert counts(caplog.records) == {"OrdersAccepted": 3, "OrdersStored": 2, "ItemsSold": 3}


@given(st.dictionaries(st.text(max_size=5) | st.sampled_from([*FIELDS, "body"]), st.none() | st.text(max_size=3)))
def test_reasons_are_few(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrder) as refusal:
        decode_order(json.dumps(fields), "m-1")
    assert reason(refusal.value) in {*FIELDS, "body", "unknown field"}


def test_a_bad_original_id_counts_as_the_order_id_that_it_stands_for() -> None:
    with pytest.raises(InvalidOrder) as refusal:
        decode_order(order(), "no id")
    assert reason(refusal.value) == "orderID"


ids = st.sampled_from(["A-1", "A-2", "A-3"])
bodies = st.builds(lambda name, quantity: order(name, quantity=quantity), ids, st.integers(1, 2)) | st.just("broken")
statement_faults = st.dictionaries(st.integers(0, 4), st.sampled_from([*TRANSIENT, "ValidationError"]), max_size=3)
insert_faults = st.none() | st.builds(
    Fault,
    statements=statement_faults,
    before=st.none() | st.none() | st.sampled_from([*TRANSIENT_CALLS, client_error("AccessDeniedException")]),
    after=st.none() | st.none() | st.sampled_from(TRANSIENT_CALLS),
    ran=st.lists(st.integers(0, 4), max_size=3),
)
read_faults = st.none() | st.integers(1, 2) | st.sampled_from([*TRANSIENT_CALLS, client_error("AccessDeniedException")])


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    queue=st.lists(bodies, min_size=1, max_size=12),
    writes=st.lists(insert_faults, max_size=12),
    reads=st.lists(read_faults, max_size=6),
    seconds=st.sampled_from([2.0, 2.5, 3.0, 10.0]),
    seed=st.integers(0, 1000),
)
def test_conservation(
    queue: list[str], writes: list[Fault | None], reads: list[Exception | int | None], seconds: float, seed: int
) -> None:
    """Random batches with random faults, delivered three times: no message is done unless the table has its order."""
    dice = random.Random(seed)  # noqa: S311
    clock, receives = Clock(seconds), Counter[str]()
    waiting = {f"m-{number}": text for number, text in enumerate(queue)}
    with pytest.MonkeyPatch.context() as patch:
        table = FakeTable(clock)
        table.insert_faults, table.read_faults = list(writes), list(reads)
        patch.setattr(processor, "_dynamodb", table)
        patch.setattr(time, "sleep", clock.sleep)
        patch.setenv("DYNAMODB_ORDERS_TABLE", TABLE)
        first_stored: dict[str, Any] = {}
        while waiting := {name: text for name, text in waiting.items() if receives[name] < 3}:
            batch = dice.sample(sorted(waiting), k=min(len(waiting), 5))
            receives.update(batch)
            clock.seconds_left = seconds
            failed = process(clock, *(message(name, waiting[name]) for name in batch))
            assert set(failed) <= set(batch)
            for name, item in table.items.items():
                assert first_stored.setdefault(name, item) == item, "nothing is ever overwritten"
            for name in set(batch) - set(failed):
                sent = json.loads(waiting.pop(name), parse_float=Decimal)
                stored = from_item(table.items[sent["orderID"]]).order
                assert (stored.quantity, stored.price_per_item) == (sent["quantity"], sent["price_per_item"])
