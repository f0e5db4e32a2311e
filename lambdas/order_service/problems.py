"""What a client is told when its request cannot be done."""

from collections.abc import Mapping

from order_service.contract import ERRORS

_SHOWN_CHARACTERS = 60


class Problem(Exception):
    """A request is refused: a stable code of `contract.ERRORS` and a message that names thing, value and rule."""

    def __init__(self, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = ERRORS[code].value
        self.headers = headers or {}


def refuse(place: str, rule: str, value: str | None = None) -> Problem:
    """A problem with the value at a place of the request, such as `payload.Item.id`; long values are cut."""
    shown = "" if value is None else f"{_shortened(value)} "
    return Problem("invalid_request", f"{place}: {shown}{rule}")


def inside(place: str, name: str) -> str:
    """The place of a member of an object; a name that a client chose may be of any length, and is cut."""
    return f"{place}.{_shortened(name)}"


def shown(value: object) -> str:
    """A short text for a value that came from JSON: strings in quotes, containers by their kind only."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return f'"{_shortened(value)}"'
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else _shortened(str(value))


def _shortened(text: str) -> str:
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    if cut.isprintable():
        return cut
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)
