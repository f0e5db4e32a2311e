"""Calls the order service's real handler in this process, which must be a fresh one, and prints what that cost as JSON.

Run by `bench.order_service_memory`, which gives the function's environment and a stand-in for DynamoDB.
"""

import importlib
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

_KEY: Final = {"id": "benchmark-0000"}
_ITEM: Final = {**_KEY, "price": 78.89, "product": "Beautiful Jacket", "order_date": "2024-11-04T10:30:00Z"}
ENVELOPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "create": {"operation": "create", "payload": {"Item": _ITEM}},
    "read": {"operation": "read", "payload": {"Key": _KEY}},
    "update": {
        "operation": "update",
        "payload": {
            "Key": _KEY,
            "UpdateExpression": "SET price = :price",
            "ExpressionAttributeValues": {":price": 78.89},
        },
    },
    "delete": {"operation": "delete", "payload": {"Key": _KEY}},
    "list": {"operation": "list", "payload": {"Limit": 100}},
}
_EXPECTED_STATUS: Final = {"create": 201}
_WARM_UP: Final = 30
_ROUNDS: Final = 7
_REQUESTS_A_ROUND: Final = 50


class Context:
    """What the handler asks of Lambda's context."""

    aws_request_id = "00000000-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """Give more than a request needs."""
        return 10_000


def event(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """The event that API Gateway makes of a request (API Gateway, "Lambda proxy integrations")."""
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "Host": "abcdefghij.execute-api.us-east-1.amazonaws.com",
        "User-Agent": "curl/8.9.1",
        "X-Amz-Date": "20261121T120000Z",
        "X-Amzn-Trace-Id": "Root=1-6740a5f0-0123456789abcdef01234567",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
    }
    return {
        "resource": "/order",
        "path": "/order",
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/order",
            "httpMethod": "POST",
            "path": "/prod/order",
            "stage": "prod",
            "requestId": "00000000-0000-4000-8000-000000000001",
            "identity": {"sourceIp": "192.0.2.1"},
        },
        "body": json.dumps(envelope),
        "isBase64Encoded": False,
    }


def _call(handler: Callable[[Any, Any], Mapping[str, Any]], operation: str) -> None:
    answer = handler(event(ENVELOPES[operation]), Context())
    expected = _EXPECTED_STATUS.get(operation, 200)
    if answer["statusCode"] != expected:
        raise AssertionError(f"{operation}: {answer['statusCode']} is not {expected}: {answer['body']}")


def _milliseconds(handler: Callable[[Any, Any], Mapping[str, Any]], operation: str) -> tuple[float, float]:
    """CPU and wall time of one request, the mean of a round."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(_REQUESTS_A_ROUND):
        _call(handler, operation)
    return (
        (time.process_time() - cpu) / _REQUESTS_A_ROUND * 1_000,
        (time.perf_counter() - wall) / _REQUESTS_A_ROUND * 1_000,
    )


def main() -> None:
    """Prints the CPU time of import and first request, then CPU and wall time of each warm operation, in ms."""
    start = time.process_time()
    handler = importlib.import_module("order_service.handler").handler
    _call(handler, "create")
    cold = (time.process_time() - start) * 1_000
    cpu_ms, wall_ms = {}, {}
    for operation in ENVELOPES:
        for _ in range(_WARM_UP):
            _call(handler, operation)
        rounds = [_milliseconds(handler, operation) for _ in range(_ROUNDS)]
        cpu_ms[operation], wall_ms[operation] = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(json.dumps({"cold_cpu_ms": cold, "cpu_ms": cpu_ms, "wall_ms": wall_ms}))


if __name__ == "__main__":
    main()
