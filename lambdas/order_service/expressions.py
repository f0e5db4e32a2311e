"""Expressions that clients send, made safe to put beside the service's own.

An expression has no texts in it, only names, placeholders and parentheses. So one whose parentheses are closed, and
never closed before they are opened, stays within the parentheses that are put around it, whatever else it says.
"""

import re
from collections.abc import Mapping
from typing import Any

from order_service.contract import ETAG, NAMES, VALUES
from order_service.items import check_name, to_attribute, to_fields
from order_service.problems import inside, refuse, shown
from order_service.store import OWN_PLACEHOLDERS, SET_ETAG, Expression

_SET = re.compile(r"(?<![\w#:.])SET(?!\w)", re.ASCII | re.IGNORECASE)
_BARE_ETAG = re.compile(rf"(?<![\w#:]){ETAG}(?!\w)", re.ASCII)


def read(payload: Mapping[str, Any], parameter: str) -> str:
    """The text of an expression in the payload, empty where there is none; raises Problem for what is none."""
    if parameter not in payload:
        return ""
    text, place = payload[parameter], f"payload.{parameter}"
    if not isinstance(text, str):
        raise refuse(place, "is not a string", shown(text))
    if not text.strip():
        raise refuse(place, "is blank")
    if not _is_closed(text):
        raise refuse(place, "has parentheses that do not match", shown(text))
    if _BARE_ETAG.search(text):
        raise refuse(place, "is the service's own", shown(ETAG))
    return text


def placeholders(payload: Mapping[str, Any]) -> Expression:
    """The names and values beside the payload's expressions."""
    names, values = _object(payload, NAMES), _object(payload, VALUES)
    for placeholder, name in names.items():
        place = inside(f"payload.{NAMES}", placeholder)
        if not isinstance(name, str):
            raise refuse(place, "is not a string", shown(name))
        check_name(name, place)
    for placeholder in (*names, *values):
        if placeholder.startswith(OWN_PLACEHOLDERS):
            raise refuse("payload", "is the service's own", shown(placeholder))
    return Expression(
        "", names, {name: to_attribute(value, inside(f"payload.{VALUES}", name)) for name, value in values.items()}
    )


def change(update_expression: str, used: Expression) -> Expression:
    """An update by the client's expression that also gives the item its new version."""
    if _SET.search(update_expression):
        text = _SET.sub(f"SET {SET_ETAG},", update_expression, count=1)
    else:
        text = f"{update_expression} SET {SET_ETAG}"
    return Expression(text, used.names, used.values)


def merge(fields: Mapping[str, Any], place: str) -> Expression:
    """An update that sets the fields and removes those that are null (RFC 7396, for an object's own members)."""
    names = {f"#f{index}": name for index, name in enumerate(fields)}
    attributes = to_fields(fields, place)
    values = {f":v{index}": attributes[name] for index, name in enumerate(fields) if fields[name] is not None}
    sets = [SET_ETAG, *(f"#f{value[2:]} = {value}" for value in values)]
    removes = [placeholder for placeholder, name in names.items() if fields[name] is None]
    text = f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else "")
    return Expression(text, names, values)


def _object(payload: Mapping[str, Any], parameter: str) -> dict[str, Any]:
    value = payload.get(parameter, {})
    if not isinstance(value, dict):
        raise refuse(f"payload.{parameter}", "is not an object", shown(value))
    return value


def _is_closed(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0
