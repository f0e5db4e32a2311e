"""The table of faults: what the system must do in each, how a person notices, what to do, and which tests show it.

`make faults` writes it into docs/runbook.md; tests/unit/test_fault_table.py fails where the two differ or where a test
that is named here does not exist.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

RUNBOOK: Final = Path(__file__).parents[1] / "docs" / "runbook.md"
HEADING: Final = "## Faults"

_FAULTS = "integration/test_faults.py"
_STREAM = "unit/test_stream_failures.py"
_DEAD = "[Orders in the dead-letter queue](#orders-in-the-dead-letter-queue)"
_WAITING = "[Orders waiting in the queue](#orders-waiting-in-the-queue)"
_BEHIND = "[Orders waiting to be announced](#orders-waiting-to-be-announced)"
_SILENT = "[Orders not announced](#orders-not-announced)"
_SALES = "[Sales in the dead-letter queue](#sales-in-the-dead-letter-queue)"
_REPORT = "[The sales report fails](#the-sales-report-fails)"
_IMAGES = "[Images in the dead-letter queue](#images-in-the-dead-letter-queue)"
_NOTHING = "Nothing."


@dataclass(frozen=True)
class Fault:
    """One line of the table. Texts are Markdown of one line."""

    name: str
    happens: str
    must: str
    noticed: str
    do: str
    tests: tuple[str, ...]
    """Each as `path below tests/::function`."""


FAULTS: Final = (
    Fault(
        name="DynamoDB throttles or fails for a moment",
        happens="Writes are throttled, answered with a 5xx, or lose their connection.",
        must="The processor tries again while its time lasts; what is left comes back after the visibility timeout.",
        noticed="The table's throttles; `orders not written` in the processor's log.",
        do=f"{_NOTHING} If it lasts for three visibility timeouts: {_DEAD}.",
        tests=(f"{_FAULTS}::test_a_table_that_fails_for_a_moment",),
    ),
    Fault(
        name="DynamoDB refuses",
        happens="A right is missing or a key is disabled, so that no write succeeds.",
        must="All of the batch is reported as failed at once and delivered again; after three receives it is "
        "dead-lettered.",
        noticed="`orders not written` with `AccessDeniedException`; then the alarm on the dead-letter queue.",
        do=f"Deploy the stack again, then redrive: {_DEAD}.",
        tests=(f"{_FAULTS}::test_a_table_that_refuses",),
    ),
    Fault(
        name="DynamoDB answers too late",
        happens="The call times out, and the write is done all the same, later.",
        must="The order is tried again, found stored with the same content, and done.",
        noticed="`ReadTimeoutError` in the processor's log.",
        do=_NOTHING,
        tests=(f"{_FAULTS}::test_a_table_that_answers_too_late",),
    ),
    Fault(
        name="DynamoDB does half a batch",
        happens="Some statements of a batch are refused, some keys come back unread.",
        must="Those alone are tried again.",
        noticed="`order not written` with the order's id.",
        do=_NOTHING,
        tests=(f"{_FAULTS}::test_a_table_that_does_half_a_batch", f"{_FAULTS}::test_a_write_whose_answer_is_lost"),
    ),
    Fault(
        name="An answer is lost after the write",
        happens="The connection ends when the work is done.",
        must="The second try reads what is there and takes it for its own.",
        noticed="`ConnectionClosedError` in the processor's log.",
        do=_NOTHING,
        tests=(f"{_FAULTS}::test_a_write_whose_answer_is_lost",),
    ),
    Fault(
        name="SQS delivers twice or out of order",
        happens="A standard queue may do both at any time.",
        must="Each order is stored and announced once, in any order.",
        noticed="It is not to be noticed.",
        do=_NOTHING,
        tests=(f"{_FAULTS}::test_messages_delivered_twice_and_out_of_order",),
    ),
    Fault(
        name="The visibility timeout runs out mid-work",
        happens="Two functions work on the same message at the same time.",
        must="One writes, the other finds the order there; it is announced once.",
        noticed="Receive counts above 1.",
        do="Nothing; the timeout is six times the function's (a template rule).",
        tests=(f"{_FAULTS}::test_a_visibility_timeout_that_runs_out_mid_work",),
    ),
    Fault(
        name="The processor is killed mid-batch",
        happens="Out of memory, or its host is gone, before or after a write.",
        must="All of the batch is delivered again; what was written is found there.",
        noticed="The function's errors; `Runtime.ExitError` or `Runtime.OutOfMemory` in its log.",
        do="If it repeats, raise `order_processor_memory_mb`.",
        tests=(
            f"{_FAULTS}::test_a_function_killed_in_the_middle_of_a_batch",
            "integration/test_order_pipeline.py::test_a_killed_processor_loses_nothing",
        ),
    ),
    Fault(
        name="The processor runs out of time",
        happens="A call outlives the function.",
        must="As when it is killed.",
        noticed="`Task timed out` in its log.",
        do="If it repeats, look at DynamoDB's latency.",
        tests=(f"{_FAULTS}::test_a_function_that_runs_out_of_time",),
    ),
    Fault(
        name="A burst while no function is warm",
        happens="Hundreds of orders come at once after a quiet night.",
        must="All wait on the queue until functions have started.",
        noticed="Longer time from request to announcement.",
        do=_NOTHING,
        tests=(f"{_FAULTS}::test_a_burst_while_no_function_is_warm",),
    ),
    Fault(
        name="SNS refuses some entries of a batch",
        happens="`PublishBatch` answers 200 with failed entries in it.",
        must="Those alone are sent again, so that nothing is announced twice.",
        noticed="`entry failed` in the notifier's log.",
        do=f"{_NOTHING} If it lasts: {_BEHIND}.",
        tests=(f"{_FAULTS}::test_a_topic_that_refuses_some_of_a_batch",),
    ),
    Fault(
        name="SNS throttles, or its answer is lost",
        happens="The call fails, with or without having been carried out.",
        must="Each order is announced at least once. Where only the answer was lost, it may come twice, with the same "
        "`deduplication_id`.",
        noticed="`batch call failed` in the notifier's log.",
        do=_NOTHING,
        tests=(f"{_FAULTS}::test_a_topic_that_fails_and_one_whose_answer_is_lost",),
    ),
    Fault(
        name="The notifier is killed mid-batch",
        happens="Out of memory, or its host is gone, before or after the topic took the batch.",
        must="The batch is tried again, in halves, until it has gone through; orders may be announced twice.",
        noticed="The function's errors; `Runtime.ExitError` or `Runtime.OutOfMemory` in its log.",
        do="If it repeats, raise `order_notifier_memory_mb`.",
        tests=(
            f"{_FAULTS}::test_a_notifier_killed_in_the_middle_of_a_batch",
            f"{_STREAM}::test_killed_after_the_topic_took_the_batch",
        ),
    ),
    Fault(
        name="The notifier is down for an hour",
        happens="Its mapping is disabled, or it may not publish.",
        must="Orders are stored; the stream keeps its records for 24 hours, and all are announced afterwards.",
        noticed="Disabled: the alarm on a stream that nobody reads, after 15 minutes. May not publish: that on the "
        "iterator age, after 30.",
        do=f"{_BEHIND}.",
        tests=(
            f"{_FAULTS}::test_a_notifier_that_was_down",
            f"{_STREAM}::test_sns_down_for_an_hour_and_back",
            "integration/test_order_pipeline.py::test_an_order_that_could_not_be_announced_at_once_is_announced_later",
        ),
    ),
    Fault(
        name="A stream record is poisoned",
        happens="An item that is no order was written into the table by hand.",
        must="It ends in the failure queue; the records before and after it are announced.",
        noticed="The alarm on the notifier's failure queue; `new item cannot be announced` in its log.",
        do=f"{_SILENT}.",
        tests=(
            f"{_STREAM}::test_a_poisoned_record_ends_in_the_failure_queue_and_all_others_are_announced_once",
            "integration/test_order_pipeline.py::test_what_cannot_be_announced_ends_in_the_failure_queue",
        ),
    ),
    Fault(
        name="A bad deployment of the processor",
        happens="Every order fails.",
        must="All go to the dead-letter queue as they came, and are stored when they are sent back after the rollback.",
        noticed="The alarm on the dead-letter queue, a minute after the deployment; the function's errors.",
        do=f"Deploy the version before, see an order through, then redrive: {_DEAD}.",
        tests=(f"{_FAULTS}::test_a_bad_deployment_and_its_rollback",),
    ),
    Fault(
        name="The orders' dead-letter queue is gone",
        happens="Somebody deleted it.",
        must="What should go there stays on the orders queue and is tried again and again; it goes there once there is "
        "a queue again. Seen on the emulator; the SQS Developer Guide does not say.",
        noticed="The same `message_id` in `invalid order` lines more than three times. The age of the oldest message "
        "does not tell: SQS leaves out what was received more than three times.",
        do=f"Before the 7 days are over that the queue keeps messages, create the queue under its old name and deploy: "
        f"{_WAITING}.",
        tests=(f"{_FAULTS}::test_a_dead_letter_queue_that_is_gone",),
    ),
    Fault(
        name="The database is down",
        happens="It restarts, fails over, or cannot be reached.",
        must="Orders are stored and announced all the same; their sales wait on the recorder's queue, and no half "
        "report is mailed.",
        noticed="`DatabaseUnreachable` in the logs; the alarm on the failed report or on the recorder's queues.",
        do=f"{_REPORT}. If it lasted for three visibility timeouts: {_SALES}.",
        tests=(
            f"{_FAULTS}::test_a_database_that_is_down",
            "integration/test_sales_report.py::test_a_database_that_is_down_fails_the_run",
        ),
    ),
    Fault(
        name="An S3 object is gone",
        happens="An original was deleted or replaced before its images were made.",
        must="The event is acknowledged with a line in the log; nothing is dead-lettered.",
        noticed="`object is gone` in the log of the size's function.",
        do=f"{_NOTHING} What does end in a dead-letter queue: {_IMAGES}.",
        tests=(
            "integration/test_images.py::test_an_object_that_is_gone_is_no_failure",
            "integration/test_images.py::test_a_deleted_object_is_no_failure",
        ),
    ),
)


def table() -> str:
    """The table in Markdown."""
    head = ["Fault", "What happens", "What the system does", "How you notice", "What to do", "Shown by"]
    rows = [
        [fault.name, fault.happens, fault.must, fault.noticed, fault.do, ", ".join(map(_short, fault.tests))]
        for fault in FAULTS
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _short(test: str) -> str:
    return f"`{test.rpartition('::')[2]}`"


def section() -> str:
    """The runbook's section, heading included."""
    return f"""{HEADING}

What can fail, what becomes of the orders then, and which test makes it happen. Made from `tests/faults.py` by
`make faults`. After each fault nothing that was accepted is lost, stored twice or changed, and every stored order is
announced.

{table()}
"""


def with_section(runbook: str) -> str:
    """The runbook's text with the section as it should be, at its place, else at the end."""
    before, heading, rest = runbook.partition(f"\n{HEADING}\n")
    if not heading:
        return f"{runbook.rstrip()}\n\n{section()}"
    _, following, after = rest.partition("\n## ")
    return f"{before}\n{section()}{following}{after}"


def main() -> None:
    """Write the section into the runbook."""
    RUNBOOK.write_text(with_section(RUNBOOK.read_text()))


if __name__ == "__main__":
    main()
