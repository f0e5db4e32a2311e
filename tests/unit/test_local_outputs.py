from __future__ import annotations

import pytest

from shop.local.outputs import reachable

ENDPOINT = "https://localhost:4999"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "https://a1b2c3.execute-api.us-east-1.amazonaws.com/v1/orders",
            f"{ENDPOINT}/restapis/a1b2c3/v1/_user_request_/orders",
        ),
        (
            "https://a1b2c3.execute-api.us-east-1.amazonaws.com/v1/",
            f"{ENDPOINT}/restapis/a1b2c3/v1/_user_request_/",
        ),
        (
            "https://a1b2c3.execute-api.cn-north-1.amazonaws.com.cn/v1/a/b",
            f"{ENDPOINT}/restapis/a1b2c3/v1/_user_request_/a/b",
        ),
        ("https://localhost:4999/000000000000/queue", "https://localhost:4999/000000000000/queue"),
        (
            "see https://a1.execute-api.us-east-1.amazonaws.com/v1/",
            "see https://a1.execute-api.us-east-1.amazonaws.com/v1/",
        ),
        ("arn:aws:sns:us-east-1:000000000000:topic", "arn:aws:sns:us-east-1:000000000000:topic"),
    ],
)
def test_only_urls_of_apis_change(value: str, expected: str) -> None:
    assert reachable({"stack": {"Key": value}}, ENDPOINT) == {"stack": {"Key": expected}}
