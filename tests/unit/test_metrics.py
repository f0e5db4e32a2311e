"""The metrics that log lines carry, as Lambda writes the lines and CloudWatch reads them."""

import json
import logging
from typing import Any

import pytest

from shared.log import logger
from shared.metrics import measures
from shop.local.function_logs import LambdaJsonFormatter
from tests.embedded_metrics import of_line


@pytest.fixture(autouse=True)
def _stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_STAGE", "prod")


def line_of(caplog: pytest.LogCaptureFixture, **extra: Any) -> dict[str, Any]:
    caplog.set_level(logging.INFO, "shop")
    logger.info("batch done", extra=extra)
    return dict(json.loads(LambdaJsonFormatter().format(caplog.records[-1])))


def test_counts_are_metrics_of_the_stage(caplog: pytest.LogCaptureFixture) -> None:
    line = line_of(caplog, received=3, **measures(OrdersStored=2, ItemsSold=11))
    assert of_line(line) == [("OrdersStored", {"stage": "prod"}, 2), ("ItemsSold", {"stage": "prod"}, 11)]
    assert (line["message"], line["received"]) == ("batch done", 3)


def test_a_further_dimension_is_a_metric_beside_that_of_the_stage(caplog: pytest.LogCaptureFixture) -> None:
    line = line_of(caplog, **measures({"size": "mobile"}, ImagesMade=True))
    assert of_line(line) == [
        ("ImagesMade", {"stage": "prod"}, 1),
        ("ImagesMade", {"stage": "prod", "size": "mobile"}, 1),
    ]


def test_zeroes_are_not_sent() -> None:
    assert measures({"reason": "body"}, OrdersInvalid=False) == {}
    assert measures(OrdersStored=0, OrdersAccepted=1).keys() == {"_aws", "stage", "OrdersAccepted"}


def test_a_function_without_its_stage_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_STAGE")
    assert of_line(measures(OrdersStored=1)) == [("OrdersStored", {"stage": "unknown"}, 1)]


def test_lambdas_own_formatter_writes_the_line_that_the_local_cloud_writes(caplog: pytest.LogCaptureFixture) -> None:
    runtime = pytest.importorskip("awslambdaric.lambda_runtime_log_utils", reason="AWS publishes it for Linux only")
    extra = {"orders": [{"message_id": "m-1", "order_id": "Ä"}], "size": 1.5, **measures(OrdersStored=2)}
    local = line_of(caplog, **extra)
    assert json.loads(runtime.JsonFormatter().format(caplog.records[-1])) == local
    assert local["_aws"]["CloudWatchMetrics"]


def test_the_sdk_does_not_tell_at_each_cold_start_where_it_found_credentials(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logging.getLogger("botocore.credentials").info("Found credentials in environment variables.")
    logging.getLogger("botocore.endpoint").warning("worth a line")
    assert [record.message for record in caplog.records] == ["worth a line"]
