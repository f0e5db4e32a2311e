"""An order as an item of the orders table, in the low-level form of the DynamoDB API and of stream records."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shared.order_rules import (
    CUSTOMER_ID,
    LONGEST_CUSTOMER_ID,
    LONGEST_PRODUCT,
    ORDER_DATE,
    ORDER_ID,
    PRICE,
    PRODUCT,
    QUANTITY,
    InvalidOrder,
    Order,
    check_date_time,
    check_id,
    check_length,
    parse_price,
    parse_quantity,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

RECEIVED_AT: Final = "received_at"
MESSAGE_ID: Final = "message_id"


class StoredOrder(NamedTuple):
    """An order, when SQS first took it (RFC 3339, UTC, milliseconds), and the message that it came with."""

    order: Order
    received_at: str
    message_id: str | None = None
    """The id that SQS gave it first, by which its way is found in all logs; items of earlier versions have none."""


def to_item(stored: StoredOrder) -> dict[str, "AttributeValueTypeDef"]:
    """The item that holds the order: its numbers exact, its absent fields absent."""
    order = stored.order
    item: dict[str, AttributeValueTypeDef] = {
        ORDER_ID: {"S": order.order_id},
        PRODUCT: {"S": order.product},
        QUANTITY: {"N": str(order.quantity)},
        PRICE: {"N": str(order.price_per_item)},
        RECEIVED_AT: {"S": stored.received_at},
    }
    if order.customer_id is not None:
        item[CUSTOMER_ID] = {"S": order.customer_id}
    if order.order_date is not None:
        item[ORDER_DATE] = {"S": order.order_date}
    if stored.message_id is not None:
        item[MESSAGE_ID] = {"S": stored.message_id}
    return item


def from_item(item: Mapping[str, Any]) -> StoredOrder:
    """The order that an item holds, checked by the same rules as when it was taken.

    Attributes that it does not know are left alone: another version of ours may have written them, and its orders must
    not be lost between an upgrade's functions, nor after a rollback (docs/decisions/0016-one-id-for-an-order.md).

    Raises:
        InvalidOrder: the item is no order, such as one that somebody put into the table by hand.
    """
    order = Order(
        order_id=check_id(_read(item, ORDER_ID, "S")),
        product=check_length(_read(item, PRODUCT, "S"), PRODUCT, LONGEST_PRODUCT),
        quantity=parse_quantity(_read(item, QUANTITY, "N")),
        price_per_item=parse_price(_read(item, PRICE, "N")),
        customer_id=check_length(_read(item, CUSTOMER_ID, "S"), CUSTOMER_ID, LONGEST_CUSTOMER_ID)
        if CUSTOMER_ID in item
        else None,
        order_date=check_date_time(_read(item, ORDER_DATE, "S")) if ORDER_DATE in item else None,
    )
    return StoredOrder(
        order,
        check_date_time(_read(item, RECEIVED_AT, "S"), RECEIVED_AT),
        check_id(_read(item, MESSAGE_ID, "S"), MESSAGE_ID) if MESSAGE_ID in item else None,
    )


def log_ids(stored: StoredOrder) -> dict[str, str]:
    """What log lines name the order by: `message_id`, where it is known, and `order_id`."""
    ids = {"order_id": stored.order.order_id}
    return ids if stored.message_id is None else {"message_id": stored.message_id, **ids}


def _read(item: Mapping[str, Any], name: str, kind: str) -> str:
    if name not in item:
        raise InvalidOrder(name, "is missing")
    value = item[name].get(kind)
    if not isinstance(value, str):
        raise InvalidOrder(name, f"is not of the DynamoDB type {kind}")
    return value
