"""Makes an order's announcement: an entry of the SNS call `PublishBatch`."""

import json
import re
from typing import TYPE_CHECKING, Final

from shared.order_items import MESSAGE_ID, RECEIVED_AT, StoredOrder
from shared.order_rules import CUSTOMER_ID, ORDER_DATE, ORDER_ID, PRICE, PRODUCT, QUANTITY

if TYPE_CHECKING:
    from mypy_boto3_sns.type_defs import PublishBatchRequestEntryTypeDef

_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that SNS refuses: those that XML 1.0 cannot hold (section 2.2), and not "none that it can": a range beyond
the Basic Multilingual Plane takes ten times as long to compile."""
_quote_readably: Final = json.JSONEncoder(ensure_ascii=False).encode


def announce(stored: StoredOrder, entry_id: str) -> "PublishBatchRequestEntryTypeDef":
    """The announcement of a new order: the subject and attributes that subscribers filter on, and the item as JSON."""
    order = stored.order
    return {
        "Id": entry_id,
        "Subject": f"New order {order.order_id}",
        "Message": to_json(stored),
        "MessageAttributes": {
            "event": {"DataType": "String", "StringValue": "order.created"},
            "deduplication_id": {"DataType": "String", "StringValue": order.order_id},
            "product": {
                "DataType": "String",
                "StringValue": _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", order.product),
            },
        },
    }


def to_json(stored: StoredOrder) -> str:
    """The stored item as one indented JSON object with exact numbers.

    Written member by member because the json module knows no decimals. The strings stay readable in an e-mail; only
    what SNS refuses is escaped, so that every text survives.
    """
    order = stored.order
    members = {
        ORDER_ID: _quote(order.order_id),
        CUSTOMER_ID: None if order.customer_id is None else _quote(order.customer_id),
        PRODUCT: _quote(order.product),
        QUANTITY: str(order.quantity),
        PRICE: str(order.price_per_item),
        ORDER_DATE: None if order.order_date is None else _quote(order.order_date),
        RECEIVED_AT: _quote(stored.received_at),
        MESSAGE_ID: None if stored.message_id is None else _quote(stored.message_id),
    }
    lines = (f'  "{name}": {value}' for name, value in members.items() if value is not None)
    return "{\n" + ",\n".join(lines) + "\n}"


def _quote(text: str) -> str:
    return _NOT_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", _quote_readably(text))


def size(entry: "PublishBatchRequestEntryTypeDef") -> int:
    """Bytes of the entry that count towards the limit of a call."""
    texts = [entry["Message"], entry.get("Subject", "")]
    for name, attribute in entry.get("MessageAttributes", {}).items():
        texts += [name, attribute["DataType"], str(attribute.get("StringValue", ""))]
    return sum(len(text.encode()) for text in texts)
