"""Takes batches of orders off the queue, stores each exactly once and reports exactly the messages that failed.

A message is done only when the table is known to hold its order with the same content. Everything else is reported
as failed: the queue delivers it again and, after three receives, moves it to the dead-letter queue.
"""

import os
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from order_processor.store import Kept, store_orders
from shared.aws import make_client, send_as_given
from shared.log import logger
from shared.metrics import measures
from shared.order_items import StoredOrder
from shared.order_rules import InvalidOrder, check_id
from shared.orders import ORIGINAL_ID, decode_order, reason
from shared.times import Context

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CONFLICT: Final = "conflict: the id is taken by an order with other content"
_NOT_STORED: Final = "order not stored"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UTC_OFFSET: Final = "+00:00"

_dynamodb: "DynamoDBClient" = make_client("dynamodb")
send_as_given(_dynamodb, "BatchExecuteStatement")


class _Delivery(NamedTuple):
    """A message with a valid order."""

    record: Mapping[str, Any]
    ids: dict[str, str]
    stored: StoredOrder


def handler(event: Mapping[str, Any], context: Context) -> dict[str, list[dict[str, str]]]:
    """Stores a batch of SQS messages; returns the failed ones (Lambda Developer Guide, "partial batch response").

    Raises:
        KeyError: the event is no batch of SQS messages; Lambda then takes all of it as failed.
    """
    records = event["Records"]
    deliveries = [delivery for record in records if (delivery := _read_delivery(record))]
    kept = store_orders(
        _first_of_each_id(deliveries),
        _dynamodb,
        os.environ["DYNAMODB_ORDERS_TABLE"],
        context.get_remaining_time_in_millis,
    )
    results = [(delivery, _outcome(delivery.stored, kept)) for delivery in deliveries]
    done = [(delivery, outcome) for delivery, outcome in results if _is_done(delivery, outcome)]
    done_ids = {delivery.record["messageId"] for delivery, _ in done}
    failed = [record["messageId"] for record in records if record["messageId"] not in done_ids]
    figures = {"received": len(records), "invalid": len(records) - len(deliveries), "failed": len(failed)}
    lines = [_line(delivery, outcome) for delivery, outcome in done]
    logger.info("batch done", extra={**figures, "orders": lines, **_measures(records, results, kept)})
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


def _read_delivery(record: Mapping[str, Any]) -> _Delivery | None:
    """The order of one message; None, and a line in the log, where there is none."""
    ids = {"message_id": record["messageId"]}
    try:
        ids = _ids(record)
        order = decode_order(record["body"], _fallback_id(record))
        return _Delivery(record, ids, StoredOrder(order, _received_at(record), ids["message_id"]))
    except InvalidOrder as error:
        details = {**_refused(record, ids), "field": error.field, "rule": error.rule}
        logger.warning("invalid order", extra={**details, **_invalid(record, reason(error))})
    except Exception as error:  # noqa: BLE001 (one message must not fail the others)
        # Only its kind, because an error's text may quote what a customer wrote.
        details = {**ids, "error": type(error).__name__}
        logger.error("message not understood", extra={**details, **_invalid(record, "body")})
    return None


def _ids(record: Mapping[str, Any]) -> dict[str, str]:
    """What the order's way is found by: the id that SQS gave it first, and the request's, if it came by the API.

    An attribute is what a sender wrote; it gets into logs and the table only if it looks like an id.
    """
    ids = {"message_id": _id_in(record, ORIGINAL_ID) or record["messageId"]}
    request_id = _id_in(record, "request_id")
    return {**ids, "request_id": request_id} if request_id else ids


def _id_in(record: Mapping[str, Any], attribute: str) -> str | None:
    found = (record.get("messageAttributes") or {}).get(attribute)
    if found is None:
        return None
    try:
        return check_id(found.get("stringValue", ""))
    except InvalidOrder:
        return None


def _fallback_id(record: Mapping[str, Any]) -> str:
    """The id of an order that has none of its own; a redrive keeps the first message's id in an attribute."""
    attribute = (record.get("messageAttributes") or {}).get(ORIGINAL_ID)
    return str(record["messageId"] if attribute is None else attribute.get("stringValue", ""))


def _received_at(record: Mapping[str, Any]) -> str:
    """When SQS first took the message; now for a message that does not say so, such as one made up by hand."""
    sent = (record.get("attributes") or {}).get("SentTimestamp")
    milliseconds = time.time_ns() // 1_000_000 if sent is None else int(sent)
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{moment.isoformat(timespec='milliseconds').removesuffix(_UTC_OFFSET)}Z"


def _receive_count(record: Mapping[str, Any]) -> int:
    return int((record.get("attributes") or {}).get("ApproximateReceiveCount", 1))


def _is_first_receive(record: Mapping[str, Any]) -> bool:
    """Whether nobody has received the message before; so each counts once, and not again when it is redriven."""
    return _receive_count(record) == 1 and ORIGINAL_ID not in (record.get("messageAttributes") or {})


def _invalid(record: Mapping[str, Any], why: str) -> dict[str, Any]:
    return measures({"reason": why}, OrdersInvalid=_is_first_receive(record))


def _refused(record: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    return {**ids, "receive_count": _receive_count(record)}


def _first_of_each_id(deliveries: Iterable[_Delivery]) -> dict[str, StoredOrder]:
    """One order an id, because DynamoDB refuses a batch that names an item twice; the others are compared with it."""
    first: dict[str, StoredOrder] = {}
    for delivery in deliveries:
        first.setdefault(delivery.stored.order.order_id, delivery.stored)
    return first


def _outcome(stored: StoredOrder, kept: Kept) -> str:
    """`stored` is an order that the table has from this message, `duplicate` one that it has from another."""
    if stored.order.order_id not in kept.known:
        return _NOT_STORED
    there = kept.known[stored.order.order_id]
    if there is None or there.order != stored.order:
        return _CONFLICT
    return "stored" if there.message_id == stored.message_id else "duplicate"


def _is_done(delivery: _Delivery, outcome: str) -> bool:
    """Whether the table has the order; a line in the log where it has not."""
    if outcome not in {_CONFLICT, _NOT_STORED}:
        return True
    details = {**delivery.ids, "order_id": delivery.stored.order.order_id}
    logger.warning(outcome, extra=_refused(delivery.record, details))
    return False


def _line(delivery: _Delivery, outcome: str) -> dict[str, str]:
    stored = delivery.stored
    place = {"order_id": stored.order.order_id, "received_at": stored.received_at}
    return {**delivery.ids, **place, "outcome": outcome}


def _measures(
    records: Iterable[Mapping[str, Any]], results: Iterable[tuple[_Delivery, str]], kept: Kept
) -> dict[str, Any]:
    conflicts = [delivery.record for delivery, outcome in results if outcome == _CONFLICT]
    return measures(
        OrdersAccepted=sum(map(_is_first_receive, records)),
        OrdersStored=len(kept.written),
        OrdersConflicted=sum(map(_is_first_receive, conflicts)),
        ItemsSold=sum(stored.order.quantity for name in kept.written if (stored := kept.known[name])),
    )
