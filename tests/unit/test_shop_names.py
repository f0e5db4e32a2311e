"""Names for a person from names that CloudFormation and the CDK made up."""

import pytest

from shop.names import construct_name, logical_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("local-order-pipeline-OrdersDeadLetters6314E60F-AA7C687B24601", "OrdersDeadLetters"),
        ("dev-order-pipeline-OrderTopicC538DD4C-x0Yz12AbCdEf", "OrderTopic"),
        ("dev-image-fanout-ABADCAFE6314E60F-AA7C687B24601", "ABADCAFE"),
        ("dev-order-pipeline-Orders6314E60F-AA7C687B24601.fifo", "Orders.fifo"),
        ("serverless-shop-mailbox", "serverless-shop-mailbox"),
        ("orders-2026-11-26", "orders-2026-11-26"),
        ("Orders6314E60F", "Orders6314E60F"),
        ("", ""),
    ],
)
def test_a_generated_name_is_shown_as_its_constructs(name: str, shown: str) -> None:
    assert construct_name(name) == shown


@pytest.mark.parametrize(
    ("logical_id", "shown"),
    [
        ("OrdersDeadLetters6314E60F", "OrdersDeadLetters"),
        ("ABADCAFE6314E60F", "ABADCAFE"),
        ("prodsalesreportDatabaseSecret3E449877601b66ba091411939b7916ab17879da7", "prodsalesreportDatabaseSecret"),
        ("OrdersQueue", "OrdersQueue"),
    ],
)
def test_a_logical_id_is_shown_as_its_construct(logical_id: str, shown: str) -> None:
    assert logical_name(logical_id) == shown
