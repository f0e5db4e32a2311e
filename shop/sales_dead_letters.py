"""Why a sale was not recorded, a report not made or not started: what lies in the sales report's dead-letter queues.

What cannot be found again from the message itself is in what the service wrote beside it: Lambda's record of a failed
invocation, EventBridge Scheduler's attributes.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from shop.dead_letters import DeadLetter, FailureQueue, attribute_text, make_letter
from shop.names import construct_name
from shop.order_rules import InvalidOrder, read_sale
from shop.orders import claimed_id, function_error
from shop.output import shorten
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

SALES = "sales"
REPORTS = "reports"
SCHEDULE = "schedule"
_WATCH = "watch"
"""What stacks/sales_report.py has its second schedule say in the event, beside the time."""


class _Context(msgspec.Struct):
    condition: str = "no condition given"


class _Scheduled(msgspec.Struct):
    purpose: str | None = None


class FailedRun(msgspec.Struct, rename="camel"):
    """What Lambda keeps of an asynchronous invocation that failed (Developer Guide, "Adding a destination")."""

    request_payload: msgspec.Raw
    """The event, byte for byte."""
    request_context: _Context = msgspec.field(default_factory=_Context)
    response_payload: Any = None


def sales_queues(target: Target) -> list[FailureQueue]:
    """Return where the sales report's failures end: sales, failed reports, and reports that were not started."""
    recorder = construct_name(target.output("SalesRecorderFunctionName"))
    return [
        FailureQueue(SALES, target.output("SalesRecorderDeadLetterQueueUrl"), partial(_judge_sales, recorder)),
        FailureQueue(REPORTS, target.output("FailedReportsQueueUrl"), _judge_reports),
        FailureQueue(SCHEDULE, target.output("MissedReportsQueueUrl"), _judge_schedule),
    ]


def _judge_sales(recorder: str, messages: Sequence["MessageTypeDef"]) -> list[DeadLetter]:
    return [
        make_letter(SALES, message, claimed_id(message["Body"].encode()), _sale_reason(recorder, message["Body"]))
        for message in messages
    ]


def _sale_reason(recorder: str, body: str) -> str:
    reason = check_sale(body)
    return reason or f"valid and not recorded, .venv/bin/python -m shop logs {recorder} says why: it can be redriven"


def check_sale(body: str) -> str | None:
    """Return why the recorder refuses a message; None where it takes it."""
    try:
        read_sale(body)
    except InvalidOrder as error:
        return f"invalid: {error}"
    return None


def _judge_reports(messages: Sequence["MessageTypeDef"]) -> list[DeadLetter]:
    return [make_letter(REPORTS, message, None, _report_reason(message["Body"])) for message in messages]


def read_run(body: str) -> FailedRun | None:
    """Return the failed invocation that a message tells of; None where it tells of none."""
    try:
        return msgspec.json.decode(body, type=FailedRun)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None


def _report_reason(body: str) -> str:
    run = read_run(body)
    if run is None:
        return "not a record of a failed report"
    error = "no answer" if run.response_payload is None else function_error(run.response_payload)
    event = shorten(bytes(run.request_payload).decode(errors="replace"), 100)
    return f"not made of {event} ({run.request_context.condition}): {error}"


def _judge_schedule(messages: Sequence["MessageTypeDef"]) -> list[DeadLetter]:
    return [make_letter(SCHEDULE, message, None, _schedule_reason(message)) for message in messages]


def is_watch(body: str) -> bool:
    """Whether an event of a schedule only asked whether the report was mailed."""
    try:
        return msgspec.json.decode(body, type=_Scheduled).purpose == _WATCH
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return False


def _schedule_reason(message: "MessageTypeDef") -> str:
    found = message.get("MessageAttributes", {})
    texts = (attribute_text(found[name]) for name in ("ERROR_CODE", "ERROR_MESSAGE") if name in found)
    said = shorten(": ".join(texts) or "no error given", 500)
    return f"not started with {shorten(message['Body'], 100)}: {said}"
