"""Sending dead letters back by the command line, on the deployed stacks.

What lies in a dead-letter queue here is put there as it would come to lie there, so that no test waits a minute for it.
"""

import json
import os
import re
import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shop.cli import app
from tests.integration.images import ImageFanout, picture
from tests.integration.pipeline import Pipeline, queue_messages
from tests.integration.sales_report import SalesReport
from tests.integration.test_cli import Shell
from tests.polling import eventually

DAY = "2031-03-04"


class Commands:
    """Runs commands on the session's cloud in this process, which saves each its start."""

    def run(self, *words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(words))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    def json(self, *words: str, code: int = 0) -> Any:
        returned, out, err = self.run(*words, "--json")
        assert returned == code, err
        return json.loads(out)


@pytest.fixture
def shell(cloud_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.setenv("SHOP_LOCAL_DIR", str(cloud_folder))
    return Commands()


@pytest.fixture
def name() -> str:
    return f"redrive-{uuid.uuid4().hex[:12]}"


def order(order_id: str | None, price: str = "3.50") -> str:
    claimed = "" if order_id is None else f'"orderID": "{order_id}", '
    return f'{{{claimed}"product": "Caffè \\ufffe", "quantity": 2, "price_per_item": {price}}}'


def put(pipeline: Pipeline, url: str, body: str, **attributes: str) -> str:
    """Puts a message into a queue; its id."""
    values = {key: {"DataType": "String", "StringValue": text} for key, text in attributes.items()}
    answer = pipeline.client("sqs").send_message(QueueUrl=url, MessageBody=body, MessageAttributes=values)
    return str(answer["MessageId"])


def dead(pipeline: Pipeline, body: str, **attributes: str) -> str:
    return put(pipeline, pipeline.outputs["OrdersDeadLetterQueueUrl"], body, **attributes)


def redrive(shell: Commands, queue: str, *words: str, code: int = 0) -> list[tuple[str, str]]:
    """State and detail of each message of a queue."""
    outcomes = shell.json("dlq", "redrive", "--queue", queue, *words, code=code)
    return [(each["state"], each["detail"]) for each in outcomes]


# ---- orders


def test_a_corrected_order_is_stored_under_its_first_id_and_announced_once(shell: Commands, pipeline: Pipeline) -> None:
    first = dead(pipeline, order(None, '"err"'))
    assert redrive(shell, "orders", "--id", first, "--go", code=1) == [
        ("kept", 'invalid: price_per_item: "err" is not a number')
    ]
    patch = '{"price_per_item": 0.10000}'
    assert redrive(shell, "orders", "--id", first, "--edit", patch)[0][0] == "would be sent"
    assert first in pipeline.dead_letters()
    assert redrive(shell, "orders", "--id", first, "--edit", patch, "--go") == [
        ("sent", f"to the orders queue, as {first}")
    ]
    stored = eventually(lambda: pipeline.stored(first))
    assert (stored["price_per_item"], stored["product"]) == ({"N": "0.1"}, {"S": "Caffè \ufffe"})
    assert first not in pipeline.dead_letters()
    assert len(eventually(lambda: pipeline.mails(first))) == 1


def test_an_order_redriven_before_keeps_its_very_first_id(shell: Commands, pipeline: Pipeline, name: str) -> None:
    second = dead(pipeline, order(None), original_message_id=name)
    assert redrive(shell, "orders", "--id", second, "--go")[0][0] == "sent"
    assert eventually(lambda: pipeline.stored(name))


def test_a_conflict_and_a_body_that_is_no_json_stay(shell: Commands, pipeline: Pipeline, name: str) -> None:
    pipeline.enqueue(order(name))
    eventually(lambda: pipeline.stored(name))
    dead(pipeline, order(name, "4"))
    assert redrive(shell, "orders", "--id", name, "--go", code=1) == [
        ("kept", f"conflict: {name} is stored with another price_per_item")
    ]
    text = dead(pipeline, "A coffee, please")
    [(state, why)] = redrive(shell, "orders", "--id", text, "--edit", "{}", "--go", code=1)
    assert (state, why.startswith("cannot be edited: body: is not JSON")) == ("kept", True)
    assert text in pipeline.dead_letters()
    other = redrive(shell, "orders", "--id", name, "--edit", f'{{"orderID": "{name}-2"}}', "--go")
    assert other == [("sent", f"to the orders queue, as {name}-2")]
    assert eventually(lambda: pipeline.stored(f"{name}-2"))


def test_a_dry_run_changes_nothing_but_receive_counts(shell: Commands, pipeline: Pipeline, name: str) -> None:
    dead(pipeline, order(name))
    before = pipeline.dead_letters()
    [letter] = shell.json("dlq", "show", name, "--queue", "orders")
    for command in ("redrive", "purge"):
        assert shell.json("dlq", command, "--queue", "orders", "--id", name)[0]["state"].startswith("would be ")
    assert pipeline.dead_letters() == before
    assert pipeline.stored(name) is None
    [again] = shell.json("dlq", "show", name, "--queue", "orders")
    assert again == {**letter, "receive_count": letter["receive_count"] + 3}


def test_filters_choose(shell: Commands, pipeline: Pipeline, name: str) -> None:
    right, wrong = dead(pipeline, order(f"{name}-right")), dead(pipeline, order(f"{name}-wrong", "-1"))
    chosen: dict[tuple[str, ...], set[str]] = {
        ("--queue", "orders", "--since", "1h"): {right, wrong},
        ("--reason", "PRICE_per_item: -1 "): {wrong},
        ("--since", (datetime.now(UTC) + timedelta(hours=1)).isoformat()): set(),
        ("--queue", "sales"): set(),
        ("--id", right, "--id", f"{name}-wrong"): {right, wrong},
    }
    for words, expected in chosen.items():
        found = {letter["message_id"] for letter in shell.json("dlq", "list", *words)}
        assert found & {right, wrong} == expected, words
    code, _, err = shell.run("dlq", "list", "--queue", "frobnicate")
    assert (code, "no dead-letter queue is called 'frobnicate'" in err) == (1, True)


def test_a_killed_redrive_can_be_repeated(shell: Commands, pipeline: Pipeline, cloud_folder: Path, name: str) -> None:
    count = 24
    ids = {f"{name}-{number}" for number in range(count)}
    for order_id in ids:
        dead(pipeline, order(order_id))
    words = [word for order_id in ids for word in ("--id", order_id)]
    process = Shell(cloud_folder).start("dlq", "redrive", "--queue", "orders", *words, "--rate", "5", "--go")
    eventually(lambda: pipeline.stored_ids(name))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    def left() -> set[str]:
        return {json.loads(body)["orderID"] for body in pipeline.dead_letters().values() if name in body}

    def queued() -> set[str]:
        return {json.loads(body)["orderID"] for body in pipeline.queued().values() if name in body}

    assert left()
    assert left() | queued() | pipeline.stored_ids(name) == ids

    def done() -> bool:
        # What the killed one had received is hidden for up to a minute.
        redrive(shell, "orders", *words, "--go")
        return not left()

    eventually(done, timeout=90)
    eventually(lambda: pipeline.stored_ids(name) == ids)
    eventually(lambda: len(pipeline.mails(name)) >= count)
    assert sorted(mail.attributes["deduplication_id"] for mail in pipeline.mails(name)) == sorted(ids)


def test_a_purge_exports_first(shell: Commands, pipeline: Pipeline, name: str, tmp_path: Path) -> None:
    body = order(name, '"err"')
    message_id = dead(pipeline, body, source="till 7")
    file = tmp_path / "purged.jsonl"
    [outcome] = shell.json("dlq", "purge", "--queue", "orders", "--id", name, "--output", str(file), "--go")
    assert (outcome["state"], outcome["message_id"]) == ("deleted", message_id)
    [letter] = map(json.loads, file.read_text().splitlines())
    assert (letter["queue"], letter["message_id"], letter["body"], letter["attributes"]) == (
        "orders", message_id, body, {"source": "till 7"},
    )  # fmt: skip
    assert message_id not in pipeline.dead_letters()
    again = dead(pipeline, body)
    code, _, err = shell.run("dlq", "purge", "--queue", "orders", "--id", again, "--output", str(file), "--go")
    assert (code, "File exists" in err) == (1, True)
    assert again in pipeline.dead_letters()


def test_an_export_has_each_message_whole_and_leaves_it(shell: Commands, pipeline: Pipeline, name: str) -> None:
    message_id = dead(pipeline, order(name))
    code, out, err = shell.run("dlq", "export", "--id", name)
    assert (code, "was given back" in err) == (0, True)
    [letter] = map(json.loads, out.splitlines())
    assert (letter["orderID"], letter["body"]) == (name, order(name))
    assert message_id in pipeline.dead_letters()


# ---- announcements


def failed_batch(pipeline: Pipeline, records: list[dict[str, Any]], **changes: Any) -> str:
    """Puts the record of a failed batch into the notifier's failure queue (Lambda, "Retain discarded records")."""
    streams, table = pipeline.client("dynamodbstreams"), pipeline.outputs["OrdersTableName"]
    arn = pipeline.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
    [shard] = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    arrival = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    info = {
        "shardId": shard["ShardId"],
        "startSequenceNumber": numbers[0],
        "endSequenceNumber": numbers[-1],
        "approximateArrivalOfFirstRecord": arrival,
        "approximateArrivalOfLastRecord": arrival,
        "batchSize": len(records),
        "streamArn": arn,
    }
    body = {"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": {**info, **changes}}
    return put(pipeline, pipeline.outputs["UnannouncedOrdersQueueUrl"], json.dumps(body))


def stream_records(pipeline: Pipeline, prefix: str) -> list[dict[str, Any]]:
    """The stream's records of items whose ids start so."""
    streams, table = pipeline.client("dynamodbstreams"), pipeline.outputs["OrdersTableName"]
    arn = pipeline.client("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
    [shard] = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    found: list[dict[str, Any]] = []
    while iterator:
        page = streams.get_records(ShardIterator=iterator)
        if not page["Records"]:
            break
        found += page["Records"]
        iterator = page.get("NextShardIterator")
    return [each for each in found if each["dynamodb"]["Keys"]["orderID"]["S"].startswith(prefix)]


def stored_pair(pipeline: Pipeline, name: str) -> list[dict[str, Any]]:
    """Two orders, stored and announced; their stream records."""
    for number in (1, 2):
        pipeline.enqueue(order(f"{name}-{number}"))
        eventually(partial(pipeline.mails, f"{name}-{number}"))
    return eventually(lambda: records if len(records := stream_records(pipeline, name)) == 2 else None)


def announced(pipeline: Pipeline, name: str) -> Callable[[int], bool]:
    return lambda times: all(len(pipeline.mails(f"{name}-{number}")) == times for number in (1, 2))


def test_the_orders_of_a_failed_batch_are_read_from_the_stream_and_announced(
    shell: Commands, pipeline: Pipeline, name: str
) -> None:
    message_id = failed_batch(pipeline, stored_pair(pipeline, name))
    detail = f"2 orders of the stream announced again: {name}-1, {name}-2"
    assert redrive(shell, "announcements", "--id", message_id) == [("would be sent", detail)]
    assert announced(pipeline, name)(1)
    assert redrive(shell, "announcements", "--id", message_id, "--go") == [("sent", detail)]
    eventually(lambda: announced(pipeline, name)(2))
    first, second = pipeline.mails(f"{name}-1")
    assert (first.subject, first.message, first.attributes) == (second.subject, second.message, second.attributes)
    assert message_id not in pipeline.failed_announcements()


@pytest.mark.parametrize(
    "change",
    [{"startSequenceNumber": "000000000000000000001", "endSequenceNumber": "000000000000000000002"},
     {"shardId": "shardId-00000000000000000000-deadbeef"}],
    ids=["trimmed", "shard gone"],
)  # fmt: skip
def test_the_orders_of_an_aged_out_batch_are_rebuilt_from_the_table(
    shell: Commands, pipeline: Pipeline, name: str, change: dict[str, str]
) -> None:
    message_id = failed_batch(pipeline, stored_pair(pipeline, name), **change)
    [(state, detail)] = redrive(shell, "announcements", "--id", message_id, "--received-within", "1m", "--go")
    assert state == "sent"
    assert re.match(r"\d+ orders of the table \(\d+ in the batch, .*\) announced again: ", detail)
    assert {f"{name}-1", f"{name}-2"} <= set(re.findall(r"[\w-]+", detail))
    eventually(lambda: announced(pipeline, name)(2))
    long_ago = {"approximateArrivalOfFirstRecord": "2020-01-01T00:00:00Z",
                "approximateArrivalOfLastRecord": "2020-01-01T00:00:00Z"}  # fmt: skip
    too_few = failed_batch(pipeline, stream_records(pipeline, name), **change, **long_ago)
    [(state, detail)] = redrive(shell, "announcements", "--id", too_few, "--go", code=1)
    assert (state, "only 0 orders of 2" in detail) == ("kept", True)
    assert too_few in pipeline.failed_announcements()


# ---- sales, reports, images


def sale(name: str, price: str) -> str:
    return json.dumps(
        {"orderID": name, "product": name, "quantity": 7, "order_date": f"{DAY}T12:00:00Z",
         "received_at": f"{DAY}T12:00:00.000Z"}
    )[:-1] + f', "price_per_item": {price}}}'  # fmt: skip


def test_a_sale_is_recorded_after_a_redrive(
    shell: Commands, pipeline: Pipeline, sales_report: SalesReport, name: str
) -> None:
    queue = sales_report.outputs["SalesRecorderDeadLetterQueueUrl"]
    put(pipeline, queue, sale(name, "3.50"))
    put(pipeline, queue, sale(f"{name}-wrong", '"err"'))
    assert redrive(shell, "sales", "--id", name, "--go") == [("sent", "to its queue")]
    [(state, _)] = redrive(shell, "sales", "--id", f"{name}-wrong", "--go", code=1)
    assert state == "kept"
    assert (
        redrive(shell, "sales", "--id", f"{name}-wrong", "--edit", '{"price_per_item": 1.2345}', "--go")[0][0] == "sent"
    )

    def recorded() -> list[tuple[Any, ...]]:
        statement = "SELECT order_key, price_per_item FROM orders WHERE order_key IN (%s, %s) ORDER BY order_key"
        return sales_report.query(statement, name, f"{name}-wrong")

    eventually(lambda: len(recorded()) == 2)
    assert [(key, str(price)) for key, price in recorded()] == [(name, "3.5000"), (f"{name}-wrong", "1.2345")]


def test_failed_and_missed_reports_are_made_after_a_redrive(
    shell: Commands, pipeline: Pipeline, sales_report: SalesReport
) -> None:
    failed = put(
        pipeline,
        sales_report.outputs["FailedReportsQueueUrl"],
        '{"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": {"date": "2031-05-06"}, '
        '"responsePayload": {"errorType": "ReportFailed", "errorMessage": "the extractor failed"}}',
    )
    missed = put(
        pipeline,
        sales_report.outputs["MissedReportsQueueUrl"],
        '{"scheduled_time": "2031-06-08T04:00:00Z"}',
        ERROR_CODE="AccessDenied",
        ERROR_MESSAGE="no",
    )
    nonsense = put(pipeline, sales_report.outputs["MissedReportsQueueUrl"], '{"date": "tomorrow"}')
    reasons = {each["message_id"]: each["reason"] for each in shell.json("dlq", "list")}
    assert reasons[failed].endswith("(RetriesExhausted): ReportFailed: the extractor failed")
    assert reasons[missed].endswith(": AccessDenied: no")
    assert (
        redrive(shell, "reports", "--queue", "schedule", "--id", failed, "--id", missed, "--go")
        == [("sent", "the report is started again")] * 2
    )
    for day in ("2031-05-06", "2031-06-07"):
        eventually(partial(sales_report.mails, day))
    [(state, detail)] = redrive(shell, "schedule", "--id", nonsense, "--go", code=1)
    assert (state, detail.startswith("the event asks for no day: ")) == ("kept", True)
    look = put(
        pipeline,
        sales_report.outputs["MissedReportsQueueUrl"],
        '{"scheduled_time": "2031-06-08T06:00:00Z", "purpose": "watch"}',
    )
    [(state, detail)] = redrive(shell, "schedule", "--id", look, "--go", code=1)
    assert (state, detail.startswith("only asked whether the day's report was mailed")) == ("kept", True)


def test_images_are_made_after_a_redrive(shell: Commands, pipeline: Pipeline, images: ImageFanout, name: str) -> None:
    version = images.put(f"{name}.png.txt", picture())  # no suffix that S3 announces
    event = images.event(f"{name}.png.txt", version=version, sequencer="0A")
    sent = {size: put(pipeline, images.outputs[f"{output}DeadLetterQueueUrl"], event)
            for size, output in (("thumbnail", "Thumbnail"), ("mobile", "Mobile"))}  # fmt: skip
    assert not images.results(f"{name}.png.txt.jpg")
    assert (
        redrive(shell, "thumbnail", "--queue", "mobile", "--id", sent["thumbnail"], "--id", sent["mobile"], "--go")
        == [("sent", "to its queue")] * 2
    )
    eventually(lambda: images.get(f"thumbnail/{name}.png.txt.jpg") and images.get(f"mobile/{name}.png.txt.jpg"))
    assert not set(sent.values()) & {*images.dead("thumbnail"), *images.dead("mobile")}


def test_reading_every_queue_gives_everything_back(shell: Commands, pipeline: Pipeline, name: str) -> None:
    dead(pipeline, order(name))
    before = queue_messages(pipeline.cloud, pipeline.outputs["OrdersDeadLetterQueueUrl"])
    assert shell.run("dlq", "list")[0] == 0
    assert name in shell.run("dlq", "list")[1]
    assert queue_messages(pipeline.cloud, pipeline.outputs["OrdersDeadLetterQueueUrl"]) == before
