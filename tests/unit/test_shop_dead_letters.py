"""Reading dead-letter queues: every message is seen once and given back, and its reason is the processor's."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from moto import mock_aws

from order_processor import handler as processor
from shop import dead_letters, health, mailbox
from shop.dead_letters import DeadLetter
from shop.errors import ShopError
from shop.http_client import Backoff
from shop.target import Target
from tests.unit import shop_stack

ORDER = '{"orderID": "A-1", "product": "Tea", "quantity": 1, "price_per_item": 3.50}'
ITEM = {
    "orderID": {"S": "A-1"},
    "product": {"S": "Tea"},
    "quantity": {"N": "1"},
    "price_per_item": {"N": "3.5"},
    "received_at": {"S": "2026-11-26T09:15:00.123Z"},
}
FAILED_BATCH = """
{"requestContext": {"requestId": "r", "functionArn": "f", "condition": "RetryAttemptsExhausted"},
"DDBStreamBatchInfo": {"shardId": "shard-1", "startSequenceNumber": "10", "endSequenceNumber": "12", "batchSize": 3}}"""


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    # moto has all of a queue's messages in one place, so a short poll finds them as well.
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0)
    with mock_aws():
        yield shop_stack.deploy()


def send(
    target: Target, body: str, attributes: dict[str, Any] | None = None, queue: str = "OrdersDeadLetterQueueUrl"
) -> str:
    answer = target.client("sqs").send_message(
        QueueUrl=target.output(queue), MessageBody=body, MessageAttributes=attributes or {}
    )
    return str(answer["MessageId"])


def store(target: Target, **changes: dict[str, str]) -> None:
    target.client("dynamodb").put_item(TableName=target.output("OrdersTableName"), Item={**ITEM, **changes})


def only(letters: list[DeadLetter]) -> DeadLetter:
    assert len(letters) == 1
    return letters[0]


def depth(target: Target) -> health.Queue:
    return health.depth(target.client("sqs"), target.output("OrdersDeadLetterQueueUrl"))


@pytest.mark.parametrize(
    ("body", "order_id", "reason"),
    [
        (ORDER.replace("3.50", '"err"'), "A-1", 'invalid: price_per_item: "err" is not a number'),
        (ORDER.replace("{", '{"quantity": 2, '), "A-1", "invalid: quantity: is given more than once"),
        ("", None, None),
        ("not JSON", None, None),
    ],
)
def test_an_invalid_order_has_the_processors_reason(
    target: Target, body: str, order_id: str | None, reason: str | None
) -> None:
    if not body:
        body = "\t"  # SQS takes no empty body
    send(target, body)
    letter = only(dead_letters.read_all(target))
    assert (letter.orderID, letter.body) == (order_id, body)
    assert letter.reason == reason if reason else letter.reason.startswith("invalid: body: ")


def test_a_valid_order_that_is_not_stored_can_be_redriven(target: Target) -> None:
    send(target, ORDER)
    letter = only(dead_letters.read_all(target))
    assert (letter.orderID, letter.reason) == ("A-1", "valid and not stored: it can be redriven")


def test_a_conflict_names_the_fields(target: Target) -> None:
    store(target, price_per_item={"N": "4"}, customer_id={"S": "C-7"})
    send(target, ORDER)
    reason = only(dead_letters.read_all(target)).reason
    assert reason == "conflict: A-1 is stored with another price_per_item, customer_id"


def test_the_same_content_is_no_conflict(target: Target) -> None:
    store(target)
    send(target, ORDER)
    assert only(dead_letters.read_all(target)).reason == "stored already with the same content: it can be deleted"


def test_an_item_that_is_no_order_is_a_conflict(target: Target) -> None:
    store(target, quantity={"S": "1"})
    send(target, ORDER)
    assert only(dead_letters.read_all(target)).reason.startswith("conflict: what is stored as A-1 is no order")


def test_an_order_without_id_is_looked_up_by_the_id_that_stands_in(target: Target) -> None:
    nameless = ORDER.replace('"orderID": "A-1", ', "")
    message_id = send(target, nameless)
    redriven = {"original_message_id": {"DataType": "String", "StringValue": "A-1"}}
    send(target, nameless, redriven)
    store(target, quantity={"N": "9"})
    letters = {letter.orderID: letter for letter in dead_letters.read_all(target)}
    assert letters[message_id].reason == "valid and not stored: it can be redriven"
    assert letters["A-1"].reason == "conflict: A-1 is stored with another quantity"
    assert letters["A-1"].attributes == {"original_message_id": "A-1"}


def test_a_binary_attribute_is_shown_in_base64(target: Target) -> None:
    send(target, ORDER, {"raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}})
    assert only(dead_letters.read_all(target)).attributes == {"raw": "AP8="}


def test_every_message_is_read_once_and_given_back(target: Target) -> None:
    sent = {send(target, f'{{"orderID": "A-{number}"}}') for number in range(35)}
    before = datetime.now(UTC).timestamp()
    for count in (1, 2):
        letters = dead_letters.read_all(target)
        assert sorted(letter.message_id for letter in letters) == sorted(sent)
        assert {letter.receive_count for letter in letters} == {count}
        assert all(abs(datetime.fromisoformat(letter.sent_at).timestamp() - before) < 60 for letter in letters)
        assert (depth(target).visible, depth(target).in_flight) == (35, 0)


def test_no_more_than_the_limit_is_received(target: Target) -> None:
    for number in range(25):
        send(target, f"{number}")
    assert len(dead_letters.read_all(target, limit=12)) == 12
    assert (depth(target).visible, depth(target).in_flight) == (25, 0)


def test_reading_ends_when_messages_come_back_before_it_is_done(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that takes longer to read than messages stay hidden would otherwise be read for ever."""
    monkeypatch.setattr(dead_letters, "HOLD_SECONDS", 0)
    receive, calls = dead_letters._receive, itertools.count(1)

    def receive_at_most_ten_times(*arguments: Any) -> Any:
        assert next(calls) <= 10
        return receive(*arguments)

    monkeypatch.setattr(dead_letters, "_receive", receive_at_most_ten_times)
    message_id = send(target, ORDER)
    assert only(dead_letters.read_all(target)).message_id == message_id


def test_messages_are_given_back_after_an_interruption(target: Target) -> None:
    send(target, ORDER)
    url = target.output("OrdersDeadLetterQueueUrl")
    held: list[int] = []

    def interrupted_reader() -> None:
        with dead_letters.received(target.client("sqs"), url):
            held.append(depth(target).in_flight)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_reader()
    assert held == [1]
    assert (depth(target).visible, depth(target).in_flight) == (1, 0)


def test_what_another_reader_holds_is_told(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    send(target, ORDER)
    send(target, ORDER)
    target.client("sqs").receive_message(QueueUrl=target.output("OrdersDeadLetterQueueUrl"), VisibilityTimeout=60)
    assert len(dead_letters.read_all(target)) == 1
    assert "about 1 message held by another reader" in capsys.readouterr().err


def test_a_message_that_could_not_be_given_back_is_told(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    dead_letters.give_back(target.client("sqs"), target.output("OrdersDeadLetterQueueUrl"), ["no such handle"])
    assert "1 message not given back, visible again within 60 s" in capsys.readouterr().err


def test_the_other_failure_queues_of_the_stack_are_read_too(target: Target) -> None:
    send(target, ORDER, queue="OrdersQueueUrl")
    send(target, FAILED_BATCH, queue="UnannouncedOrdersQueueUrl")
    send(target, "{}", queue="UnannouncedOrdersQueueUrl")
    letters = dead_letters.read_all(target)
    assert sorted(letter.reason for letter in letters) == [
        "not a record of a failed stream batch",
        "not announced (RetryAttemptsExhausted): 3 stream records of shard-1, 10 to 12",
    ]


@pytest.mark.slow
def test_more_than_a_hundred_orders_are_looked_up(target: Target) -> None:
    ids = {f"A-{number:03}" for number in range(230)}
    for order_id in ids:
        store(target, orderID={"S": order_id})
    found = dead_letters.stored_orders(target.client("dynamodb"), target.output("OrdersTableName"), ids | {"B"})
    assert found.keys() == ids


class _Throttled:
    """A table that reads one key a call and hands the others back."""

    def __init__(self, answers: int) -> None:
        self.left = answers

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        keys = RequestItems["orders"]["Keys"]
        self.left -= 1
        read = 1 if self.left >= 0 else 0
        return {
            "Responses": {"orders": [{**ITEM, **key} for key in keys[:read]]},
            "UnprocessedKeys": {"orders": {"Keys": keys[read:]}} if keys[read:] else {},
        }


def test_keys_that_a_throttled_table_hands_back_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda *_: 0.0)
    table: Any = _Throttled(answers=3)
    assert dead_letters.stored_orders(table, "orders", {"A", "B", "C"}).keys() == {"A", "B", "C"}
    table = _Throttled(answers=2)
    with pytest.raises(ShopError, match="table orders: 1 order not read in 6 attempts"):
        dead_letters.stored_orders(table, "orders", {"A", "B", "C"})


def test_status_shows_the_stages_stacks_and_queues(target: Target) -> None:
    send(target, ORDER)
    cloudformation = target.client("cloudformation")
    for name, stage in (("dev-2-order-pipeline", "dev-2"), ("dev-image-fanout", "dev")):
        empty = '{"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}'
        cloudformation.create_stack(StackName=name, TemplateBody=empty, Tags=shop_stack.tags(stage))
    cloudformation.create_stack(StackName="dev-of-somebody-else", TemplateBody=empty)
    stacks = health.stacks(target)
    assert [stack.name for stack in stacks] == ["dev-image-fanout", "dev-order-pipeline"]
    assert {stack.status for stack in stacks} == {"CREATE_COMPLETE"}
    depths = {queue.name.rsplit("-", 1)[0]: queue.visible for queue in health.queues(target, stacks)}
    assert depths == {
        "dev-image-fanout-Q": 0,
        "dev-order-pipeline-Orders": 0,
        "dev-order-pipeline-DeadLetters": 1,
        "dev-order-pipeline-Unannounced": 0,
    }


def test_the_mailbox_of_a_deployed_stage_says_who_is_subscribed(target: Target) -> None:
    sns = target.client("sns")
    topic = target.output("OrderTopicArn")
    with pytest.raises(ShopError, match=r"SNS keeps no copy of what arn:.*; nobody is subscribed"):
        mailbox.read(target)
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="owner@example.com")
    with pytest.raises(ShopError, match=r"; subscribed: email owner@example\.com$"):
        mailbox.read(target)


def test_unconfirmed_subscriptions_are_told_apart() -> None:
    found: Any = [
        {"SubscriptionArn": "arn:1", "Protocol": "email", "Endpoint": "a@example.com"},
        {"SubscriptionArn": "PendingConfirmation", "Protocol": "email", "Endpoint": "b@example.com"},
    ]
    assert mailbox.describe(found) == "subscribed: email a@example.com; not confirmed yet: email b@example.com"
    assert mailbox.describe(found[1:]) == "subscribed: nobody; not confirmed yet: email b@example.com"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, "m-1"),
        ({"original_message_id": {"DataType": "String", "StringValue": "m-0"}}, "m-0"),
        ({"original_message_id": {"DataType": "Binary", "BinaryValue": b"\0"}}, ""),
    ],
)
def test_the_id_of_an_order_without_one_is_found_as_the_processor_finds_it(
    attributes: dict[str, Any], expected: str
) -> None:
    message: Any = {"MessageId": "m-1", "MessageAttributes": attributes}
    lambda_spelling = {
        name: {key[0].lower() + key[1:]: value for key, value in fields.items()} for name, fields in attributes.items()
    }
    assert dead_letters.fallback_id(message) == expected
    assert processor._fallback_id({"messageId": "m-1", "messageAttributes": lambda_spelling}) == expected
