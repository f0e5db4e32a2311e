"""The plain lab's order simulator: one SendMessage an order."""

import json
import os
import random
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import boto3

sqs = boto3.client("sqs")

PRODUCTS = {"Espresso": 2.2, "Caffè Latte": 3.5, "Cappuccino": 3.4, "Butter Croissant": 2.6, "Carrot Cake": 4.8}


def handler(event: Mapping[str, Any], context: object) -> dict[str, int]:  # noqa: ARG001 (Lambda calls it so)
    """Sends `count` orders (20), of which `error_rate` (0.15) are invalid.

    Raises:
        ClientError: SQS refused.
    """
    count, invalid = event.get("count", 20), 0
    for _ in range(count):
        product = random.choice(list(PRODUCTS))  # noqa: S311 (no secret)
        is_invalid = random.random() < event.get("error_rate", 0.15)  # noqa: S311 (no secret)
        invalid += is_invalid
        order = {
            "orderID": str(uuid.uuid4()),
            "product": product,
            "quantity": random.randint(1, 12),  # noqa: S311 (no secret)
            "price_per_item": "err" if is_invalid else PRODUCTS[product],
            "order_date": datetime.now(UTC).isoformat(),
        }
        sqs.send_message(QueueUrl=os.environ["ORDERS_QUEUE_URL"], MessageBody=json.dumps(order))
    return {"sent": count, "invalid": invalid}
