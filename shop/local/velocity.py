"""`#if`, `#elseif`, `#else` and `#end` of Velocity, the language of API Gateway's mapping templates.

The emulator renders references and `#set`, but leaves conditions as text. Reading a template as parts with conditions
between them is all that is here; what a part renders to and what an expression is worth are asked of the emulator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DIRECTIVE = re.compile(r"#\{?(?P<name>if|elseif|else|end)\b\}?")
_COMPARISON = re.compile(r"(?P<left>.+?)\s*(?P<operator>==|!=)\s*(?P<right>.+)", re.DOTALL)


@dataclass
class _Branch:
    """An `#if` that is open: whether its current branch counts, and whether one of its branches already did."""

    active: bool
    taken: bool


def render(template: str, text_of: Callable[[str], str], value_of: Callable[[str], Any]) -> str:
    """The template with its conditions decided.

    `text_of` renders a part that has no conditions, `value_of` evaluates an expression such as `$code` or `'x'`; both
    are called in the template's order and only for what counts, so that a `#set` is seen by what follows it.
    """
    rendered: list[str] = []
    branches: list[_Branch] = []
    for text, directive, condition in _parts(template):
        if all(branch.active for branch in branches):
            rendered.append(text_of(text))
        if directive == "end":
            branches.pop()
        elif directive == "if":
            counts = all(branch.active for branch in branches) and _holds(condition, value_of)
            branches.append(_Branch(counts, counts))
        elif directive:
            branch = branches[-1]
            reached = not branch.taken and all(outer.active for outer in branches[:-1])
            branch.active = reached and (directive == "else" or _holds(condition, value_of))
            branch.taken = branch.taken or branch.active
    return "".join(rendered)


def _parts(template: str) -> Iterator[tuple[str, str, str]]:
    """Each stretch of text with the directive after it (empty at the end) and that directive's condition."""
    position = 0
    while match := _DIRECTIVE.search(template, position):
        text, position, condition = template[position : match.start()], match.end(), ""
        if match["name"] in {"if", "elseif"}:
            start = template.index("(", position)
            position = _end_of_parentheses(template, start)
            condition = template[start + 1 : position - 1].strip()
        yield text, match["name"], condition
    yield template[position:], "", ""


def _end_of_parentheses(text: str, start: int) -> int:
    """Behind the parenthesis that closes the one at `start`; quoted ones do not count."""
    depth, quote = 0, ""
    for index in range(start, len(text)):
        character = text[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0:
                return index + 1
    raise ValueError(f"a condition is not closed: {text[start : start + 40]}")


def _holds(condition: str, value_of: Callable[[str], Any]) -> bool:
    comparison = _COMPARISON.fullmatch(condition)
    if not comparison:
        # Velocity: everything but false and null is true.
        return value_of(condition) not in (None, False)
    equal = bool(value_of(comparison["left"]) == value_of(comparison["right"]))
    return equal if comparison["operator"] == "==" else not equal
