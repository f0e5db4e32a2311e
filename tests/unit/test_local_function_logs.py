from __future__ import annotations

import json
import logging
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shop.local import function_logs, log_lines, mends
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

try:
    function_logs.marked(function_logs.logged(handler))({event!r}, Context())
finally:
    print("after", file=sys.stderr)
"""


def _run(event: object, log_format: str = "JSON") -> list[str]:
    program = PROGRAM.format(folder=str(Path(function_logs.__file__).parent), event=event)
    environment = {"AWS_LAMBDA_LOG_FORMAT": log_format, "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    written, mark, after = done.stderr.partition(f"{function_logs.END_MARK}r-1\n")
    assert mark
    assert after.startswith("after")
    return written.splitlines()


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


MARK = function_logs.END_MARK


def _written(*lines: str) -> queue.Queue[str]:
    written: queue.Queue[str] = queue.Queue()
    for line in lines:
        written.put(line)
    return written


def test_what_is_read_late_is_logged_with_its_invocation() -> None:
    written = _written("first")
    late = ["late", f"{MARK}r-1", "of the next"]
    reader = threading.Timer(0.1, lambda: written.queue.extend(late))
    reader.start()
    assert log_lines.lines(written, "r-1", lambda: True) == ["first", "late"]
    assert list(written.queue) == ["of the next"]


def test_no_mark_gets_into_a_log() -> None:
    written = _written(f"{MARK}r-0", "", "all", f"no line's end{MARK}r-1")
    assert log_lines.lines(written, "r-1", lambda: True) == ["", "all", "no line's end"]


def test_the_lines_of_a_process_that_has_died_are_all_there_is() -> None:
    reads = iter([True, False])
    assert log_lines.lines(_written("last words"), "r-1", lambda: next(reads, False)) == ["last words"]


def test_nobody_waits_for_ever_for_a_mark() -> None:
    assert log_lines.lines(_written("first"), "r-1", lambda: True, seconds=0.05) == ["first"]


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
