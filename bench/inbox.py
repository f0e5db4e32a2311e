"""A queue of a benchmark's own that gets a topic's announcements, and says when each came.

The time is SQS's own (`SentTimestamp`), so an announcement can be read long after it came, when reading it no longer
takes time from what is measured.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.pipeline_watch import subscribed
from shop.health import depth
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_BATCH = 10
_LONG_POLL_SECONDS = 1


@dataclass(frozen=True)
class Inbox:
    """The queue."""

    sqs: "SQSClient"
    url: str

    def size(self) -> int:
        """How many announcements wait."""
        return depth(self.sqs, self.url).visible

    def read(self) -> dict[str, float]:
        """Take what waits: when each order's first announcement came, in seconds since 1970."""
        came: dict[str, float] = {}
        while messages := self._receive():
            for order_id, sent in messages:
                came[order_id] = min(sent, came.get(order_id, sent))
        return came

    def wait_for_one(self) -> dict[str, float]:
        """Take some of what waits or comes within a second, as `read` does."""
        return dict(self._receive(_LONG_POLL_SECONDS))

    def _receive(self, wait_seconds: int = 0) -> list[tuple[str, float]]:
        messages = self.sqs.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=_BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])
        if not messages:
            return []
        entries = [{"Id": str(place), "ReceiptHandle": each["ReceiptHandle"]} for place, each in enumerate(messages)]
        self.sqs.delete_message_batch(QueueUrl=self.url, Entries=entries)  # type: ignore[arg-type]
        return [_read(each) for each in messages]


def _read(message: "MessageTypeDef") -> tuple[str, float]:
    order_id: str = json.loads(message["Body"])["orderID"]
    return order_id, int(message["Attributes"]["SentTimestamp"]) / 1000


@contextmanager
def opened(target: Target, name: str) -> Iterator[Inbox]:
    """Give a queue of that name that gets all announcements of the target's orders; removed at the end."""
    with subscribed(target, name) as url:
        yield Inbox(target.client("sqs"), url)
