from __future__ import annotations

import datetime
from typing import Any

import pytest

from shop.local import invocations

ARN = "arn:aws:lambda:us-east-1:000000000000:function:report"
RESULT = {
    "error": True,
    "log": "START RequestId: 0bf76646-0a95-4078-8f35-51ad119172b1 Version: $LATEST\nnews",
    "body": {"errorType": "ReportFailed", "errorMessage": "no"},
}


def test_a_failure_destination_gets_the_documented_record() -> None:
    function = {"config": {"FunctionArn": ARN}, "event_invoke_configs": {"$LATEST": {"MaximumRetryAttempts": 1}}}
    found = invocations.record(function, {"date": "x"}, RESULT)
    assert datetime.datetime.fromisoformat(found.pop("timestamp")).utcoffset() == datetime.timedelta()
    assert found == {
        "version": "1.0",
        "requestContext": {
            "requestId": "0bf76646-0a95-4078-8f35-51ad119172b1",
            "functionArn": f"{ARN}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 2,
        },
        "requestPayload": {"date": "x"},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorType": "ReportFailed", "errorMessage": "no"},
    }


@pytest.mark.parametrize(("settings", "count"), [({}, 3), ({"MaximumRetryAttempts": 0}, 1)])
def test_the_record_counts_the_tries(settings: dict[str, Any], count: int) -> None:
    function = {"config": {"FunctionArn": ARN}, "event_invoke_config": settings}
    assert invocations.record(function, {}, RESULT)["requestContext"]["approximateInvokeCount"] == count
