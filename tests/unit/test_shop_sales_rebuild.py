"""All stored orders reach the sales recorder once more, as they were announced, and nobody else."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from moto import mock_aws

from shop import sales_rebuild
from shop.errors import ShopError
from shop.http_client import Backoff
from shop.order_rules import read_sale
from shop.sales_rebuild import Rebuild, rebuild
from shop.target import Target
from tests.unit import shop_stack


@pytest.fixture
def pipeline() -> Iterator[Target]:
    with mock_aws():
        yield shop_stack.deploy()


@pytest.fixture
def sales(pipeline: Target) -> Target:
    queue = pipeline.client("sqs").create_queue(QueueName="sales")["QueueUrl"]
    return replace(pipeline, outputs={"SalesRecorderQueueUrl": queue})


def store(pipeline: Target, order_id: str, **others: dict[str, str]) -> None:
    item = {
        "orderID": {"S": order_id},
        "product": {"S": "Caffè & Latte"},
        "quantity": {"N": "2"},
        "price_per_item": {"N": "3.25"},
        "received_at": {"S": "2026-11-26T09:15:00.000Z"},
        **others,
    }
    pipeline.client("dynamodb").put_item(TableName=pipeline.output("OrdersTableName"), Item=item)


def queued(sales: Target) -> list[str]:
    bodies: list[str] = []
    url = sales.output("SalesRecorderQueueUrl")
    while messages := sales.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        bodies += [message["Body"] for message in messages]
    return bodies


def test_every_order_is_sent_as_the_recorder_reads_it(pipeline: Target, sales: Target) -> None:
    ids = {f"A-{number}" for number in range(23)}
    for order_id in ids:
        store(pipeline, order_id)
    assert rebuild(pipeline, sales, go=True) == Rebuild(orders=23, sent=23)
    found = [read_sale(body) for body in queued(sales)]
    assert {sale.order_key for sale in found} == ids
    assert {(sale.product_name, sale.quantity, str(sale.price_per_item)) for sale in found} == {
        ("Caffè & Latte", 2, "3.25")
    }


def test_a_dry_run_counts_and_sends_nothing(pipeline: Target, sales: Target) -> None:
    store(pipeline, "A-1")
    store(pipeline, "poison", quantity={"S": "two"})
    assert rebuild(pipeline, sales, go=False) == Rebuild(orders=1, no_orders=("poison",))
    assert queued(sales) == []


class Refusing:
    """SendMessageBatch that answers 200 and refuses the second message of each batch, some times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.sent: list[str] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == "queue"
        refused = []
        for place, entry in enumerate(Entries):
            if self.times and (place == 1 or len(Entries) == 1):
                self.times -= 1
                refused.append({"Id": entry["Id"], "Code": "ServiceUnavailable", "SenderFault": False})
            else:
                self.sent.append(entry["MessageBody"])
        return {"Failed": refused} if refused else {}


@pytest.mark.parametrize("times", [0, 1, 3])
def test_what_sqs_refuses_is_sent_again_and_only_that(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda *_: 0.0)
    sqs: Any = Refusing(times)
    sales_rebuild._send_batch(sqs, "queue", ["a", "b", "c"])
    assert sorted(sqs.sent) == ["a", "b", "c"]


def test_what_sqs_keeps_refusing_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda *_: 0.0)
    sqs: Any = Refusing(100)
    with pytest.raises(ShopError, match="1 order not sent: ServiceUnavailable"):
        sales_rebuild._send_batch(sqs, "queue", [json.dumps({}), "b"])


def test_a_message_that_sqs_will_never_take_ends_it_at_once() -> None:
    class Final:
        calls = 0

        def send_message_batch(self, **_: Any) -> dict[str, Any]:
            self.calls += 1
            return {
                "Failed": [{"Id": "0", "Code": "InvalidParameterValue", "Message": "too long", "SenderFault": True}]
            }

    sqs: Any = Final()
    with pytest.raises(ShopError, match="1 order not sent: InvalidParameterValue: too long"):
        sales_rebuild._send_batch(sqs, "queue", ["a"])
    assert sqs.calls == 1


def test_large_orders_go_by_as_many_calls_as_they_need(pipeline: Target, sales: Target) -> None:
    date = f"2026-11-26T09:15:00.{'9' * 199_000}Z"  # the contract bounds no fraction of a second
    for number in range(12):
        store(pipeline, f"A-{number}", order_date={"S": date})
    assert rebuild(pipeline, sales, go=True) == Rebuild(orders=12, sent=12)
    assert len(queued(sales)) == 12


def test_a_call_that_is_refused_is_told_in_words(pipeline: Target, sales: Target) -> None:
    store(pipeline, "A-1")
    sales.client("sqs").delete_queue(QueueUrl=sales.output("SalesRecorderQueueUrl"))
    with pytest.raises(ShopError, match=r"1 order not sent: SendMessageBatch: .*NonExistentQueue"):
        rebuild(pipeline, sales, go=True)
