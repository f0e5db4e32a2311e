"""Orders' ways put together from the lines that each step logs, the table and the dead-letter queue."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto import mock_aws

from shop import insights, target, trace
from shop.errors import ShopError
from shop.insights import Found
from shop.target import Target
from shop.trace import Way
from tests.unit import shop_stack

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
START = datetime(2026, 11, 26, 9, 15, tzinfo=UTC)
ORDER = '{"orderID": "A-1", "product": "Caffè Latte", "quantity": 2, "price_per_item": 3.5}'
INVALID = "invalid order"
CONFLICT = "conflict: the id is taken by an order with other content"
IDS = {"message_id": "m-1", "order_id": "A-1"}


def at(ms: int) -> datetime:
    return START + timedelta(milliseconds=ms)


def received(ms: int) -> str:
    return at(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Logs:
    """What the four log groups hold; found by the text of a line, as Logs Insights does."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.searches: list[set[str]] = []

    def add(self, ms: int, step: str, line: dict[str, Any]) -> None:
        self.found.append(Found(at(ms), f"group of {step}", json.dumps(line)))

    def api(self, ms: int, request_id: str, status: str = "202", error: str = "-") -> None:
        self.add(ms, "api", {"requestId": request_id, "status": status, "errorType": error})

    def batch(self, ms: int, step: str, *orders: dict[str, str]) -> None:
        """A worker's line, which also speaks of somebody else's order."""
        others = {"message_id": "m-other", "order_id": "A-1-other", "outcome": "stored"}
        self.add(ms, step, {"message": "batch done", "requestId": "invocation", "orders": [others, *orders]})

    def stored(self, ms: int, message_id: str = "m-1", request_id: str = "r-1", outcome: str = "stored") -> None:
        ids = {"message_id": message_id, "request_id": request_id, "order_id": "A-1"}
        self.batch(ms, "processor", {**ids, "received_at": received(10), "outcome": outcome})

    def refused(self, ms: int, count: int, **more: str) -> None:
        line = {
            "level": "WARNING",
            "message": INVALID,
            "message_id": "m-1",
            "request_id": "r-1",
            "receive_count": count,
        }
        self.add(ms, "processor", {**line, "field": "price_per_item", "rule": "is not a number", **more})

    def search(
        self, _: Any, groups: Sequence[str], ids: Collection[str], since: datetime, now: datetime
    ) -> list[Found]:
        assert all(map(insights.ID.fullmatch, ids))
        assert (since, now) == (NOW - DAY, NOW)
        self.searches.append(set(ids))
        return [each for each in self.found if each.group in groups and any(i in each.message for i in ids)]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Logs:
    found = Logs()
    monkeypatch.setattr(trace, "search", found.search)
    return found


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """A stage with queues and table in moto, whose functions have log groups named after them."""
    names = {
        "OrderProcessorFunctionName": "processor",
        "OrderNotifierFunctionName": "notifier",
        "SalesRecorderFunctionName": "recorder",
    }
    with mock_aws():
        deployed = shop_stack.deploy()
        found = replace(deployed, outputs={**deployed.outputs, **names})
        monkeypatch.setattr(target, "at", lambda *_: found)
        monkeypatch.setattr(trace, "group_of", lambda _, name: f"group of {name}")
        monkeypatch.setattr(trace, "physical_ids", lambda *_: ["group of api", "group of others"])
        monkeypatch.setattr(trace, "_ACCESS_LOGS", "api")
        yield found


def look(dev: Target, wanted: str) -> list[Way]:
    return trace.trace(dev, wanted, NOW - DAY, NOW)


def put_item(dev: Target, **more: str) -> None:
    item: Any = {"orderID": {"S": "A-1"}, "received_at": {"S": received(10)}}
    item |= {name: {"S": value} for name, value in more.items()}
    dev.client("dynamodb").put_item(TableName=dev.output("OrdersTableName"), Item=item)


def send(dev: Target, queue: str, body: str, **attributes: str) -> str:
    values: Any = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}
    answer = dev.client("sqs").send_message(QueueUrl=dev.output(queue), MessageBody=body, MessageAttributes=values)
    return str(answer["MessageId"])


def steps(way: Way) -> list[tuple[str, str, int | None]]:
    return [(step.where, step.what, step.ms) for step in way.steps]


@pytest.fixture
def whole_way(written: Logs) -> None:
    written.api(0, "r-1")
    written.stored(200)
    written.batch(450, "notifier", IDS)
    written.batch(900, "recorder", IDS)


@pytest.mark.usefixtures("whole_way")
@pytest.mark.parametrize("wanted", ["m-1", "r-1", "A-1"])
def test_the_whole_way_is_found_by_each_of_its_ids(dev: Target, written: Logs, wanted: str) -> None:
    put_item(dev, message_id="m-1")
    [way] = look(dev, wanted)
    assert (way.message_id, way.order_id, way.request_id) == ("m-1", "A-1", "r-1")
    assert steps(way) == [
        ("API", "accepted (202)", None),
        ("queue", "accepted", 10),
        ("processor", "stored", 190),
        ("notifier", "announced", 250),
        ("recorder", "recorded", 450),
    ]
    assert way.steps[1].at == "2026-11-26T09:15:00.010Z"
    assert (way.place, way.now) == ("stored", "Stored, announced and recorded.")
    assert len(written.searches) == 2
    assert trace.title(way) == "Order A-1, message m-1, request r-1"


def test_a_step_comes_before_what_follows_from_it_whenever_it_was_logged(dev: Target, written: Logs) -> None:
    written.stored(460)
    written.batch(470, "notifier", IDS)
    written.batch(450, "recorder", IDS)
    [way] = look(dev, "m-1")
    assert steps(way) == [
        ("queue", "accepted", None),
        ("processor", "stored", 440),
        ("notifier", "announced", 0),
        ("recorder", "recorded", 0),
    ]


def test_what_is_missing_is_said(dev: Target, written: Logs) -> None:
    written.stored(200)
    written.batch(450, "notifier", IDS)
    [way] = look(dev, "m-1")
    says = "Not recorded yet, as far as the logs go; if it stays so, see status and dlq list."
    assert way.now == f"Stored and announced. {says}"


def test_of_an_order_older_than_the_search_nothing_is_said_to_be_missing(dev: Target, written: Logs) -> None:
    item: Any = {"orderID": {"S": "A-1"}, "received_at": {"S": received(-2 * 86_400_000)}}
    dev.client("dynamodb").put_item(TableName=dev.output("OrdersTableName"), Item=item)
    [way] = look(dev, "A-1")
    assert way.now == "Stored. Whether it was announced and recorded is in older logs: --since looks further back."
    assert written.searches == [{"A-1"}]


def test_a_stage_without_sales_reports_misses_no_recording(
    dev: Target, written: Logs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def at(*_: object) -> Target:
        raise ShopError("stack dev-sales-report not found")

    monkeypatch.setattr(target, "at", at)
    written.stored(200)
    written.batch(450, "notifier", IDS)
    assert look(dev, "m-1")[0].now == "Stored and announced."
    assert "without the recording of sales: stack dev-sales-report not found" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["dead", "m-1", "r-1", "A-1"])
def test_an_invalid_order_shows_its_tries_and_ends_in_the_dead_letter_queue(
    dev: Target, written: Logs, wanted: str
) -> None:
    body = ORDER.replace("3.5", '"secret of a customer"')
    dead = send(dev, "OrdersDeadLetterQueueUrl", body, original_message_id="m-1")
    written.api(0, "r-1")
    for count in (1, 2, 3):
        written.refused(count * 1000, count)
    [way] = look(dev, dead if wanted == "dead" else wanted)
    tries = [what for where, what, _ in steps(way) if where == "processor"]
    assert tries == [f"invalid order: price_per_item: is not a number, try {count} of 3" for count in (1, 2, 3)]
    assert way.place == "dead-lettered"
    command = f".venv/bin/python -m shop dlq show {dead} --stage dev"
    assert way.now == f"In the orders' dead-letter queue; {command} shows why."
    assert way.order_id == "A-1"
    assert "secret" not in repr(way)


def test_a_dead_letter_is_found_when_no_log_has_it_any_more(dev: Target, written: Logs) -> None:
    dead = send(dev, "OrdersDeadLetterQueueUrl", "{}")
    [way] = look(dev, dead)
    assert [where for where, _, _ in steps(way)] == ["queue"]
    assert way.place == "dead-lettered"
    assert written.searches == [{dead}]


def test_a_stored_order_is_found_when_no_log_has_it_any_more(dev: Target, written: Logs) -> None:
    put_item(dev)
    [way] = look(dev, "A-1")
    assert steps(way) == [("queue", "accepted", None)]
    assert way.place == "stored"
    assert written.searches == [{"A-1"}]


def test_an_announcement_of_an_item_without_message_id_belongs_to_its_order(dev: Target, written: Logs) -> None:
    put_item(dev)
    written.batch(450, "notifier", {"order_id": "A-1"})
    [way] = look(dev, "A-1")
    assert [where for where, _, _ in steps(way)] == ["queue", "notifier"]


def test_a_conflict_is_a_way_of_its_own_beside_the_stored_orders(dev: Target, written: Logs) -> None:
    put_item(dev, message_id="m-1")
    dead = send(dev, "OrdersDeadLetterQueueUrl", ORDER, original_message_id="m-2")
    written.stored(200)
    line = {"message": CONFLICT, "message_id": "m-2", "order_id": "A-1", "receive_count": 3}
    written.add(5000, "processor", line)
    [alone] = look(dev, "m-2")
    assert (alone.message_id, alone.place) == ("m-2", "dead-lettered")
    assert f"{CONFLICT}: try 3 of 3" in [step.what for step in alone.steps]
    by_order = {way.message_id: way.place for way in look(dev, "A-1")}
    assert by_order == {"m-1": "stored", "m-2": "dead-lettered"}
    assert dead in alone.now


def test_a_duplicate_misses_nothing(dev: Target, written: Logs) -> None:
    written.stored(200)
    written.stored(300, message_id="m-2", request_id="r-2", outcome="duplicate")
    [way] = look(dev, "m-2")
    assert steps(way)[1][1] == "the same order is stored already"
    assert way.place == "stored"
    assert way.now.startswith("Nothing is missing")


@pytest.mark.parametrize(("messages", "told"), [(49, ""), (50, "100 of 101 "), (60, "100 of 121 ")])
def test_an_order_of_too_many_messages_says_what_is_not_looked_up(
    dev: Target, written: Logs, capsys: pytest.CaptureFixture[str], messages: int, told: str
) -> None:
    written.stored(20)
    for number in range(messages):
        written.stored(30 + number, message_id=f"m-{number}", request_id=f"r-{number}x", outcome="duplicate")
    look(dev, "A-1")
    found = capsys.readouterr().err
    assert (told in found and "steps are missing" in found) if told else "steps are missing" not in found
    assert all(len(ids) <= insights.MOST_IDS for ids in written.searches)


def test_a_redriven_order_that_is_stored_has_its_earlier_tries(dev: Target, written: Logs) -> None:
    for count in (1, 2, 3):
        written.refused(count * 1000, count)
    redriven = {**IDS, "received_at": received(60_000), "outcome": "stored"}
    written.batch(60_100, "processor", redriven)
    [way] = look(dev, "m-1")
    assert steps(way)[-2:] == [("queue", "accepted again (redriven)", 57_000), ("processor", "stored", 100)]
    assert way.place == "stored"


def test_what_the_api_refused_was_never_on_the_queue(dev: Target, written: Logs) -> None:
    send(dev, "OrdersQueueUrl", "{}")
    written.api(0, "r-1", "400", "BAD_REQUEST_BODY")
    [way] = look(dev, "r-1")
    assert steps(way) == [("API", "refused (400): BAD_REQUEST_BODY", None)]
    assert (way.place, way.now) == ("refused", "The API refused it: it was never on the queue.")


@pytest.mark.parametrize(
    ("write", "waiting", "place", "says"),
    [
        (lambda logs: logs.api(0, "r-1"), True, "in queue or unknown", "Waits for the processor (1 message on"),
        (lambda logs: logs.api(0, "r-1"), False, "unknown", "the orders queue is empty"),
        (lambda logs: logs.refused(0, 1), True, "in queue or unknown", "Not stored: it is tried again"),
        (lambda logs: logs.refused(0, 3), False, "unknown", "it is being moved to the dead-letter queue"),
    ],
)
def test_what_is_neither_stored_nor_dead(
    dev: Target, written: Logs, write: Callable[[Logs], None], waiting: bool, place: str, says: str
) -> None:
    if waiting:
        send(dev, "OrdersQueueUrl", "{}")
    write(written)
    [way] = look(dev, "r-1")
    assert way.place == place
    assert says in way.now


@pytest.mark.usefixtures("whole_way")
@pytest.mark.parametrize("wanted", ["A-2", "m", "invocation"])
def test_an_unknown_id_is_one_sentence(dev: Target, wanted: str) -> None:
    """An id that only stands in a line, as a part of another or as Lambda's own, is no order's."""
    with pytest.raises(ShopError, match=rf"\A{wanted} is unknown in stage dev: .*since 2026-11-25T09:30:00.000Z"):
        look(dev, wanted)


@pytest.mark.parametrize("wanted", ["", "a b", "x/y", "' or 1", "a|b", "A" * 65])
def test_what_is_no_id_never_becomes_a_query(dev: Target, written: Logs, wanted: str) -> None:
    with pytest.raises(ShopError, match="is no message id, request id or orderID"):
        look(dev, wanted)
    assert written.searches == []


@pytest.mark.parametrize("message", ["no JSON", "[1]", '{"orders": 3}', '{"orders": [3]}', '{"message": "x"}'])
def test_other_lines_say_nothing_of_orders(message: str) -> None:
    assert list(trace.read_entries("processor", Found(START, "g", message))) == []


class Query:
    """A client of Logs Insights that answers with these states, one a call."""

    def __init__(self, *states: str, lines: int = 1) -> None:
        self.states = list(states)
        self.lines = lines
        self.started: dict[str, Any] = {}
        self.stopped: list[str] = []

    def start_query(self, **asked: Any) -> dict[str, str]:
        self.started = asked
        return {"queryId": "q"}

    def get_query_results(self, **_: str) -> dict[str, Any]:
        cells = {
            "@timestamp": "2026-11-26 09:15:00.112",
            "@log": "123456789012:/aws/x:y",
            "@message": "{}",
            "@ptr": "p",
        }
        row = [{"field": name, "value": value} for name, value in cells.items()]
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"status": state, "results": [row] * self.lines if state == "Complete" else []}

    def stop_query(self, **_: str) -> None:
        self.stopped.append("q")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the query's poll, in whose time a clock moves."""
    made: list[float] = []
    monkeypatch.setattr("shop.insights.time.sleep", made.append)
    monkeypatch.setattr("shop.insights.time.monotonic", lambda: sum(made))
    return made


def ask(client: Query) -> list[Found]:
    return insights.search(client, ["g", "h"], ["A.1", "m-1"], NOW - DAY, NOW)  # type: ignore[arg-type]


def test_a_query_is_waited_for(pauses: list[float]) -> None:
    client = Query("Scheduled", "Running", "Complete")
    assert ask(client) == [Found(at(112), "/aws/x:y", "{}")]
    assert len(pauses) == 2
    query = client.started.pop("queryString")
    assert r'| filter @message like /"(A\.1|m-1)"/ |' in query
    assert client.started["logGroupNames"] == ["g", "h"]
    assert (client.started["startTime"], client.started["endTime"]) == (
        int((NOW - DAY).timestamp()),
        int(NOW.timestamp()) + 1,
    )


@pytest.mark.usefixtures("pauses")
def test_a_query_that_fails_or_takes_too_long_is_one_sentence() -> None:
    with pytest.raises(ShopError, match="ended as Failed"):
        ask(Query("Failed"))
    slow = Query("Running")
    with pytest.raises(ShopError, match="not searched within 60 s"):
        ask(slow)
    assert slow.stopped == ["q"]


@pytest.mark.usefixtures("pauses")
def test_lines_that_are_left_out_are_never_taken_for_lines_that_there_are_not() -> None:
    with pytest.raises(ShopError, match="more than 10,000 lines"):
        ask(Query("Complete", lines=10_000))


@pytest.mark.parametrize("wanted", ["1", "INFO", "a.b", "-"])
def test_an_id_is_looked_for_whole(wanted: str) -> None:
    found = re.search(r"like /(.*)/ \|", insights.query([wanted]))
    assert found
    assert re.search(found[1], f'{{"order_id": "{wanted}", "quantity": 1}}')
    assert not re.search(found[1], '{"timestamp": "2026-11-21T10:11:12Z", "message": "INFO 1: a.b -", "x": "acb"}')


@pytest.mark.parametrize("ids", [[], ["a/b"], ["a|b"], ['"'], [str(n) for n in range(insights.MOST_IDS + 1)]])
def test_a_query_is_made_of_ids_only(ids: list[str]) -> None:
    with pytest.raises(ValueError, match="ids of letters"):
        insights.query(ids)
