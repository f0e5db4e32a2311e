"""POST /report: which day it starts, and what it answers."""

import base64
import json
from collections.abc import Mapping
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sales_report_api import handler as api
from tests.unit.fakes import Clock, client_error, timeout


class FakeLambda:
    """`invoke`; keeps what it was asked."""

    def __init__(self) -> None:
        self.invocations: list[Mapping[str, Any]] = []
        self.error: Exception | None = None

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        self.invocations.append(parameters)
        return {"StatusCode": 202}


@pytest.fixture
def functions(monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    functions = FakeLambda()
    monkeypatch.setattr(api, "_lambda", functions)
    monkeypatch.setattr(api, "today", {ZoneInfo("Europe/Berlin"): date(2026, 11, 27)}.__getitem__)
    monkeypatch.setenv("SALES_REPORT_FUNCTION_NAME", "report-function")
    monkeypatch.setenv("SHOP_TIME_ZONE", "Europe/Berlin")
    return functions


def post(body: str | None, *, encoded: bool = False) -> tuple[int, Any]:
    event = {"body": body, "isBase64Encoded": encoded, "requestContext": {"requestId": "r-1"}}
    answer = api.handler(event, Clock())
    assert answer["headers"] == {"Content-Type": "application/json"}
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize(
    ("body", "day"),
    [
        ('{"date": "2026-11-26"}', "2026-11-26"),
        ('{"date": "2026-11-26", "another": 1}', "2026-11-26"),
        ("{}", "2026-11-27"),
        ("", "2026-11-27"),
        (" \n", "2026-11-27"),
        (None, "2026-11-27"),
    ],
)
def test_a_report_is_started(functions: FakeLambda, body: str | None, day: str) -> None:
    assert post(body) == (202, {"date": day})
    (invocation,) = functions.invocations
    assert invocation["FunctionName"] == "report-function"
    assert invocation["InvocationType"] == "Event"
    assert json.loads(invocation["Payload"]) == {"date": day}


def test_a_body_in_base64(functions: FakeLambda) -> None:
    body = base64.b64encode(b'{"date": "2026-11-26"}').decode()
    assert post(body, encoded=True) == (202, {"date": "2026-11-26"})
    assert len(functions.invocations) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("nonsense", "body: is not JSON"),
        ("[" * 100_000, "body: is not JSON"),
        ("1" * 5_000, "body: is not JSON"),
        ("null", "body: is not a JSON object"),
        ("[]", "body: is not a JSON object"),
        ('"2026-11-26"', "body: is not a JSON object"),
        ('{"date": "2026-02-30"}', "date: '2026-02-30' is not a day of the calendar"),
        ('{"date": "tomorrow"}', "date: 'tomorrow' is not of the form YYYY-MM-DD"),
        ('{"date": 20261126}', "date: 20261126 is not of the form YYYY-MM-DD"),
    ],
)
def test_what_names_no_day_is_refused(functions: FakeLambda, body: str, message: str) -> None:
    assert post(body) == (400, {"error": "bad_request", "message": message})
    assert functions.invocations == []


def test_a_body_that_is_no_text_is_refused(functions: FakeLambda) -> None:
    body = base64.b64encode(b"\xff").decode()
    assert post(body, encoded=True) == (400, {"error": "bad_request", "message": "body: is not UTF-8"})
    assert functions.invocations == []


@pytest.mark.parametrize("error", [client_error("TooManyRequestsException", 429), timeout()])
def test_a_report_that_cannot_be_started(functions: FakeLambda, error: Exception) -> None:
    functions.error = error
    status, document = post("")
    assert status == 500
    assert document == {"error": "internal_error", "message": api._NOT_STARTED, "requestId": "r-1"}
    assert "TooMany" not in json.dumps(document)
