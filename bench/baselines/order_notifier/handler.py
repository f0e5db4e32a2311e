"""The plain lab's order notifier: one Publish for each new item of the stream."""

import json
import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer

sns = boto3.client("sns")
deserializer = TypeDeserializer()


def handler(event: Mapping[str, Any], context: object) -> dict[str, int]:  # noqa: ARG001 (Lambda calls it so)
    """Announces a batch of stream records.

    Raises:
        ClientError: SNS refused.
    """
    for record in event["Records"]:
        if record["eventName"] != "INSERT":
            continue
        image = record["dynamodb"]["NewImage"]
        order = {name: deserializer.deserialize(value) for name, value in image.items()}
        sns.publish(
            TopicArn=os.environ["ORDER_TOPIC_ARN"],
            Subject=f"New order {order['orderID']}",
            Message=json.dumps(order, default=_number, indent=2),
        )
    return {"statusCode": 200}


def _number(value: object) -> int | float:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is not JSON")
    return int(value) if value == value.to_integral_value() else float(value)
