"""An order as a person types it, field by field: the body that is made of it, and which rules its fields break.

The processor's own rules say what is wrong, field by field where they could only say the first. Nothing that was typed
is changed: a number is written as the very token that was typed, and what is no number becomes a string, so that a
wrong order can be sent to see what becomes of it.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from shop.order_rules import (
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
    check_date_time,
    check_id,
    check_length,
    decode_order,
    parse_price,
    parse_quantity,
    quoted,
)

BODY: Final = "body"
"""The name of what is wrong with no single field."""
_ANY_ID: Final = "0"
"""For an order without an id: SQS gives it one, which keeps the rule."""
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
"""A JSON number (RFC 8259, section 6)."""
_NUMBERS: Final = {QUANTITY, PRICE}


def _number(parse: Callable[[str], object], text: str) -> None:
    parse(text if _NUMBER.fullmatch(text) else quoted(text))


_RULES: Final[Mapping[str, Callable[[str], object]]] = {
    ORDER_ID: check_id,
    PRODUCT: lambda text: check_length(text, PRODUCT, LONGEST_PRODUCT),
    QUANTITY: lambda text: _number(parse_quantity, text),
    PRICE: lambda text: _number(parse_price, text),
    CUSTOMER_ID: lambda text: check_length(text, CUSTOMER_ID, LONGEST_CUSTOMER_ID),
    ORDER_DATE: check_date_time,
}


def body(typed: Mapping[str, str]) -> str:
    """Return the JSON object of the fields that were typed, in the contract's sequence; an empty field is left out."""
    members = (f"{json.dumps(name)}: {_token(name, typed[name])}" for name in FIELDS if typed.get(name))
    return f"{{{', '.join(members)}}}"


def _token(name: str, text: str) -> str:
    if name in _NUMBERS and _NUMBER.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False)


def broken_rules(typed: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong, by field, in the processor's words; empty exactly where it takes the order's body.

    What is wrong with no single field stands under `body`.
    """
    found = {name: text for name in FIELDS if (text := _broken_rule(name, typed.get(name, "")))}
    if found:
        return found
    # The rules are the same; that all of them were asked is for the processor's decoder to say.
    try:
        decode_order(body(typed), _ANY_ID)
    except InvalidOrder as error:
        return {error.field if error.field in FIELDS else BODY: _words(error)}
    return {}


def _broken_rule(name: str, text: str) -> str | None:
    if not text:
        return "is missing" if name in REQUIRED_FIELDS else None
    try:
        _RULES[name](text)
    except InvalidOrder as error:
        return _words(error)
    return None


def _words(error: InvalidOrder) -> str:
    """Without the field's name, beside which they stand."""
    return str(error).removeprefix(f"{error.field}: ")
