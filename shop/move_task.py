"""Has SQS itself move a dead-letter queue's messages to the queue that they failed in (StartMessageMoveTask).

It takes all messages as they are and runs in SQS, so that nothing is received here: for queues whose messages need
no change on the way. The emulator does not have it.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shop.errors import ShopError

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

_MOST_A_SECOND: Final = 500
"""Amazon SQS API Reference, "StartMessageMoveTask": MaxNumberOfMessagesPerSecond."""
_UNSUPPORTED: Final = ("UnsupportedOperation", "InvalidAction")
_RUNNING: Final = {"RUNNING", "CANCELLING"}
POLL_SECONDS = 2.0


def move(
    sqs: "SQSClient", source_url: str, destination_url: str, rate: float, on_moved: Callable[[int], None]
) -> int | None:
    """Move all visible messages and wait until that is done; return how many, None where SQS does not do it here.

    `rate` is in messages a second; `on_moved` is told by how many the count has grown. An interruption cancels the
    task. Raises ShopError where the task fails, and ClientError where SQS refuses to start it.
    """
    source = _arn(sqs, source_url)
    try:
        task = sqs.start_message_move_task(
            SourceArn=source,
            # SNS put some there itself, and those have no source queue to go back to.
            DestinationArn=_arn(sqs, destination_url),
            MaxNumberOfMessagesPerSecond=max(1, int(min(_MOST_A_SECOND, rate))),
        )["TaskHandle"]
    except ClientError as error:
        if error.response["Error"].get("Code", "").endswith(_UNSUPPORTED):
            return None
        raise
    try:
        newest = _wait(sqs, source, on_moved)
    except BaseException:
        sqs.cancel_message_move_task(TaskHandle=task)
        raise
    if newest["Status"] != "COMPLETED":
        reason = newest.get("FailureReason", "no reason given")
        raise ShopError(f"SQS stopped moving messages of {source} ({newest['Status']}): {reason}; repeat the command")
    return _moved(newest)


def _wait(sqs: "SQSClient", source: str, on_moved: Callable[[int], None]) -> Mapping[str, Any]:
    """Return the newest task of a queue once it has ended."""
    told = 0
    while True:
        newest: Any = sqs.list_message_move_tasks(SourceArn=source, MaxResults=1)["Results"][0]
        on_moved(_moved(newest) - told)
        told = _moved(newest)
        if newest["Status"] not in _RUNNING:
            return dict(newest)
        time.sleep(POLL_SECONDS)


def _moved(task: Mapping[str, Any]) -> int:
    return int(task.get("ApproximateNumberOfMessagesMoved", 0))


def _arn(sqs: "SQSClient", url: str) -> str:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
