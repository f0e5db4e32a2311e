"""Takes batches of orders off the queue, stores each exactly once and reports exactly the messages that failed.

A message is done only when the table is known to hold its order with the same content. Everything else is reported
as failed: the queue delivers it again and, after three receives, moves it to the dead-letter queue.
"""

import os
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3

from order_processor.store import store_orders
from shared.aws import CLIENT_CONFIG, Context
from shared.log import logger
from shared.order_items import StoredOrder
from shared.order_rules import InvalidOrder, Order
from shared.orders import decode_order

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_dynamodb: "DynamoDBClient" = boto3.client("dynamodb", config=CLIENT_CONFIG)


class _Delivery(NamedTuple):
    """A message with a valid order."""

    message_id: str
    stored: StoredOrder


def handler(event: Mapping[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Stores a batch of SQS messages; returns the failed ones (Lambda Developer Guide, "partial batch response").

    Raises:
        KeyError: the event is no batch of SQS messages; Lambda then takes all of it as failed.
    """
    records = event["Records"]
    deliveries = [delivery for record in records if (delivery := _read_delivery(record))]
    known = store_orders(
        _first_of_each_id(deliveries),
        _dynamodb,
        os.environ["DYNAMODB_ORDERS_TABLE"],
        context.get_remaining_time_in_millis,
    )
    done = {delivery.message_id for delivery in deliveries if _is_stored(delivery, known)}
    failed = [record["messageId"] for record in records if record["messageId"] not in done]
    logger.info(
        "batch done",
        extra={"received": len(records), "invalid": len(records) - len(deliveries), "failed": len(failed)},
    )
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _read_delivery(record: Mapping[str, Any]) -> _Delivery | None:
    """The order of one message; None, and a line in the log, where there is none."""
    message_id = record["messageId"]
    try:
        order = decode_order(record["body"], _fallback_id(record))
        return _Delivery(message_id, StoredOrder(order, _received_at(record)))
    except InvalidOrder as error:
        details = {"message_id": message_id, "field": error.field, "rule": error.rule}
        logger.warning("invalid order", extra=details)
    except Exception as error:  # noqa: BLE001 (one message must not fail the others)
        # Only its kind, because an error's text may quote what a customer wrote.
        logger.error("message not understood", extra={"message_id": message_id, "error": type(error).__name__})
    return None


def _fallback_id(record: Mapping[str, Any]) -> str:
    """The id of an order that has none of its own; a redrive keeps the first message's id in an attribute."""
    attribute = (record.get("messageAttributes") or {}).get("original_message_id")
    return str(record["messageId"] if attribute is None else attribute.get("stringValue", ""))


def _received_at(record: Mapping[str, Any]) -> str:
    """When SQS first took the message; now for a message that does not say so, such as one made up by hand."""
    sent = (record.get("attributes") or {}).get("SentTimestamp")
    milliseconds = time.time_ns() // 1_000_000 if sent is None else int(sent)
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def _first_of_each_id(deliveries: Iterable[_Delivery]) -> dict[str, StoredOrder]:
    """One order an id, because DynamoDB refuses a batch that names an item twice; the others are compared with it."""
    first: dict[str, StoredOrder] = {}
    for delivery in deliveries:
        first.setdefault(delivery.stored.order.order_id, delivery.stored)
    return first


def _is_stored(delivery: _Delivery, known: Mapping[str, Order | None]) -> bool:
    order = delivery.stored.order
    ids = {"message_id": delivery.message_id, "order_id": order.order_id}
    if order.order_id not in known:
        logger.warning("order not stored", extra=ids)
        return False
    if known[order.order_id] != order:
        logger.warning("conflict: the id is taken by an order with other content", extra=ids)
        return False
    return True
