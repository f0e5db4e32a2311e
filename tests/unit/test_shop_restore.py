"""Orders come back from a restored table, each once, and nothing that the orders table has is touched."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from shop import restore as restoring
from shop.errors import ShopError
from shop.restore import Restoration, restore
from shop.target import Target
from tests.unit import shop_stack

RESTORED = "orders-restored"


@pytest.fixture
def target() -> Iterator[Target]:
    with mock_aws():
        found = shop_stack.deploy()
        restore_table(found, found.output("OrdersTableName"), RESTORED)
        yield found


def restore_table(target: Target, source: str, name: str) -> None:
    target.client("dynamodb").restore_table_to_point_in_time(
        SourceTableName=source, TargetTableName=name, UseLatestRestorableTime=True
    )


def make_table(target: Target, name: str, key: str) -> None:
    target.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def order(order_id: str, *, price: str = "3.50", received_at: str = "2026-11-26T09:15:00.000Z") -> dict[str, Any]:
    return {
        "orderID": {"S": order_id},
        "product": {"S": "Tea"},
        "quantity": {"N": "2"},
        "price_per_item": {"N": price},
        "received_at": {"S": received_at},
    }


def put(target: Target, table: str, *items: dict[str, Any]) -> None:
    for item in items:
        target.client("dynamodb").put_item(TableName=table, Item=item)


def live(target: Target) -> dict[str, Any]:
    items = target.client("dynamodb").scan(TableName=target.output("OrdersTableName"))["Items"]
    return {item["orderID"]["S"]: item for item in items}


def test_a_dry_run_says_what_is_missing_and_writes_nothing(target: Target) -> None:
    put(target, RESTORED, order("A-1"), order("A-2"))
    put(target, target.output("OrdersTableName"), order("A-1"))
    assert restore(target, RESTORED, go=False) == Restoration(read=2, there=1, missing=1)
    assert live(target).keys() == {"A-1"}


def test_what_is_missing_is_copied_as_it_was_and_all_else_stays(target: Target) -> None:
    ours = order("A-2", price="9.99")
    later = order("A-3", received_at="2026-11-27T09:15:00.000Z")
    put(target, RESTORED, order("A-1", price="0.10"), order("A-2"), order("A-3"))
    put(target, target.output("OrdersTableName"), ours, later, order("B-1"))
    result = restore(target, RESTORED, go=True)
    assert result == Restoration(read=3, there=1, missing=1, copied=1, conflicts=("A-2",))
    assert live(target) == {"A-1": order("A-1", price="0.10"), "A-2": ours, "A-3": later, "B-1": order("B-1")}


def test_a_second_run_finds_everything_there(target: Target) -> None:
    put(target, RESTORED, *(order(f"A-{number}") for number in range(30)))
    assert restore(target, RESTORED, go=True).copied == 30
    assert restore(target, RESTORED, go=True) == Restoration(read=30, there=30)


def test_what_was_interrupted_goes_on_and_writes_nothing_twice(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    put(target, RESTORED, *(order(f"A-{number}") for number in range(30)))
    put_item, written = restoring._put, list[str]()

    def put_until_interrupted(dynamodb: Any, table: str, item: Any) -> bool:
        if len(written) >= 7:
            raise KeyboardInterrupt
        written.append(item["orderID"]["S"])
        return put_item(dynamodb, table, item)

    monkeypatch.setattr(restoring, "_put", put_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore(target, RESTORED, go=True)
    before = live(target)
    assert before.keys() == set(written)
    monkeypatch.setattr(restoring, "_put", put_item)
    rest = 30 - len(written)
    assert restore(target, RESTORED, go=True) == Restoration(read=30, there=len(written), missing=rest, copied=rest)
    assert live(target) == {f"A-{number}": order(f"A-{number}") for number in range(30)}


def test_an_item_that_is_no_order_is_named_and_not_copied(target: Target) -> None:
    put(target, RESTORED, {"orderID": {"S": "poison"}, "product": {"N": "1"}})
    assert restore(target, RESTORED, go=True) == Restoration(read=1, no_orders=("poison",))
    assert not live(target)


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("3.50", Restoration(read=2, there=1, missing=1, copied=1)),
        ("9.99", Restoration(read=2, missing=1, copied=1, conflicts=("A-1",))),
    ],
)
def test_an_order_that_comes_meanwhile_wins(
    target: Target, monkeypatch: pytest.MonkeyPatch, price: str, expected: Restoration
) -> None:
    put(target, RESTORED, order("A-1"), order("A-2"))
    put_item = restoring._put

    def put_too_late(dynamodb: Any, table: str, item: Any) -> bool:
        if item["orderID"]["S"] == "A-1":
            put(target, table, order("A-1", price=price))
        return put_item(dynamodb, table, item)

    monkeypatch.setattr(restoring, "_put", put_too_late)
    assert restore(target, RESTORED, go=True) == expected
    assert live(target)["A-1"] == order("A-1", price=price)


def test_progress_is_told_page_by_page(target: Target) -> None:
    put(target, RESTORED, order("A-1"))
    told: list[Restoration] = []
    result = restore(target, RESTORED, go=True, on_page=told.append)
    assert told == [result]


def test_a_table_that_cannot_be_the_source_is_refused(target: Target) -> None:
    make_table(target, "others", "id")
    table = target.output("OrdersTableName")
    arn = target.client("dynamodb").describe_table(TableName=table)["Table"]["TableArn"]
    for source, problem in (
        (table, "itself"),
        (arn, "itself"),
        ("nowhere", "no table nowhere"),
        ("others", "not orderID alone"),
    ):
        with pytest.raises(ShopError, match=problem):
            restore(target, source, go=True, not_restored=True)


STACK = {"Key": "aws:cloudformation:stack-name", "Value": "prod-order-pipeline"}


def make_stack(target: Target, name: str, table: str) -> None:
    """A stack that tells of a table in its outputs."""
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": {"T": {"Value": table}}}
    target.client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))


def test_another_stages_orders_table_is_no_source(target: Target) -> None:
    put(target, RESTORED, order("A-1"))
    make_stack(target, "prod-order-pipeline", RESTORED)
    with pytest.raises(ShopError, match="orders-restored is in use: it belongs to stack prod-order-pipeline"):
        restore(target, RESTORED, go=True, not_restored=True)
    assert not live(target)


def test_a_table_that_a_stack_made_is_no_source_while_the_stack_is_there(target: Target) -> None:
    put(target, RESTORED, order("A-1"))
    dynamodb = target.client("dynamodb")
    arn = dynamodb.describe_table(TableName=RESTORED)["Table"]["TableArn"]
    dynamodb.tag_resource(ResourceArn=arn, Tags=[STACK])
    assert restore(target, RESTORED, go=False).missing == 1
    make_stack(target, "prod-order-pipeline", "nothing")
    with pytest.raises(ShopError, match="belongs to stack prod-order-pipeline"):
        restore(target, RESTORED, go=True)


def test_a_table_that_no_restore_made_must_be_meant(target: Target) -> None:
    make_table(target, "copy", "orderID")
    put(target, "copy", order("A-1"))
    with pytest.raises(ShopError, match=r"was not restored from anything.*--not-restored"):
        restore(target, "copy", go=True)
    assert not live(target)
    assert restore(target, "copy", go=True, not_restored=True).copied == 1


def test_a_table_restored_from_another_than_the_orders_table_is_told(target: Target) -> None:
    make_table(target, "before", "orderID")
    restore_table(target, "before", "restored")
    arn = target.client("dynamodb").describe_table(TableName="before")["Table"]["TableArn"]
    assert restore(target, "restored", go=False).other_source == arn
    assert restore(target, RESTORED, go=False).other_source is None


def test_the_counts_add_up_for_a_person() -> None:
    result = Restoration(read=7, there=2, missing=3, copied=3, conflicts=("A-1",), no_orders=("A-2",))
    assert dict(restoring.rows(result)) == {
        "items in the restored table": 7,
        "in the orders table already": 2,
        "missing there": 3,
        "copied": 3,
        "there with other content": 1,
        "no orders": 1,
    }
