"""CloudFormation as a custom resource's handler sees it: its requests, and where it is told the outcome."""

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

_ANSWER_URL = "https://cloudformation.example/answer"


class _Response(io.BytesIO):
    status = 200


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What CloudFormation was told: one answer to each request."""
    told: list[dict[str, Any]] = []

    def put(request: Any, timeout: float) -> _Response:
        assert (request.method, request.full_url) == ("PUT", _ANSWER_URL)
        assert timeout > 0
        told.append(json.loads(request.data))
        return _Response()

    monkeypatch.setattr("urllib.request.urlopen", put)
    yield told
    assert len(told) == 1


def request(request_type: str, resource: str, properties: Mapping[str, Any], **more: str) -> dict[str, Any]:
    """A request of CloudFormation for a custom resource."""
    return {
        "RequestType": request_type,
        "ResponseURL": _ANSWER_URL,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": resource,
        "ResourceProperties": {"ServiceToken": "arn", **properties},
        **more,
    }
