"""Orders that the table lost come back from a restored one, and sales that the database lost from the orders table."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.pipeline import Pipeline
from tests.integration.sales_report import SalesReport
from tests.integration.test_cli import Shell
from tests.polling import eventually


@pytest.fixture
def prefix() -> str:
    return f"restore-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def restored(pipeline: Pipeline, prefix: str) -> Iterator[str]:
    """The name of a table to restore into, which is deleted afterwards."""
    yield prefix
    pipeline.client("dynamodb").delete_table(TableName=prefix)


def test_lost_orders_come_back_and_are_announced_again(
    cloud_folder: Path, pipeline: Pipeline, prefix: str, restored: str
) -> None:
    shell, dynamodb = Shell(cloud_folder), pipeline.client("dynamodb")
    table = pipeline.outputs["OrdersTableName"]
    lost, changed, kept = ids = [f"{prefix}-{name}" for name in ("lost", "changed", "kept")]
    for order_id in ids:
        body = {"orderID": order_id, "product": "Tea", "quantity": 2, "price_per_item": 3.5}
        assert pipeline.post(json.dumps(body)).status == 202
    eventually(lambda: len(pipeline.mails(prefix)) == 3)
    items = {order_id: pipeline.stored(order_id) for order_id in ids}

    dynamodb.restore_table_to_point_in_time(
        SourceTableName=table, TargetTableName=restored, UseLatestRestorableTime=True
    )
    eventually(lambda: dynamodb.describe_table(TableName=restored)["Table"]["TableStatus"] == "ACTIVE")
    dynamodb.delete_item(TableName=table, Key={"orderID": {"S": lost}})
    dynamodb.put_item(TableName=table, Item={**(items[changed] or {}), "quantity": {"N": "7"}})

    planned = shell.json("orders", "restore", "--from", restored, code=1)
    assert (planned["missing"], planned["copied"], planned["conflicts"]) == (1, 0, [changed])
    assert pipeline.stored(lost) is None
    done = shell.json("orders", "restore", "--from", restored, "--go", code=1)
    assert (done["missing"], done["copied"], done["conflicts"]) == (1, 1, [changed])
    assert pipeline.stored(lost) == items[lost]
    assert pipeline.stored(kept) == items[kept]
    assert (pipeline.stored(changed) or {})["quantity"] == {"N": "7"}
    eventually(lambda: len(pipeline.mails(lost)) == 2)
    again = shell.json("orders", "restore", "--from", restored, "--go", code=1)
    assert (again["missing"], again["copied"]) == (0, 0)


def test_lost_sales_are_recorded_again(
    cloud_folder: Path, pipeline: Pipeline, sales_report: SalesReport, prefix: str
) -> None:
    lost, kept = ids = [f"{prefix}-lost", f"{prefix}-kept"]
    for order_id in ids:
        body = {"orderID": order_id, "product": "Tea", "quantity": 2, "price_per_item": 3.5}
        assert pipeline.post(json.dumps(body)).status == 202
    before = eventually(lambda: found if len(found := _sales(sales_report, ids)) == 2 else None)
    sales_report.query(
        "DELETE order_item, orders FROM orders JOIN order_item ON order_item.order_id = orders.id WHERE order_key = %s",
        lost,
    )
    assert [key for key, _ in _sales(sales_report, ids)] == [kept]

    shell = Shell(cloud_folder)
    planned = shell.json("report", "rebuild")
    assert planned["orders"] >= 2
    assert planned["sent"] == 0
    done = shell.json("report", "rebuild", "--go")
    assert done["sent"] == done["orders"] >= planned["orders"]
    # All stored orders are on the queue, those of other tests too.
    eventually(lambda: _sales(sales_report, ids) == before, timeout=120)


def _sales(sales_report: SalesReport, ids: list[str]) -> list[tuple[object, ...]]:
    """The quantity that the database has of each order, by its id."""
    return sales_report.query(
        "SELECT order_key, order_item.quantity FROM orders JOIN order_item ON order_item.order_id = orders.id"
        " WHERE order_key IN (%s, %s) ORDER BY order_key",
        *ids,
    )
