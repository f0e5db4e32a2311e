from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from shop.local import function_logs, mends
from shop.logs import Invocation, read_report

PROGRAM = """
import logging, sys
sys.path.insert(0, {folder!r})
import function_logs
function_logs.set_up()
logger = logging.getLogger("shop")

class Context:
    aws_request_id = "r-1"

def handler(event, context):
    logger.debug("not shown")
    logger.info("batch %s", "done", extra={{"received": 3, "price": __import__("decimal").Decimal("1.50")}})
    if event:
        raise ValueError("broken")

function_logs.logged(handler)({event!r}, Context())
"""


def _run(event: object, log_format: str = "JSON") -> list[str]:
    program = PROGRAM.format(folder=str(Path(function_logs.__file__).parent), event=event)
    environment = {"AWS_LAMBDA_LOG_FORMAT": log_format, "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    return done.stderr.splitlines()


def test_a_record_is_a_line_of_json_with_lambdas_fields_and_the_extra_ones() -> None:
    [line] = _run(None)
    fields = json.loads(line)
    assert fields.pop("timestamp").endswith("Z")
    assert fields == {
        "level": "INFO",
        "message": "batch done",
        "logger": "shop",
        "requestId": "r-1",
        "received": 3,
        "price": "1.50",
    }


def test_an_error_that_a_function_raises_is_logged() -> None:
    fields = json.loads(_run({"fail": True})[1])
    assert (fields["level"], fields["errorType"], fields["errorMessage"]) == ("ERROR", "ValueError", "broken")
    assert fields["requestId"] == "r-1"
    assert any("handler" in line for line in fields["stackTrace"])


def test_with_text_logs_nothing_is_set_up() -> None:
    assert _run(None, log_format="Text") == []


def test_an_extra_field_cannot_take_the_place_of_lambdas() -> None:
    record = logging.makeLogRecord({"msg": "m", "levelname": "INFO", "level": "mine", "requestId": "mine"})
    fields = json.loads(function_logs.LambdaJsonFormatter().format(record))
    assert fields["level"] == "INFO"
    assert "requestId" not in fields


@pytest.mark.parametrize(
    ("failed", "duration_ms", "status"), [(False, 3_000, "success"), (True, 2_999, "error"), (True, 3_000, "timeout")]
)
def test_an_invocation_is_reported_in_lambdas_form_with_how_it_ended(
    failed: bool, duration_ms: int, status: str
) -> None:
    text = f"REPORT RequestId: r-1\tDuration: {duration_ms} ms\tMemory Size: 512 MB\tMax Memory Used: 0 MB"
    event = {"timestamp": 1, "message": text}
    mended = mends._platform_event(event, mends._status(failed, duration_ms, timeout_seconds=3))
    assert mended is not None
    assert read_report(mended["message"]) == Invocation(duration_ms, 512, None, None, status)
