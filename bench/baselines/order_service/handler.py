"""The plain lab's order service: an operation's payload goes to boto3's table resource as it is."""

import json
import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["ORDER_SERVICE_TABLE"])

OPERATIONS: Mapping[str, Callable[[Any], Any]] = {
    "create": lambda payload: table.put_item(**payload),
    "read": lambda payload: table.get_item(**payload),
    "update": lambda payload: table.update_item(**payload),
    "delete": lambda payload: table.delete_item(**payload),
    "list": lambda payload: table.scan(**payload),
    "echo": lambda payload: payload,
    "ping": lambda _: "pong",
}


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 (Lambda calls it so)
    """Answers one request of API Gateway's Lambda proxy integration.

    Raises:
        ClientError: DynamoDB refused.
    """
    body = json.loads(event["body"], parse_float=Decimal)
    operation = body["operation"]
    if operation not in OPERATIONS:
        return _answer(400, {"error": f'Unrecognized operation "{operation}"'})
    return _answer(201 if operation == "create" else 200, OPERATIONS[operation](body.get("payload")))


def _answer(status: int, document: object) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(document, default=_number),
    }


def _number(value: object) -> int | float:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is not JSON")
    return int(value) if value == value.to_integral_value() else float(value)
