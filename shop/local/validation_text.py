"""Says in words why a JSON document does not satisfy a JSON schema (draft 4).

API Gateway puts such a text into `$context.error.validationErrorString`; the emulator only knows that the document
fails. The wording follows API Gateway's, with the place in the document in front, which AWS leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Check = Callable[[Mapping[str, Any], Any], bool]

_MAXIMUM_REASONS = 10
_MAXIMUM_VALUE_LENGTH = 150
_SUBSCHEMAS = frozenset({"properties", "items", "patternProperties", "dependencies"})
_DOCUMENTATION = frozenset({"$schema", "$id", "id", "title", "description", "default", "definitions", "required"})
# Their meaning depends on the keyword beside them.
_COMPANIONS: dict[str, tuple[str, ...]] = {
    "minimum": ("exclusiveMinimum",),
    "maximum": ("exclusiveMaximum",),
    "additionalProperties": ("properties", "patternProperties"),
}


def explain(schema: Mapping[str, Any], document: object, is_valid: Check) -> str:
    """The reasons in one line, such as `[/quantity: numeric instance is lower than …]`.

    `is_valid(schema, value)` is the validator whose judgement is put in words.
    """
    reasons: list[str] = []
    for reason in _reasons(schema, document, "", is_valid):
        if len(reasons) == _MAXIMUM_REASONS:
            reasons.append("…")
            break
        reasons.append(reason)
    return f"[{', '.join(reasons) or 'the document does not satisfy the schema'}]"


def _reasons(schema: Mapping[str, Any], value: object, place: str, is_valid: Check) -> Iterator[str]:
    where = f"{place}: " if place else ""
    if isinstance(value, dict):
        missing = [name for name in schema.get("required", []) if name not in value]
        if missing:
            yield f"{where}object has missing required properties ({_json(missing)})"
    for keyword in schema:
        if keyword in _SUBSCHEMAS or keyword in _DOCUMENTATION:
            continue
        part = {name: schema[name] for name in (keyword, *_COMPANIONS.get(keyword, ())) if name in schema}
        if keyword == "additionalProperties" and not isinstance(schema[keyword], dict):
            # Only the names count here; what stands in the known fields is told below.
            part["properties"] = {name: {} for name in schema.get("properties", {})}
        if not is_valid(part, value):
            yield where + _words(keyword, schema, value)
    for name, sub, item in _children(schema, value):
        if not is_valid(sub, item):
            yield from _reasons(sub, item, f"{place}/{name}", is_valid)


def _children(schema: Mapping[str, Any], value: object) -> Iterator[tuple[str, Mapping[str, Any], object]]:
    if isinstance(value, dict):
        for name, sub in schema.get("properties", {}).items():
            if name in value:
                yield name, sub, value[name]
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield str(index), schema["items"], item


def _words(keyword: str, schema: Mapping[str, Any], value: Any) -> str:
    say = _WORDS.get(keyword)
    if say is None:
        return f"instance failed to match {keyword} ({_json(schema[keyword])})"
    return say(schema[keyword], value, schema)


_WORDS: dict[str, Callable[[Any, Any, Mapping[str, Any]], str]] = {
    "type": lambda rule, value, _: (
        f"instance type ({_type_of(value)}) does not match any allowed primitive type "
        f"(allowed: {_json(rule if isinstance(rule, list) else [rule])})"
    ),
    "additionalProperties": lambda _, value, schema: (
        "object instance has properties which are not allowed by the schema: "
        + _json(sorted(name for name in value if name not in schema.get("properties", {})))
    ),
    "minLength": lambda rule, value, _: f"string is too short (length: {len(value)}, required minimum: {rule})",
    "maxLength": lambda rule, value, _: f"string is too long (length: {len(value)}, maximum allowed: {rule})",
    "minimum": lambda rule, value, _: (
        f"numeric instance is lower than the required minimum (minimum: {rule}, found: {_json(value)})"
    ),
    "maximum": lambda rule, value, _: (
        f"numeric instance is greater than the required maximum (maximum: {rule}, found: {_json(value)})"
    ),
    "multipleOf": lambda rule, value, _: f"remainder of division is not zero ({_json(value)} / {rule})",
    "pattern": lambda rule, value, _: f"ECMA 262 regex {_json(rule)} does not match input string {_json(value)}",
    "enum": lambda rule, value, _: (
        f"instance value ({_json(value)}) not found in enum (possible values: {_json(rule)})"
    ),
}


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    names: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= _MAXIMUM_VALUE_LENGTH else text[:_MAXIMUM_VALUE_LENGTH] + "…"
