"""What `shop.redrive` reaches of a `Pipeline` in memory: its queues, its table, its stream and its topic."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, cast

import pytest

from shop import redrive
from shop.dead_letter_queues import Filters, Place
from shop.dead_letters import ANNOUNCEMENTS, ORDERS, order_queues
from shop.json_merge_patch import Patch
from shop.target import Target
from tests.stream_poller import STREAM_ARN
from tests.unit.fakes import TABLE, client_error
from tests.unit.pipeline_model import Message, Pipeline

_ORDERS_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
_DEAD_URL = f"{_ORDERS_URL}-dead-letters"
_UNANNOUNCED_URL = f"{_ORDERS_URL}-unannounced"
_OUTPUTS = {
    "OrdersQueueUrl": _ORDERS_URL,
    "OrdersDeadLetterQueueUrl": _DEAD_URL,
    "UnannouncedOrdersQueueUrl": _UNANNOUNCED_URL,
    "OrdersTableName": TABLE,
    "OrderTopicArn": "arn:aws:sns:eu-west-1:123456789012:orders",
}
_FAST = 1_000_000.0
"""Messages a second."""


class Operator:
    """A person who runs `python -m shop dlq redrive --go`."""

    def __init__(self, pipeline: Pipeline, patch: pytest.MonkeyPatch) -> None:
        self._services = _Services(pipeline)
        target = Target("dev", _OUTPUTS, cast("Any", self._services), None)
        self._places = {queue.name: Place(queue, target) for queue in order_queues(target)}
        # Threads would send in an order that no seed repeats.
        patch.setattr(redrive, "ThreadPoolExecutor", _OneThread)

    def redrive_orders(self, filters: Filters | None = None, patch: Patch | None = None, fails: str = "") -> None:
        """Sends dead-lettered orders back. `fails` names the call of SQS that the run breaks off in, if any."""
        self._run(ORDERS, redrive.Redrive(filters or Filters(), patch, rate=_FAST), fails)

    def redrive_announcements(self, fails: str = "") -> None:
        """Announces the orders of the batches in the notifier's failure queue."""
        self._run(ANNOUNCEMENTS, redrive.Redrive(Filters(), rate=_FAST), fails)

    def _run(self, name: str, asked: redrive.Redrive, fails: str) -> None:
        self._services.fails = fails
        try:
            redrive.run([self._places[name]], asked)
        except type(_DENIED) as error:
            if error is not _DENIED:
                raise
        finally:
            self._services.fails = ""


_DENIED = client_error("InternalError", 500)


class _OneThread:
    def __init__(self, _: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, call: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
        return [call(value) for value in values]


class _Services:
    """A boto3 session and all of its clients."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.fails = ""

    def client(self, service: str, **_: object) -> Self:
        assert service in {"sqs", "sns", "dynamodb", "dynamodbstreams"}
        return self

    def get_queue_attributes(self, **_: object) -> dict[str, Any]:
        names = ("", "NotVisible", "Delayed")
        return {"Attributes": {f"ApproximateNumberOfMessages{name}": "0" for name in names}}

    def receive_message(self, *, QueueUrl: str, MaxNumberOfMessages: int, **_: object) -> dict[str, Any]:  # noqa: N803
        return {"Messages": [_to_answer(m) for m in self._pipeline.hold(self._queue(QueueUrl), MaxNumberOfMessages)]}

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        queue = self._queue(QueueUrl)
        for entry in Entries:
            assert entry["VisibilityTimeout"] == 0
            queue[entry["ReceiptHandle"]].visible_at = self._pipeline.now
        return {}

    def delete_message_batch(self, *, QueueUrl: str, Entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self._fail_in("delete")
        for entry in Entries:
            del self._queue(QueueUrl)[entry["ReceiptHandle"]]
        return {}

    def send_message(self, *, QueueUrl: str, MessageBody: str, MessageAttributes: Mapping[str, Any]) -> None:  # noqa: N803
        assert QueueUrl == _ORDERS_URL
        self._fail_in("send")
        self._pipeline.send_back(MessageBody, MessageAttributes["original_message_id"]["StringValue"])
        self._fail_in("send's answer")

    def publish(self, *, TopicArn: str, **entry: Any) -> None:  # noqa: N803
        self._fail_in("send")
        self._pipeline.topic.publish_batch(TopicArn=TopicArn, PublishBatchRequestEntries=[{"Id": "0", **entry}])
        self._fail_in("send's answer")

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N803
        return self._pipeline.table.batch_get_item(RequestItems=RequestItems)

    def describe_table(self, **_: object) -> dict[str, Any]:
        return {"Table": {"LatestStreamArn": STREAM_ARN, "TableArn": STREAM_ARN.partition("/stream/")[0]}}

    def get_shard_iterator(self, *, ShardId: str, SequenceNumber: str, **_: object) -> dict[str, Any]:  # noqa: N803
        assert ShardId == self._pipeline.shard.name
        return {"ShardIterator": SequenceNumber}

    def get_records(self, *, ShardIterator: str) -> dict[str, Any]:  # noqa: N803
        last = self._pipeline.shard.records[-1]["dynamodb"]["SequenceNumber"]
        return {"Records": self._pipeline.shard.between(ShardIterator, last)}

    def _queue(self, url: str) -> dict[str, Message]:
        return {_DEAD_URL: self._pipeline.dead, _UNANNOUNCED_URL: self._pipeline.unannounced}[url]

    def _fail_in(self, call: str) -> None:
        if call == self.fails:
            raise _DENIED


def _to_answer(message: Message) -> dict[str, Any]:
    attribute = {"original_message_id": {"StringValue": message.original_id, "DataType": "String"}}
    return {
        "MessageId": message.message_id,
        "ReceiptHandle": message.message_id,
        "Body": message.body,
        "Attributes": {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(int(message.sent_at * 1000)),
        },
        "MessageAttributes": attribute if message.original_id else {},
    }
