"""Which orders a failed batch of the table's stream was to announce, read again from the stream or, later, the table.

The failure queue has no orders, only their places in the stream, which keeps a record for 24 hours. After that the
orders are looked for in the table: by when they were received, since an item does not say when it was written.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shop.dead_letters import StreamBatch, stored_orders, utc
from shop.order_rules import InvalidOrder, StoredOrder, from_item
from shop.output import plural
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

RECEIVED_WITHIN: Final = timedelta(minutes=15)
"""How long before it was stored an order may have been received, where nobody says otherwise: longer than its three
receives take. Orders that had waited in a backlog need more."""
_AGED_OUT: Final = {"TrimmedDataAccessException", "ResourceNotFoundException", "ExpiredIteratorException"}
_SLACK: Final = timedelta(minutes=1)
"""For Lambda's arrival times are approximate, and whole seconds."""
_MOST_EMPTY_PAGES: Final = 100
"""A shard may answer with empty pages between records (DynamoDB API Reference, "GetRecords")."""


class Unknown(Exception):
    """Which orders the batch has cannot be found; says why."""


class _AgedOut(Exception):
    """The stream no longer has all records of the batch."""


@dataclass(frozen=True)
class Unannounced:
    """The orders of a failed batch."""

    orders: list[StoredOrder]
    no_orders: list[str]
    """What was inserted and is no order, each as one line: it cannot be announced."""
    source: str
    """Where they were found, for a person."""
    is_guess: bool = False
    """Whether orders of the batch's time stand in for those of the batch, which nobody can tell any more."""


def find(where: Target, batch: StreamBatch, received_within: timedelta = RECEIVED_WITHIN) -> Unannounced:
    """Return the orders that a failed batch inserted, from the stream or, where they have aged out, from the table.

    From the table come all orders that were received from `received_within` before the batch to its end: those that
    were announced are among them, and are told apart by their `deduplication_id` only.
    Raises Unknown where the batch is of another table, or the table has fewer orders of that time than the batch.
    """
    try:
        images = _read_stream(where, batch)
    except _AgedOut:
        return _rebuild(where, batch, received_within)
    return _sort_out(where, images, "stream")


def _read_stream(where: Target, batch: StreamBatch) -> list[Mapping[str, Any]]:
    """Return the new images of the batch's inserted items."""
    streams: Any = where.client("dynamodbstreams")
    last = int(batch.end_sequence_number)
    images: list[Mapping[str, Any]] = []
    for record in _records(streams, _stream(where, batch), batch):
        sequence_number = int(record["dynamodb"]["SequenceNumber"])
        if sequence_number <= last and record["eventName"] == "INSERT":
            images.append(record["dynamodb"].get("NewImage", {}))
        if sequence_number >= last:
            break
    if len(images) < batch.batch_size:
        raise _AgedOut
    return images


def _stream(where: Target, batch: StreamBatch) -> str:
    dynamodb: DynamoDBClient = where.client("dynamodb")
    table = dynamodb.describe_table(TableName=where.output("OrdersTableName"))["Table"]
    newest: str = table["LatestStreamArn"]
    # Anybody who may send to the failure queue can name another table's stream.
    if batch.stream_arn is not None and not batch.stream_arn.startswith(f"{table['TableArn']}/stream/"):
        raise Unknown(f"{batch.stream_arn} is no stream of table {where.output('OrdersTableName')}")
    return batch.stream_arn or newest


def _records(streams: Any, stream: str, batch: StreamBatch) -> Iterator[Mapping[str, Any]]:
    """Yield the shard's records from the batch's first on; raise _AgedOut where the stream has them no more."""
    try:
        iterator: str | None = streams.get_shard_iterator(
            StreamArn=stream,
            ShardId=batch.shard_id,
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=batch.start_sequence_number,
        )["ShardIterator"]
        empty = 0
        while iterator and empty < _MOST_EMPTY_PAGES:
            page = streams.get_records(ShardIterator=iterator)
            yield from page["Records"]
            empty = 0 if page["Records"] else empty + 1
            iterator = page.get("NextShardIterator")
    except ClientError as error:
        if error.response["Error"].get("Code") not in _AGED_OUT:
            raise
        raise _AgedOut from None


def _rebuild(where: Target, batch: StreamBatch, received_within: timedelta) -> Unannounced:
    first, last = batch.approximate_arrival_of_first_record, batch.approximate_arrival_of_last_record
    if first is None or last is None:
        raise Unknown("aged out of the stream, and the record does not say when the orders arrived there")
    try:
        start, end = _text(first - received_within), _text(last + _SLACK)
    except (OverflowError, ValueError):
        raise Unknown("aged out of the stream, and looked for outside of the calendar") from None
    # Which of them the batch had cannot be told, so a person must see where they were looked for.
    source = f"table ({batch.batch_size} in the batch, these received from {start} to {end})"
    found = replace(_sort_out(where, _received_between(where, start, end), source), is_guess=True)
    if len(found.orders) < batch.batch_size:
        have = plural(len(found.orders), "order")
        raise Unknown(
            f"aged out of the stream, and the table has only {have} of {batch.batch_size} received from "
            f"{start} to {end}: --received-within goes further back"
        )
    return found


def _received_between(where: Target, start: str, end: str) -> list[Mapping[str, Any]]:
    dynamodb: DynamoDBClient = where.client("dynamodb")
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=where.output("OrdersTableName"),
        ConsistentRead=True,
        # Both are of one form, RFC 3339 in UTC to the millisecond, whose order as texts is that of time.
        FilterExpression="received_at BETWEEN :start AND :end",
        ExpressionAttributeValues={":start": {"S": start}, ":end": {"S": end}},
    )
    return [item for page in pages for item in page["Items"]]


def _text(moment: datetime) -> str:
    return utc(int(moment.timestamp() * 1000))


def _sort_out(where: Target, images: Sequence[Mapping[str, Any]], source: str) -> Unannounced:
    """Return the orders in images of items, those that were none as the table has them now: somebody may have
    mended an item, which the stream announces to nobody."""
    broken = [image for image in images if isinstance(_read(image), str)]
    ids = {image["orderID"]["S"] for image in broken if "S" in image.get("orderID", {})}
    now = stored_orders(where.client("dynamodb"), where.output("OrdersTableName"), ids) if ids else {}
    read = [_read(_mended(image, now)) for image in images]
    orders = sorted((each for each in read if isinstance(each, StoredOrder)), key=lambda each: each.received_at)
    return Unannounced(orders, [each for each in read if isinstance(each, str)], source)


def _mended(image: Mapping[str, Any], now: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return now.get(image.get("orderID", {}).get("S", ""), image)


def _read(image: Mapping[str, Any]) -> StoredOrder | str:
    try:
        return from_item(image)
    except InvalidOrder as error:
        return f"{image.get('orderID', {}).get('S', 'an item')} is no order ({error})"
