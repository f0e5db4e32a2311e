"""Sending dead letters back when things go wrong: what is not known to be sent stays, and everything is given back."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError
from moto import mock_aws
from typer.testing import CliRunner

from shop import dead_letter_queues, dead_letters, health, move_task, redrive, target
from shop.cli import app
from shop.dead_letter_queues import Filters, Place, parse_since
from shop.dead_letters import Reader
from shop.errors import ShopError
from shop.target import Target
from tests.unit import shop_stack

ORDER = '{"orderID": "A-%d", "product": "Tea", "quantity": 1, "price_per_item": 3.50}'
DEAD = "OrdersDeadLetterQueueUrl"


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0)
    with mock_aws():
        yield shop_stack.deploy()


@pytest.fixture
def places(dev: Target) -> list[Place]:
    return [Place(queue, dev) for queue in dead_letters.order_queues(dev)]


def send(dev: Target, body: str, output: str = DEAD) -> str:
    return str(dev.client("sqs").send_message(QueueUrl=dev.output(output), MessageBody=body)["MessageId"])


def depths(dev: Target, output: str = DEAD) -> tuple[int, int]:
    found = health.depth(dev.client("sqs"), dev.output(output))
    return found.visible, found.in_flight


class _Breaking(Target):
    """A target whose SQS fails from some SendMessage on."""

    error: Exception
    after = 0

    def client(self, service: str, config: Any = None) -> Any:
        client = super().client(service, config)
        if service != "sqs":
            return client
        send, left = client.send_message, iter(range(type(self).after))

        def fail(**arguments: Any) -> Any:
            if next(left, None) is None:
                raise type(self).error
            return send(**arguments)

        client.send_message = fail
        return client


def breaking(dev: Target, error: Exception, after: int = 0) -> list[Place]:
    """The orders' queue of a target that takes so many messages and then fails."""
    _Breaking.error, _Breaking.after = error, after
    where = _Breaking(dev.stage, dev.outputs, dev.session, None)
    return [Place(dead_letters.order_queues(where)[0], where)]


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "SendMessage")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (client_error("AccessDenied"), "list your IAM principal in operator_principal_arns"),
        (client_error("AWS.AccessDeniedException"), "list your IAM principal in operator_principal_arns"),
        (EndpointConnectionError(endpoint_url="https://x"), "what was not sent is where it was"),
    ],
)
def test_what_fails_for_all_ends_the_run_and_gives_back_what_was_not_sent(
    dev: Target, error: Exception, says: str
) -> None:
    for number in range(25):
        send(dev, ORDER % number)
    with pytest.raises(ShopError, match=says):
        redrive.run(breaking(dev, error, after=3), redrive.Redrive(Filters()))
    assert depths(dev, "OrdersQueueUrl") == (3, 0)
    assert depths(dev) == (22, 0)


def test_an_order_keeps_the_ids_by_which_its_way_is_found(dev: Target, places: list[Place]) -> None:
    sqs, attributes = dev.client("sqs"), {"request_id": {"DataType": "String", "StringValue": "r-1"}}
    first = sqs.send_message(QueueUrl=dev.output(DEAD), MessageBody=ORDER % 1, MessageAttributes=attributes)
    redrive.run(places, redrive.Redrive(Filters()))
    url = dev.output("OrdersQueueUrl")
    [message] = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
    found = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert found == {"request_id": "r-1", "original_message_id": first["MessageId"]}


def test_what_fails_for_one_leaves_it_and_goes_on(dev: Target) -> None:
    for number in range(3):
        send(dev, ORDER % number)
    outcomes = redrive.run(breaking(dev, client_error("InvalidMessageContents"), 2), redrive.Redrive(Filters()))
    assert sorted(outcome.state for outcome in outcomes) == ["kept", "sent", "sent"]
    assert "SendMessage: InvalidMessageContents: no" in [outcome.detail for outcome in outcomes]
    assert depths(dev) == (1, 0)


def test_what_a_redrive_sent_and_failed_again_meanwhile_is_left_for_the_next(
    dev: Target, places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a redrive whose cause is not mended would go round for ever."""
    send(dev, ORDER % 1)
    before = time.time_ns() - 60 * 1_000_000_000
    with monkeypatch.context() as patched:
        patched.setattr("time.time_ns", lambda: before)  # so that the message was sent after the start
        assert redrive.run(places, redrive.Redrive(Filters())) == []
    assert depths(dev) == (1, 0)
    [outcome] = redrive.run(places, redrive.Redrive(Filters()))
    assert outcome.state == "sent"


def test_a_message_that_could_not_be_deleted_stays_and_is_told(
    dev: Target, places: list[Place], capsys: pytest.CaptureFixture[str]
) -> None:
    send(dev, ORDER % 1)
    sqs = dev.client("sqs")
    with Reader(sqs, dev.output(DEAD)).open() as reader:
        [[message]] = reader.batches()
        sqs.delete_message_batch = lambda **_: {"Failed": [{"Id": "0", "Code": "x", "SenderFault": False}]}
        reader.delete([message["MessageId"]])
    assert "1 message not deleted" in capsys.readouterr().err
    assert depths(dev) == (1, 0)
    assert [outcome.state for outcome in redrive.run(places, redrive.Redrive(Filters()))] == ["sent"]


def test_messages_that_come_back_while_a_queue_is_worked_through_are_taken_once(
    dev: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "HOLD_SECONDS", 0)
    sent = {send(dev, str(number)) for number in range(35)}
    with Reader(dev.client("sqs"), dev.output(DEAD)).open() as reader:
        found = [message["MessageId"] for batch in reader.batches() for message in batch]
    assert len(found) == len(set(found))
    assert set(found) <= sent


class _Streams:
    """A stream of one shard with a page a record, and an empty page after each (moto has none)."""

    def __init__(self, items: Sequence[Mapping[str, Any]]) -> None:
        self._items = items

    def get_shard_iterator(self, *, SequenceNumber: str, **_: str) -> dict[str, str]:  # noqa: N803
        return {"ShardIterator": SequenceNumber}

    def get_records(self, *, ShardIterator: str) -> dict[str, Any]:  # noqa: N803
        number, _, is_read = ShardIterator.partition("-")
        if is_read:
            return {"Records": [], "NextShardIterator": str(int(number) + 1)}
        change = {"SequenceNumber": number, "NewImage": self._items[int(number)]}
        return {"Records": [{"eventName": "INSERT", "dynamodb": change}], "NextShardIterator": f"{number}-read"}


class _Streaming(Target):
    """A target whose table's stream has the items as they are when this is made."""

    def client(self, service: str, config: Any = None) -> Any:
        return _Streaming.streams if service == "dynamodbstreams" else super().client(service, config)

    streams: _Streams


def stream_of(dev: Target, *order_ids: str) -> list[Place]:
    """The failure queue of a target whose stream has the insertions of these items."""
    dynamodb, table = dev.client("dynamodb"), dev.output("OrdersTableName")
    items = [dynamodb.get_item(TableName=table, Key={"orderID": {"S": each}})["Item"] for each in order_ids]
    _Streaming.streams = _Streams(items)
    where = _Streaming(dev.stage, dev.outputs, dev.session, None)
    return [Place(dead_letters.order_queues(where)[1], where)]


def failed_batch(dev: Target, size: int, **changes: Any) -> None:
    """Puts the record of a failed batch, the first `size` records of the stream, into the failure queue."""
    info = {"shardId": "s", "startSequenceNumber": "0", "endSequenceNumber": str(size - 1), "batchSize": size}
    send(dev, json.dumps({"DDBStreamBatchInfo": {**info, **changes}}), "UnannouncedOrdersQueueUrl")


def store(dev: Target, order_id: str, **changes: Any) -> None:
    item = {"orderID": {"S": order_id}, "product": {"S": "Tea"}, "quantity": {"N": "1"}, "price_per_item": {"N": "1"},
            "received_at": {"S": "2026-11-26T09:15:00.123Z"}}  # fmt: skip
    dev.client("dynamodb").put_item(TableName=dev.output("OrdersTableName"), Item={**item, **changes})


def subscribed(dev: Target) -> str:
    """The URL of a queue that gets what is announced."""
    sqs = dev.client("sqs")
    url: str = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    dev.client("sns").subscribe(TopicArn=dev.output("OrderTopicArn"), Protocol="sqs", Endpoint=arn)
    return url


def announced(dev: Target, url: str) -> list[str]:
    """The subjects of what was announced."""
    with dead_letters.received(dev.client("sqs"), url) as messages:
        return sorted(json.loads(message["Body"])["Subject"] for message in messages)


def test_of_a_poisoned_batch_the_orders_are_announced_and_the_rest_waits_until_it_is_mended(
    dev: Target,
) -> None:
    url = subscribed(dev)
    store(dev, "A-1")
    store(dev, "A-2", quantity={"S": "one"})
    store(dev, "A-3")
    places = stream_of(dev, "A-1", "A-2", "A-3")
    failed_batch(dev, 2)
    [outcome] = redrive.run(places, redrive.Redrive(Filters()))
    assert outcome.state == "kept"
    assert "A-2 is no order (quantity: is not of the DynamoDB type N): mend the item" in outcome.detail
    assert announced(dev, url) == ["New order A-1"]
    store(dev, "A-2")
    [outcome] = redrive.run(places, redrive.Redrive(Filters()))
    assert outcome.state == "sent"
    assert announced(dev, url) == ["New order A-1", "New order A-1", "New order A-2"]
    assert depths(dev, "UnannouncedOrdersQueueUrl") == (0, 0)


def test_another_tables_stream_is_not_read(dev: Target) -> None:
    store(dev, "A-1")
    stream = "arn:aws:dynamodb:eu-central-1:123456789012:table/another/stream/1"
    places = stream_of(dev, "A-1")
    failed_batch(dev, 1, streamArn=stream)
    [outcome] = redrive.run(places, redrive.Redrive(Filters()))
    assert (outcome.state, outcome.detail.startswith(f"{stream} is no stream of table ")) == ("kept", True)


@pytest.mark.parametrize("changes", [{"endSequenceNumber": "x"}, {"startSequenceNumber": "1" * 5000}, {"batchSize": 0}])
def test_a_record_that_names_no_place_in_a_stream_holds_up_no_other(dev: Target, changes: dict[str, Any]) -> None:
    store(dev, "A-1")
    places = stream_of(dev, "A-1")
    failed_batch(dev, 1, **changes)
    failed_batch(dev, 1)
    outcomes = redrive.run(places, redrive.Redrive(Filters()))
    assert {outcome.state: outcome.detail for outcome in outcomes} == {
        "kept": dead_letters.NO_BATCH,
        "sent": "1 order of the stream announced again: A-1",
    }


@pytest.mark.parametrize("error", [client_error("ValidationException"), ParamValidationError(report="too short")])
def test_a_batch_that_aws_refuses_to_look_up_holds_up_no_other(dev: Target, error: Exception) -> None:
    store(dev, "A-1")
    places = stream_of(dev, "A-1")
    failed_batch(dev, 1, shardId="no shard")
    failed_batch(dev, 1)
    find = _Streaming.streams.get_shard_iterator

    def refuse(**arguments: str) -> dict[str, str]:
        if arguments["ShardId"] == "no shard":
            raise error
        return find(**arguments)

    _Streaming.streams.get_shard_iterator = refuse  # type: ignore[method-assign]
    planned = redrive.plan(places, redrive.Redrive(Filters()))
    assert sorted(outcome.state for outcome in planned) == ["kept", "would be sent"]
    done = redrive.run(places, redrive.Redrive(Filters()))
    assert sorted(outcome.state for outcome in done) == ["kept", "sent"]


def test_of_an_aged_out_batch_is_told_where_its_orders_were_looked_for(dev: Target) -> None:
    store(dev, "A-1")
    store(dev, "A-2", received_at={"S": "2026-11-26T09:00:00.000Z"})
    places = stream_of(dev, "A-1")

    def trimmed(**_: str) -> dict[str, str]:
        raise client_error("TrimmedDataAccessException")

    _Streaming.streams.get_shard_iterator = trimmed  # type: ignore[method-assign]
    arrived = "2026-11-26T09:15:01Z"
    failed_batch(dev, 1, approximateArrivalOfFirstRecord=arrived, approximateArrivalOfLastRecord=arrived)
    [outcome] = redrive.plan(places, redrive.Redrive(Filters(), received_within=timedelta(minutes=5)))
    assert outcome.detail == (
        "1 order of the table (1 in the batch, these received from 2026-11-26T09:10:01.000Z to "
        "2026-11-26T09:16:01.000Z) announced again: A-1"
    )
    [outcome] = redrive.plan(places, redrive.Redrive(Filters(), received_within=timedelta(days=999_999)))
    assert (outcome.state, outcome.detail.endswith("outside of the calendar")) == ("kept", True)


def test_an_aged_out_batch_stays_until_a_person_says_how_far_back_its_orders_are(dev: Target) -> None:
    """The batch's order waited in a backlog; another one of its time must not stand for it."""
    url = subscribed(dev)
    store(dev, "waited", received_at={"S": "2026-11-26T07:00:00.000Z"})
    store(dev, "another")
    places = stream_of(dev, "waited")

    def trimmed(**_: str) -> dict[str, str]:
        raise client_error("TrimmedDataAccessException")

    _Streaming.streams.get_shard_iterator = trimmed  # type: ignore[method-assign]
    arrived = "2026-11-26T09:15:01Z"
    failed_batch(dev, 1, approximateArrivalOfFirstRecord=arrived, approximateArrivalOfLastRecord=arrived)
    [outcome] = redrive.run(places, redrive.Redrive(Filters()))
    assert (outcome.state, "repeat with --received-within" in outcome.detail) == ("kept", True)
    [outcome] = redrive.run(places, redrive.Redrive(Filters(), received_within=timedelta(hours=3)))
    assert outcome.state == "sent"
    assert set(announced(dev, url)) == {"New order another", "New order waited"}


def test_batches_of_the_same_time_announce_each_order_once_and_one_that_fails_stays(
    dev: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = subscribed(dev)
    for number in range(3):
        store(dev, f"A-{number}")
    places = stream_of(dev, "A-1")

    def trimmed(**_: str) -> dict[str, str]:
        raise client_error("TrimmedDataAccessException")

    _Streaming.streams.get_shard_iterator = trimmed  # type: ignore[method-assign]
    arrived = "2026-11-26T09:15:01Z"
    for _ in range(5):
        failed_batch(dev, 1, approximateArrivalOfFirstRecord=arrived, approximateArrivalOfLastRecord=arrived)
    asked = redrive.Redrive(Filters(), received_within=timedelta(minutes=15))
    planned = redrive.plan(places, asked)
    assert [outcome.state for outcome in planned] == ["would be sent"] * 5
    announce = redrive._announce

    def refuse(sns: Any, topic: str, stored: Any) -> None:
        if stored.order.order_id == "A-2":
            raise client_error("InternalError")
        announce(sns, topic, stored)

    with monkeypatch.context() as patched:
        patched.setattr(redrive, "_announce", refuse)
        outcomes = redrive.run(places, asked)
    assert sorted(outcome.state for outcome in outcomes) == ["kept", *["sent"] * 4]
    assert set(announced(dev, url)) <= {"New order A-0", "New order A-1"}
    [outcome] = redrive.run(places, asked)
    assert outcome.state == "sent"
    found = announced(dev, url)
    assert (set(found), len(found) <= 5) == ({"New order A-0", "New order A-1", "New order A-2"}, True)


def test_a_throttled_table_ends_the_run_once_what_was_sent_is_deleted(
    dev: Target, places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = dead_letters.stored_orders

    def throttled(dynamodb: Any, table: str, ids: set[str]) -> Mapping[str, Any]:
        if ids == {"A-1"}:
            raise ShopError("throttled")
        return stored(dynamodb, table, ids)

    monkeypatch.setattr(redrive, "stored_orders", throttled)
    for number in range(3):
        send(dev, ORDER % number)
    with pytest.raises(ShopError, match="throttled"):
        redrive.run(places, redrive.Redrive(Filters()))
    assert (depths(dev), depths(dev, "OrdersQueueUrl")) == ((1, 0), (2, 0))


def test_a_table_that_may_not_be_read_is_not_taken_for_the_queues_refusal(
    dev: Target, places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "BatchGetItem")

    monkeypatch.setattr(redrive, "stored_orders", refuse)
    send(dev, ORDER % 1)
    for act in (redrive.plan, redrive.run):
        with pytest.raises(ShopError, match=r"^your IAM principal may not .* \(BatchGetItem: "):
            act(places, redrive.Redrive(Filters()))
    assert depths(dev) == (1, 0)


def test_a_rate_without_bound(dev: Target, places: list[Place]) -> None:
    send(dev, ORDER % 1)
    [outcome] = redrive.run(places, redrive.Redrive(Filters(), rate=float("inf")))
    assert outcome.state == "sent"


def test_sqs_moves_a_whole_queue_itself_where_it_can(dev: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(move_task, "POLL_SECONDS", 0)
    sqs, calls = dev.client("sqs"), []
    states = iter(["RUNNING", "COMPLETED"])

    def start(**arguments: Any) -> Any:
        calls.append(arguments)
        return {"TaskHandle": "h"}

    sqs.start_message_move_task = start
    sqs.list_message_move_tasks = lambda **_: {"Results": [
        {"Status": next(states), "ApproximateNumberOfMessagesMoved": 2 * len(calls)}]}  # fmt: skip
    grown: list[int] = []
    assert move_task.move(sqs, dev.output(DEAD), dev.output("OrdersQueueUrl"), 900.5, grown.append) == 2
    assert (sum(grown), calls[0]["MaxNumberOfMessagesPerSecond"]) == (2, 500)
    assert calls[0]["SourceArn"] != calls[0]["DestinationArn"]


def test_a_move_that_fails_or_is_interrupted_is_cancelled(dev: Target) -> None:
    sqs, cancelled = dev.client("sqs"), []
    sqs.start_message_move_task = lambda **_: {"TaskHandle": "h"}
    sqs.list_message_move_tasks = lambda **_: {"Results": [{"Status": "FAILED", "FailureReason": "no rights"}]}
    sqs.cancel_message_move_task = lambda **arguments: cancelled.append(arguments["TaskHandle"])
    with pytest.raises(ShopError, match="no rights"):
        move_task.move(sqs, dev.output(DEAD), dev.output("OrdersQueueUrl"), 1, lambda _: None)
    assert cancelled == []

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_task.move(sqs, dev.output(DEAD), dev.output("OrdersQueueUrl"), 1, interrupt)
    assert cancelled == ["h"]


def test_where_sqs_cannot_move_it_is_done_here(dev: Target) -> None:
    sqs = dev.client("sqs")

    def refuse(**_: Any) -> Any:
        raise client_error("AWS.SimpleQueueService.UnsupportedOperation")

    sqs.start_message_move_task = refuse
    assert move_task.move(sqs, dev.output(DEAD), dev.output("OrdersQueueUrl"), 1, lambda _: None) is None


@pytest.mark.parametrize(
    ("text", "before"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("3d", 259_200), ("2026-11-26T11:00:00+02:00", 3600)]
)
def test_times(text: str, before: int) -> None:
    now = datetime(2026, 11, 26, 10, tzinfo=UTC)
    assert now - parse_since(text, now) == timedelta(seconds=before)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "3w", "-1h", "2026-11-26T09:15:00", "999999d", "0001-01-01T00:00:00+01:00"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ShopError, match="--since"):
        parse_since(text, datetime(2026, 11, 26, tzinfo=UTC))


def test_only_the_systems_that_are_asked_for_are_looked_up(dev: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(_: str, system: str = target.ORDER_PIPELINE) -> Target:
        if system == target.ORDER_PIPELINE:
            return dev
        raise ShopError(f"{system} is not deployed")

    monkeypatch.setattr(target, "find", find)
    assert [place.queue.name for place in dead_letter_queues.find("dev")] == ["orders", "announcements"]
    assert [place.queue.name for place in dead_letter_queues.find("dev", ["orders"])] == ["orders"]
    for name, system in (("sales", "sales-report"), ("thumbnail", "image-fanout")):
        with pytest.raises(ShopError, match=f"{system} is not deployed"):
            dead_letter_queues.find("dev", ["orders", name])


def test_a_purge_leaves_a_file_only_of_what_it_deleted(
    dev: Target, places: list[Place], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(dead_letter_queues, "find", lambda *_: places)
    file = tmp_path / "dead.jsonl"
    arguments = ["dlq", "purge", "--queue", "orders", "--output", str(file), "--go"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert not file.exists()
    message_id = send(dev, ORDER % 1)
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert json.loads(file.read_bytes())["message_id"] == message_id
    assert depths(dev) == (0, 0)


@pytest.mark.parametrize("arguments", [("redrive",), ("purge", "--go"), ("redrive", "--all", "--edit", "3"),
                                       ("redrive", "--all", "--rate", "0"),
                                       ("purge", "--go", "--reason", " ")])  # fmt: skip
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["dlq", *arguments]).exit_code == 2
