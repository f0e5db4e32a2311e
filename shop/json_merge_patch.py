"""JSON Merge Patch (RFC 7396) on the text of a message: what the patch does not name keeps its digits.

Numbers are never numbers here: each stays the token that was written, so that no price goes through a binary float.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

_NOT_XML: Final = re.compile("[\ufffe\uffff]")
"""Characters that SQS refuses (those that XML 1.0 cannot hold) and that a JSON encoder leaves as they are."""

_ABSENT: Final = object()

Patch = Mapping[str, Any]


class NotEditable(ValueError):
    """The text cannot be patched; says why."""


def read_patch(text: str) -> Patch:
    """Return the merge patch in a JSON text; raises NotEditable unless that is one JSON object."""
    patch = _decode(text)
    if not isinstance(patch, dict):
        raise NotEditable("is not a JSON object")
    return patch


def edit(text: str, patch: Patch) -> str:
    """Return the JSON object in `text` with a merge patch applied, as compact JSON.

    Raises NotEditable where `text` is no JSON object, repeats a key, or holds what is no character.
    """
    document = _decode(text)
    if not isinstance(document, dict):
        raise NotEditable("is not a JSON object")
    try:
        edited = msgspec.json.encode(_merge(document, patch)).decode()
    except UnicodeEncodeError:
        raise NotEditable("holds half of a surrogate pair, which is no character") from None
    return _NOT_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", edited)


def difference(before: str, after: str) -> Patch:
    """Return the merge patch that makes one JSON object of another, numbers as the tokens that `after` has.

    `3.5` and `3.50` are different tokens. Empty where nothing differs but white space and the members' sequence, which
    a merge patch does not say. Raises NotEditable where one of the texts is no JSON object or repeats a key, and where
    a member would have to become null: a merge patch removes what it says is null (RFC 7396, section 1).
    """
    try:
        return _difference(_object(before, "before the change it "), _object(after), ())
    except RecursionError:
        raise NotEditable("is nested too deeply") from None


def _object(text: str, when: str = "") -> dict[str, Any]:
    try:
        document = _decode(text)
    except NotEditable as error:
        raise NotEditable(f"{when}{error}") from None
    if not isinstance(document, dict):
        raise NotEditable(f"{when}is not a JSON object")
    return document


def _difference(before: Mapping[str, Any], after: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    patch: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        was = before.get(name, _ABSENT)
        if was == value:
            continue
        here = (*path, name)
        if value is None:
            raise NotEditable(f"cannot make {json.dumps('.'.join(here))} null: a merge patch removes what is null")
        if isinstance(value, dict):
            patch[name] = _difference(was if isinstance(was, dict) else {}, value, here)
        else:
            patch[name] = value
    return patch


def _merge(document: Any, patch: Any) -> Any:
    """RFC 7396, section 2: null removes a member, objects are merged, anything else replaces what was there."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _decode(text: str) -> Any:
    try:
        return json.loads(
            text, parse_int=_token, parse_float=_token, parse_constant=_no_number, object_pairs_hook=_members
        )
    except json.JSONDecodeError as error:
        raise NotEditable(f"is not JSON: {error.msg}") from None
    except RecursionError:
        raise NotEditable("is nested too deeply") from None


def _token(text: str) -> msgspec.Raw:
    return msgspec.Raw(text)


def _no_number(text: str) -> Any:
    raise NotEditable(f"is not JSON: {text} is no number")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise NotEditable(f"has the key {json.dumps(twice)} more than once: nobody knows which is meant")
    return members
