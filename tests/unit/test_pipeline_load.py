"""A load test harms nobody's data or mailbox, removes its own queue, and does not go on blindly."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from moto import mock_aws

from bench.pipeline_load import check_stage
from bench.pipeline_watch import AnswerFile, Watch, cpu_seconds, subscribed
from shop.errors import ShopError
from shop.target import Target
from tests.unit import shop_stack


@pytest.fixture
def target() -> Iterator[Target]:
    with mock_aws():
        yield shop_stack.deploy()


def test_a_stage_that_keeps_its_data_is_refused(target: Target) -> None:
    check_stage(target)
    with pytest.raises(ShopError, match="stage prod keeps its data"):
        check_stage(replace(target, stage="prod"))


def test_a_stage_with_people_on_the_topic_is_refused(target: Target) -> None:
    topic = target.output("OrderTopicArn")
    target.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="owner@example.com")
    with pytest.raises(ShopError, match="1 people are subscribed"):
        check_stage(target)


def test_announcements_of_the_run_and_no_others_come_to_a_queue_that_is_removed(target: Target) -> None:
    sns, sqs = target.client("sns"), target.client("sqs")
    topic = target.output("OrderTopicArn")
    with suppress(InterruptedError), subscribed(target, "loadtest-1", "loadtest-1-") as url:
        for order_id in ("loadtest-1-0", "loadtest-10-0", "A-1"):
            attributes = {"deduplication_id": {"DataType": "String", "StringValue": order_id}}
            sns.publish(TopicArn=topic, Message=json.dumps({"orderID": order_id}), MessageAttributes=attributes)
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        assert [json.loads(message["Body"])["orderID"] for message in messages] == ["loadtest-1-0"]
        raise InterruptedError
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    assert sqs.list_queues(QueueNamePrefix="loadtest-").get("QueueUrls", []) == []


def test_what_a_watching_thread_fails_with_ends_the_run(target: Target, tmp_path: Path) -> None:
    nowhere = replace(target, outputs={**target.outputs, "OrdersQueueUrl": "https://sqs.invalid/1/nowhere"})
    announcements = target.client("sqs").create_queue(QueueName="loadtest-2")["QueueUrl"]
    watch = Watch(nowhere, announcements, AnswerFile(tmp_path / "answers.jsonl"), 1, {})
    with pytest.raises(Exception, match=r"QueueDoesNotExist|NonExistentQueue"), watch.running():
        watch.wait(lambda _: False, seconds=30)


def test_a_process_that_is_gone_uses_no_processor() -> None:
    assert cpu_seconds(2**22 + 1) == 0.0
