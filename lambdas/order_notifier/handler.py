"""Announces each order that comes into the table on the topic, and reports the first one that it could not.

Lambda delivers again from the first failed record on, and gives up on all of them together when it has tried often
enough. So what stands behind a failed record is announced all the same; and because it comes back, the process
remembers that it has been announced.
"""

import os
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from order_notifier.announcement import announce, size
from order_notifier.form import encode_form
from shared.aws import make_client
from shared.entries import batches, send_entries
from shared.log import logger
from shared.metrics import measures
from shared.order_items import StoredOrder, from_item, log_ids
from shared.order_rules import InvalidOrder
from shared.times import Context, RemainingTime

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

_LARGEST_CALL: Final = 262_144
"""Bytes of all entries of a call together (Amazon SNS API Reference, "PublishBatch")."""

_sns: "SNSClient" = make_client("sns")
_sns.meta.events.register("before-call.sns.PublishBatch", encode_form)
_announced_early: deque["_Insert"] = deque(maxlen=100)
"""Orders announced although one before them failed; Lambda delivers them again, mostly to this process."""


class _Insert(NamedTuple):
    """A new order and its place in the stream."""

    sequence_number: str
    stored: StoredOrder


def handler(event: Mapping[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Announces a batch of stream records; returns the first that failed, if any did.

    Lambda Developer Guide, "Configuring partial batch response with DynamoDB and Lambda".

    Raises:
        KeyError: the event is no batch of DynamoDB stream records; Lambda then takes all of it as failed.
    """
    records = [record for record in event["Records"] if record["eventName"] == "INSERT"]
    inserts = [insert for record in records if (insert := _read_insert(record))]
    fresh = [insert for insert in inserts if insert not in _announced_early]
    published = _publish(fresh, os.environ["ORDER_TOPIC_ARN"], context.get_remaining_time_in_millis)
    announced = {insert.sequence_number for insert in inserts if insert not in fresh or insert in published}
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    failed = [number for number in numbers if number not in announced]
    if failed:
        behind = numbers[numbers.index(failed[0]) :]
        _announced_early.extend(insert for insert in published if insert.sequence_number in behind)
    logger.info(
        "batch done",
        extra={
            "received": len(records),
            "announced": len(published),
            "failed": len(failed),
            "orders": [log_ids(insert.stored) for insert in published],
            **measures(OrdersAnnounced=len(published)),
        },
    )
    return {"batchItemFailures": [{"itemIdentifier": number} for number in failed[:1]]}


def _read_insert(record: Mapping[str, Any]) -> _Insert | None:
    """The new order of one record; None, and a line in the log, where the new item is no order."""
    sequence_number = record["dynamodb"]["SequenceNumber"]
    try:
        return _Insert(sequence_number, from_item(record["dynamodb"].get("NewImage", {})))
    except InvalidOrder as error:
        details = {"sequence_number": sequence_number, "field": error.field, "rule": error.rule}
        logger.error("new item cannot be announced: it is no order", extra=details)
        return None


def _publish(inserts: Iterable[_Insert], topic: str, remaining_ms: RemainingTime) -> list[_Insert]:
    """Publishes in the stream's order; returns what the topic took."""
    entries = {str(place): (insert, announce(insert.stored, str(place))) for place, insert in enumerate(inserts)}
    taken: set[str] = set()
    for batch in batches((entry for _, entry in entries.values()), size, _LARGEST_CALL):
        taken |= send_entries(
            lambda waiting: _sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=waiting), batch, remaining_ms
        )
    return [insert for entry_id, (insert, _) in entries.items() if entry_id in taken]
