"""How a plain lab would record sales: a connection an invocation, a statement and a commit an order."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import boto3
import pymysql

secrets = boto3.client("secretsmanager")

INSERT = (
    "INSERT IGNORE INTO orders (order_key, order_date, customer_id, product_name, quantity, price_per_item) "
    "VALUES (%s, %s, %s, %s, %s, %s)"
)


def handler(event: Mapping[str, Any], context: object) -> dict[str, int]:  # noqa: ARG001 (Lambda calls it so)
    """Records a batch of SQS messages.

    Raises:
        KeyError, ValueError: a message is no order.
        pymysql.MySQLError: the database refused.
    """
    host, _, port = os.environ["DB_URL"].partition(":")
    secret = json.loads(secrets.get_secret_value(SecretId=os.environ["DB_SECRET_ARN"])["SecretString"])
    connection = pymysql.connect(
        host=host,
        port=int(port or 3306),
        user=os.environ["DB_USER"],
        password=secret["password"],
        database=os.environ["DB_NAME"],
    )
    with connection, connection.cursor() as cursor:
        for record in event["Records"]:
            cursor.execute(INSERT, _row(json.loads(record["body"], parse_float=Decimal)))
            connection.commit()
    return {"statusCode": 200}


def _row(order: Mapping[str, Any]) -> tuple[Any, ...]:
    moment = datetime.fromisoformat(order.get("order_date") or order["received_at"]).astimezone(UTC)
    sold = (order["product"], order["quantity"], order["price_per_item"])
    return (order["orderID"], moment.replace(tzinfo=None), order.get("customer_id"), *sold)
