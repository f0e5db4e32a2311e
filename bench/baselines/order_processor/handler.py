"""The plain lab's order processor: one PutItem an order, by boto3's table resource; any error fails the whole batch."""

import json
import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["DYNAMODB_ORDERS_TABLE"])


def handler(event: Mapping[str, Any], context: object) -> dict[str, int]:  # noqa: ARG001 (Lambda calls it so)
    """Stores a batch of SQS messages.

    Raises:
        KeyError, ValueError, TypeError: an order lacks what it needs, or its price is no number.
        ClientError: DynamoDB refused.
    """
    for record in event["Records"]:
        order = json.loads(record["body"], parse_float=Decimal)
        order.setdefault("orderID", record["messageId"])
        order["price_per_item"] = Decimal(str(order["price_per_item"]))
        order["quantity"] = int(order["quantity"])
        table.put_item(Item=order)
        print("stored order", order["orderID"])
    return {"statusCode": 200}
