"""Reads an order from the text of a message: the authority on what is a valid order.

msgspec decodes and checks types in one pass (docs/decisions/0001-order-decoder.md). What it would let through is
checked here and in `shared.order_rules`: numbers as the exact tokens that were sent, ranges, dates, repeated keys.
"""

import json
from typing import Final

import msgspec

from shared.order_rules import (
    CUSTOMER_ID,
    FIELDS,
    LONGEST_CUSTOMER_ID,
    LONGEST_PRODUCT,
    ORDER_DATE,
    ORDER_ID,
    PRICE,
    PRODUCT,
    QUANTITY,
    REQUIRED_FIELDS,
    InvalidOrder,
    Order,
    check_date_time,
    check_id,
    check_length,
    parse_price,
    parse_quantity,
    quoted,
)

__all__ = ["ORIGINAL_ID", "InvalidOrder", "Order", "decode_order", "reason"]

ORIGINAL_ID: Final = "original_message_id"
"""The message attribute by which a redriven message tells the id that SQS gave it first."""
_BODY: Final = "body"
_UNKNOWN_FIELD: Final = "is not a field of an order"


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    """An order's JSON object; numbers stay tokens, so that no binary float ever stands for a price."""

    product: str
    quantity: msgspec.Raw
    price_per_item: msgspec.Raw
    order_id: str | msgspec.UnsetType = msgspec.field(name=ORDER_ID, default=msgspec.UNSET)
    customer_id: str | msgspec.UnsetType = msgspec.UNSET
    order_date: str | msgspec.UnsetType = msgspec.UNSET


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_tokens = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_string = msgspec.json.Decoder(str).decode


def decode_order(body: str | bytes, fallback_id: str) -> Order:
    """The order that a message's body holds.

    `fallback_id` stands in where the order has no `orderID`: the message attribute `original_message_id`, else the
    SQS message id. It obeys the same rule.

    Raises:
        InvalidOrder: whatever the body is, it raises nothing else.
    """
    text = _to_utf8(body)
    try:
        message = _decode_message(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _find_reason(text) from error
    order = _check(message, fallback_id)
    if _has_repeated_key(message, text):
        raise _name_repeated_key(text)
    return order


def reason(error: InvalidOrder) -> str:
    """What to count an invalid order under: the field whose rule is broken, `unknown field`, or `body` for all else.

    A short list, because each of its values is a metric of its own.
    """
    if error.rule == _UNKNOWN_FIELD:
        return "unknown field"
    if error.field == ORIGINAL_ID:
        return ORDER_ID  # it stands in for that
    return error.field if error.field in FIELDS else _BODY


def _to_utf8(body: str | bytes) -> bytes:
    if isinstance(body, bytes):
        return body
    try:
        return body.encode()
    except UnicodeEncodeError as error:
        raise InvalidOrder(_BODY, "holds half of a surrogate pair, which is no character") from error


def _check(message: _Message, fallback_id: str) -> Order:
    order_id, customer_id, order_date = message.order_id, message.customer_id, message.order_date
    return Order(
        order_id=check_id(fallback_id, ORIGINAL_ID) if order_id is msgspec.UNSET else check_id(order_id),
        product=check_length(message.product, PRODUCT, LONGEST_PRODUCT),
        quantity=parse_quantity(_to_text(message.quantity)),
        price_per_item=parse_price(_to_text(message.price_per_item)),
        customer_id=None
        if customer_id is msgspec.UNSET
        else check_length(customer_id, CUSTOMER_ID, LONGEST_CUSTOMER_ID),
        order_date=None if order_date is msgspec.UNSET else check_date_time(order_date),
    )


def _to_text(token: msgspec.Raw) -> str:
    return bytes(token).decode(errors="replace")


def _has_repeated_key(message: _Message, text: bytes) -> bool:
    """Whether a key stands twice in the text, of which msgspec silently takes the last value.

    The object is flat by now, and all its values but two numbers are strings; so the quotes of its keys and strings
    can be counted, which costs a fraction of a second decoder that would notice.
    """
    optional = (message.order_id, message.customer_id, message.order_date)
    keys = len(REQUIRED_FIELDS) + len(optional) - optional.count(msgspec.UNSET)
    strings = keys - len((QUANTITY, PRICE))
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    return text.count(b'"') != 2 * (keys + strings)


def _name_repeated_key(text: bytes) -> InvalidOrder:
    try:
        pairs = json.loads(text.decode(errors="replace"), object_pairs_hook=list, parse_int=str, parse_float=str)
    except RecursionError:
        return InvalidOrder(_BODY, "has a repeated key")
    names = [name for name, _ in pairs]
    return InvalidOrder(next(name for name in names if names.count(name) > 1), "is given more than once")


def _find_reason(text: bytes) -> InvalidOrder:
    """Says in this module's words why msgspec refused the text, with the field's value, which msgspec leaves out."""
    try:
        tokens = _decode_tokens(text)
    except msgspec.ValidationError:
        return InvalidOrder(_BODY, "is not a JSON object", _excerpt(text))
    except msgspec.DecodeError as malformed:
        detail = str(malformed).removeprefix("JSON is malformed: ")
        return InvalidOrder(_BODY, f"is not valid JSON: {detail}", _excerpt(text))
    except UnicodeDecodeError:
        return InvalidOrder(_BODY, "is not UTF-8", _excerpt(text))
    except RecursionError:
        return InvalidOrder(_BODY, "is nested too deeply", _excerpt(text))
    return _find_reason_in_fields(tokens) or InvalidOrder(_BODY, "is not an order", _excerpt(text))


def _find_reason_in_fields(tokens: dict[str, msgspec.Raw]) -> InvalidOrder | None:
    for name in tokens:
        if name not in FIELDS:
            return InvalidOrder(_BODY, _UNKNOWN_FIELD, quoted(name))
    for name in REQUIRED_FIELDS:
        if name not in tokens:
            return InvalidOrder(name, "is missing")
    for name in (ORDER_ID, CUSTOMER_ID, PRODUCT, ORDER_DATE):
        reason = _find_reason_in_string(name, tokens[name]) if name in tokens else None
        if reason:
            return reason
    return None


def _find_reason_in_string(name: str, token: msgspec.Raw) -> InvalidOrder | None:
    try:
        _decode_string(token)
    except msgspec.ValidationError:
        return InvalidOrder(name, "is not a string", _to_text(token))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return InvalidOrder(name, "is not valid Unicode", _to_text(token))
    return None


def _excerpt(text: bytes) -> str:
    return quoted(text[:200].decode(errors="replace"))
