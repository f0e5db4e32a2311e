"""Items as clients write them (JSON values) and as DynamoDB takes them (attribute values), checked on the way in."""

import base64
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Subnormal, Underflow
from typing import Any, Final

from order_service.contract import DEEPEST_NESTING, ETAG, KEY, LARGEST_ITEM_BYTES, LONGEST_ID_BYTES
from order_service.problems import inside, refuse, shown

Attribute = dict[str, Any]
"""One attribute value in DynamoDB's low-level form, such as `{"S": "x"}`."""

_DIGITS: Final = 38
_NUMBERS: Final = Context(
    prec=_DIGITS, Emin=-130, Emax=125, traps=[Inexact, InvalidOperation, Overflow, Subnormal, Underflow]
)
"""What DynamoDB stores exactly: 38 digits, magnitudes from 1E-130 to 9.99…E+125 (DynamoDB, "Constraints")."""


def to_key(value: Any, place: str) -> dict[str, Attribute]:
    """The key that a JSON value stands for; raises Problem unless it is `{"id": <id>}` and nothing else."""
    if not isinstance(value, dict):
        raise refuse(place, 'is not an object such as {"id": "…"}', shown(value))
    for name in value:
        if name != KEY:
            raise refuse(place, f"is not part of the key, which is {KEY!r}", shown(name))
    return {KEY: to_id(value.get(KEY), f"{place}.{KEY}", given=KEY in value)}


def to_id(value: Any, place: str, *, given: bool = True) -> Attribute:
    """The attribute of an id; raises Problem unless it is a string of 1 to 2,048 bytes in UTF-8."""
    if not given:
        raise refuse(place, "is missing")
    if not isinstance(value, str):
        raise refuse(place, "is not a string", shown(value))
    if not 1 <= len(value.encode()) <= LONGEST_ID_BYTES:
        raise refuse(place, f"is not 1 to {LONGEST_ID_BYTES} bytes long", shown(value))
    return {"S": value}


def to_item(value: Any, place: str) -> dict[str, Attribute]:
    """The attributes of an item; raises Problem naming the part that is wrong."""
    if not isinstance(value, dict):
        raise refuse(place, "is not an object", shown(value))
    key = to_id(value.get(KEY), f"{place}.{KEY}", given=KEY in value)
    item = {**to_fields(value, place), KEY: key}
    if sum(len(name.encode()) + _size_of(attribute) for name, attribute in item.items()) > LARGEST_ITEM_BYTES:
        raise refuse(place, f"is larger than {LARGEST_ITEM_BYTES:,} bytes, the most that an item may have")
    return item


def to_fields(fields: Mapping[str, Any], place: str) -> dict[str, Attribute]:
    """The attributes for the members of an object; raises Problem naming the part that is wrong."""
    for name in fields:
        check_name(name, place)
    return {name: to_attribute(value, inside(place, name)) for name, value in fields.items()}


def check_name(name: str, place: str) -> None:
    """Raises Problem for a name that no attribute of a client's can have."""
    if name == ETAG:
        raise refuse(place, "is the service's own", shown(name))
    if not name:
        raise refuse(place, "has an attribute with an empty name")


def to_attribute(value: Any, place: str, depth: int = 0) -> Attribute:
    """The attribute value for a JSON value; raises Problem for a number or nesting that DynamoDB cannot hold."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, Decimal):
        return {"N": _number_text(value, place)}
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if depth == DEEPEST_NESTING:
        raise refuse(place, f"is nested more than {DEEPEST_NESTING} levels deep")
    if isinstance(value, list):
        return {"L": [to_attribute(inner, f"{place}[{index}]", depth + 1) for index, inner in enumerate(value)]}
    if "" in value:
        raise refuse(place, "has an attribute with an empty name")
    return {"M": {name: to_attribute(member, inside(place, name), depth + 1) for name, member in value.items()}}


def from_item(item: Mapping[str, Attribute]) -> dict[str, Any]:
    """The JSON object of a stored item, without what is the service's own.

    Sets, which JSON has not, become arrays; bytes become Base64.
    """
    return {name: _from_attribute(attribute) for name, attribute in item.items() if name != ETAG}


def etag_of(item: Mapping[str, Attribute]) -> str:
    """The version of a stored item; empty for one that somebody put into the table without the service."""
    return str(item.get(ETAG, {}).get("S", ""))


def _from_attribute(attribute: Attribute) -> Any:
    kind, value = next(iter(attribute.items()))
    read = _READ.get(kind)
    return read(value) if read else value


def _from_number(text: str) -> Decimal:
    return _plain(Decimal(text))


def _from_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "N": _from_number,
    "NULL": lambda _: None,
    "L": lambda values: [_from_attribute(value) for value in values],
    "M": lambda fields: {name: _from_attribute(value) for name, value in fields.items()},
    "B": _from_bytes,
    "NS": lambda texts: [_from_number(text) for text in texts],
    "BS": lambda values: [_from_bytes(value) for value in values],
}


def _number_text(number: Decimal, place: str) -> str:
    try:
        return str(_plain(_NUMBERS.plus(number)))
    except (InvalidOperation, Overflow, Subnormal, Underflow) as error:
        raise refuse(place, "is beyond the numbers that can be stored, 1E-130 to 9.99E+125", shown(number)) from error
    except Inexact as error:  # what the others are too, in the decimal module
        raise refuse(place, f"has more than {_DIGITS} significant digits", shown(number)) from error


def _plain(number: Decimal) -> Decimal:
    """The same number without needless zeros; one that is whole and has no more than 38 digits without exponent."""
    short = _NUMBERS.normalize(number)
    is_whole = short.as_tuple().exponent > 0  # type: ignore[operator] # it is finite
    return short.quantize(Decimal(1), context=_NUMBERS) if is_whole and short.adjusted() < _DIGITS else short


def _size_of(attribute: Attribute) -> int:
    """Bytes that a value takes (DynamoDB, "DynamoDB item sizes and formats")."""
    kind, value = next(iter(attribute.items()))
    if kind == "S":
        return len(value.encode())
    if kind == "N":
        # Zeros at the end take no place: 1E+37 is as small as 1, though it is written with 38 digits.
        return len(_NUMBERS.normalize(Decimal(value)).as_tuple().digits) // 2 + 1
    if kind == "L":
        return 3 + sum(1 + _size_of(inner) for inner in value)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _size_of(inner) for name, inner in value.items())
    return 1
