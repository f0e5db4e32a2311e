"""Gives a function's process the JSON log set-up that Lambda's Python runtime has.

The emulator starts functions without any, so that nothing below a warning would reach the log. `mends` puts this
module's text in front of the program that runs functions; it must stand alone and import what Python has.
The fields are those of AWS Lambda's "Using structured JSON log format with Python".
"""

import functools
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

_OWN_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}

END_MARK = "\x1eend of invocation "
"""What comes before an invocation's id once it has written all that it writes; `log_lines` takes it out again."""

request_id: str | None = None


class LambdaJsonFormatter(logging.Formatter):
    """A log record as one line of JSON; what the record carries by `extra` stands beside Lambda's own fields."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        fields: dict[str, Any] = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": request_id,
            **_error_fields(record),
        }
        extra = {name: value for name, value in record.__dict__.items() if name not in _OWN_FIELDS}
        line = {name: value for name, value in fields.items() if value is not None}
        return json.dumps({**line, **{name: value for name, value in extra.items() if name not in fields}}, default=str)


def _error_fields(record: logging.LogRecord) -> dict[str, Any]:
    if not record.exc_info or record.exc_info[0] is None:
        return {}
    kind, error, trace = record.exc_info
    return {
        "errorType": kind.__name__,
        "errorMessage": str(error),
        "stackTrace": traceback.format_tb(trace),
        "location": f"{record.pathname}:{record.funcName}:{record.lineno}",
    }


def logged(handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The handler with Lambda's JSON logging around it, where the function's log format is JSON; else as it is."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") != "JSON":
        return handler

    @functools.wraps(handler)
    def run(event: Any, context: Any) -> Any:
        global request_id  # noqa: PLW0603 - a function's process runs one invocation at a time
        request_id = context.aws_request_id
        try:
            return handler(event, context)
        except Exception:
            logging.getLogger().exception("[ERROR] the function raised an error")
            raise

    return run


def marked(handler: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The handler, which says on standard error when an invocation has ended, however it did."""

    @functools.wraps(handler)
    def run(event: Any, context: Any) -> Any:
        try:
            return handler(event, context)
        finally:
            sys.stderr.flush()
            os.write(2, f"{END_MARK}{context.aws_request_id}\n".encode())

    return run


def set_up() -> None:
    """Log to standard error as JSON from the function's level on, where the function's log format is JSON."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT") != "JSON":
        return
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(LambdaJsonFormatter())
    root = logging.getLogger()
    root.addHandler(output)
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "INFO")
    root.setLevel({"TRACE": "DEBUG", "FATAL": "CRITICAL"}.get(level, level))
