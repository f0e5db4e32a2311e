"""The end-to-end benchmark's tables say what its readings say, and refuse a pipeline that lost an order."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from bench import end_to_end
from bench.end_to_end import LAB, NULL, OURS, Burst, Pipeline, Round, Trip
from bench.inbox import Inbox
from shop.errors import ShopError
from shop.target import Target


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


@pytest.fixture
def pipeline(aws: None) -> Pipeline:  # noqa: ARG001
    session = boto3.Session(region_name="us-east-1")
    sqs: Any = session.client("sqs")
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("orders", "dead", "inbox")}
    session.client("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "orderID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "orderID", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    outputs = {
        "OrdersTableName": "orders",
        "OrdersQueueUrl": urls["orders"],
        "OrdersDeadLetterQueueUrl": urls["dead"],
    }
    return Pipeline(Target("local", outputs, session, None), lambda _: None, Inbox(sqs, urls["inbox"]))


def _round(slower: float) -> Round:
    trips = {
        OURS: [Trip(0.005, 0.01, milliseconds * slower / 1000) for milliseconds in range(1, 21)],
        LAB: [Trip(0.005, 0.02, 0.02)] * 20,
    }
    bursts = {
        OURS: Burst(100, 1.0, 2.0 * slower, emulator_cpu_seconds=0.3, functions_cpu_seconds=0.1),
        LAB: Burst(100, 0.5, 4.0, emulator_cpu_seconds=0.6, functions_cpu_seconds=0.4),
        NULL: Burst(100, 0.25, 0.25, emulator_cpu_seconds=0.06, functions_cpu_seconds=0.0),
    }
    return Round(trips, bursts)


def test_the_tables_say_what_the_readings_say() -> None:
    tables = end_to_end.tables([_round(1), _round(1), _round(2)])
    rows = {row.what: (row.median, row.ratio) for table in tables for row in table.rows}
    assert rows["stored, median"] == (10.0, 0.5)
    assert rows["announced, median"] == (10.0, 0.5)
    assert rows["announced, 95th percentile"] == (19.0, 0.95)
    assert rows["accepted while a burst comes, ours"] == (100.0, 0.5)
    assert rows["accepted while a burst comes, API and queue alone"] == (400.0, 2.0)
    assert rows["sustained to the announcement, ours"] == (50.0, 2.0)
    assert rows["functions, ours"] == (1.0, 0.25)
    assert rows["emulator, ours"] == (3.0, 0.5)
    assert "75% of ours, 60% of plain lab" in tables[-1].notes[0]


def test_a_pipeline_that_lost_an_order_or_gave_one_up_is_refused(pipeline: Pipeline) -> None:
    dynamodb, sqs = pipeline.target.client("dynamodb"), pipeline.target.client("sqs")
    first, _ = pipeline.new_order()
    dynamodb.put_item(TableName="orders", Item={"orderID": {"S": first}})
    end_to_end.check_all_arrived(OURS, pipeline)
    _, lost = pipeline.new_order()
    with pytest.raises(ShopError, match="ours: of 2 orders 1 stored, 0 dead letters"):
        end_to_end.check_all_arrived(OURS, pipeline)
    sqs.send_message(QueueUrl=pipeline.target.output("OrdersDeadLetterQueueUrl"), MessageBody=lost.decode())
    with pytest.raises(ShopError, match="ours: of 2 orders 1 stored, 1 dead letters"):
        end_to_end.check_all_arrived(OURS, pipeline)


def test_an_inbox_tells_when_each_order_was_first_announced(pipeline: Pipeline) -> None:
    inbox = pipeline.inbox
    ids = [f"A-{number}" for number in range(12)]
    for order_id in [*ids, "A-0"]:
        inbox.sqs.send_message(QueueUrl=inbox.url, MessageBody=f'{{"orderID": "{order_id}"}}')
    assert inbox.size() == 13
    came = inbox.read()
    assert sorted(came) == sorted(ids)
    assert came["A-0"] <= came["A-1"]
    assert (inbox.size(), inbox.read()) == (0, {})
