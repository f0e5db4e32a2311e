"""JSON texts with exact numbers: every number is a `Decimal`, in and out, and never a binary float."""

import json
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

import msgspec

from order_service.problems import Problem, shown

_DEEPEST: Final = 100
"""Of any body; deeper ones are an attack on whoever reads them. Items have a lower bound of their own."""

_MOST_MARKS: Final = 500_000
"""Of any body: commas, colons and opening brackets. Each value of a JSON text but the first follows one.

An item that can be stored has fewer, in its strings and around its values: each costs it one of its 409,600 bytes.
Millions of small values would take more time and memory to read than the function has, and be refused after it.
"""

encode = msgspec.json.Encoder(decimal_format="number").encode
"""Gives the JSON text of a value, as bytes."""


def decode(text: str) -> Any:
    """The value that a JSON text holds (RFC 8259), objects without repeated names.

    Raises:
        Problem: `invalid_json`, whatever is wrong with the text.
    """
    if sum(map(text.count, ",:[{")) > _MOST_MARKS:
        raise _invalid(
            f"the body has more than {_MOST_MARKS:,} commas, colons and brackets; no item that fits needs so many"
        )
    try:
        value = json.loads(
            text,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise _invalid(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise _too_deep() from error
    _check(value)
    return value


def _number(token: str) -> Decimal:
    try:
        return Decimal(token)
    except InvalidOperation as error:
        raise _invalid(f"the number {shown(token)} has an exponent that nobody can store") from error


def _refuse_constant(token: str) -> NoReturn:
    raise _invalid(f"the body is not JSON: {token} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated = next(name for name in counts if counts[name] > 1)
        raise _invalid(f"the name {shown(repeated)} is given more than once in one object")
    return found


def _check(document: Any) -> None:
    """Refuses what JSON can write but UTF-8 cannot (half of a surrogate pair), and bottomless nesting."""
    rest = [(document, 0)]
    while rest:
        value, depth = rest.pop()
        if depth > _DEEPEST:
            raise _too_deep()
        if isinstance(value, dict):
            rest += ((inner, depth + 1) for inner in (*value.keys(), *value.values()))
        elif isinstance(value, list):
            rest += ((inner, depth + 1) for inner in value)
        elif isinstance(value, str) and not value.isascii():
            _check_unicode(value)


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _invalid(f"the string {shown(text)} holds half of a surrogate pair, which is no character") from error


def _invalid(message: str) -> Problem:
    return Problem("invalid_json", message)


def _too_deep() -> Problem:
    return _invalid(f"the body is nested more than {_DEEPEST} levels deep")
