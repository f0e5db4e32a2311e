"""The syntax of DynamoDB's update and projection expressions, as DynamoDB checks it before it looks at any item.

Amazon DynamoDB, "Update expressions" and "Projection expressions". Runs in the emulator's interpreter, without the
project's packages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Path = tuple[str, ...]

_TOKEN = re.compile(r"\s*(?P<token>[#:]?[A-Za-z0-9_]+|[=+\-.,()\[\]]|\S)", re.ASCII)
_NAME = re.compile(r"#[A-Za-z0-9_]+|[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_VALUE = re.compile(r":[A-Za-z0-9_]+", re.ASCII)
_INDEX = re.compile(r"[0-9]{1,9}", re.ASCII)
_END = "<EOF>"
_CLAUSES = ("SET", "REMOVE", "ADD", "DELETE")


class SyntaxProblem(Exception):
    """The expression is none; the text is DynamoDB's, without the parameter's name."""


def check_update(text: str, names: Mapping[str, str]) -> None:
    """Raises SyntaxProblem unless the text is an update expression whose paths do not overlap."""
    reader = _Reader(text, names)
    seen: set[str] = set()
    while not reader.is_at_end() or not seen:
        clause = reader.take().upper()
        if clause not in _CLAUSES:
            raise reader.problem()
        if clause in seen:
            raise SyntaxProblem(f'The "{clause}" section can only be used once in an update expression;')
        seen.add(clause)
        _list_of_actions(reader, clause)
    _check_overlap(reader.changed)


def check_projection(text: str, names: Mapping[str, str]) -> None:
    """Raises SyntaxProblem unless the text is a list of paths."""
    reader = _Reader(text, names)
    reader.path()
    while reader.takes(","):
        reader.path()
    if not reader.is_at_end():
        reader.take()
        raise reader.problem()


class _Reader:
    """An expression's tokens, taken one after the other."""

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        self._tokens = [match["token"] for match in _TOKEN.finditer(text)]
        self._place = 0
        self._names = names
        self.changed: list[Path] = []

    def is_at_end(self) -> bool:
        return self._place >= len(self._tokens)

    def next(self) -> str:
        return _END if self.is_at_end() else self._tokens[self._place]

    def take(self) -> str:
        token = self.next()
        self._place += 1
        return token

    def takes(self, *wanted: str) -> bool:
        """Takes the next token if it is one of these."""
        found = self.next() in wanted
        self._place += found
        return found

    def expect(self, wanted: str) -> None:
        if self.take() != wanted:
            raise self.problem()

    def value(self) -> None:
        if not _VALUE.fullmatch(self.take()):
            raise self.problem()

    def path(self) -> Path:
        parts = [self._name()]
        while self.next() in {".", "["}:
            parts.append(self._name() if self.take() == "." else self._index())
        return tuple(parts)

    def problem(self) -> SyntaxProblem:
        """What is wrong with the token that was taken last."""
        at = self._place - 1
        near = " ".join(self._tokens[max(at - 1, 0) : at + 2])
        token = self._tokens[at] if at < len(self._tokens) else _END
        return SyntaxProblem(f'Syntax error; token: "{token}", near: "{near}"')

    def _name(self) -> str:
        token = self.take()
        if not _NAME.fullmatch(token):
            raise self.problem()
        if token.upper() in _CLAUSES:
            raise SyntaxProblem(f"Attribute name is a reserved keyword; reserved keyword: {token}")
        return self._names.get(token, token)

    def _index(self) -> str:
        token = self.take()
        if not _INDEX.fullmatch(token):
            raise self.problem()
        self.expect("]")
        return f"[{token}]"


def _list_of_actions(reader: _Reader, clause: str) -> None:
    reader.changed.append(_action(reader, clause))
    while reader.takes(","):
        reader.changed.append(_action(reader, clause))


def _action(reader: _Reader, clause: str) -> Path:
    path = reader.path()
    if clause == "SET":
        reader.expect("=")
        _operand(reader)
        if reader.takes("+", "-"):
            _operand(reader)
    elif clause != "REMOVE":
        reader.value()
    return path


def _operand(reader: _Reader) -> None:
    token = reader.next()
    if reader.takes("("):
        _operand(reader)
        if reader.takes("+", "-"):
            _operand(reader)
        reader.expect(")")
    elif _VALUE.fullmatch(token):
        reader.value()
    else:
        _path_or_function(reader)


def _path_or_function(reader: _Reader) -> None:
    path = reader.path()
    if not reader.takes("("):
        return
    if path == ("if_not_exists",):
        reader.path()
    elif path == ("list_append",):
        _operand(reader)
    else:
        raise SyntaxProblem(f"Invalid function name; function: {'.'.join(path)}")
    reader.expect(",")
    _operand(reader)
    reader.expect(")")


def _check_overlap(paths: list[Path]) -> None:
    """No path may be another's or lead to it: which of the two changes came first would matter."""
    for earlier, path in enumerate(paths):
        for other in paths[earlier + 1 :]:
            length = min(len(path), len(other))
            if path[:length] == other[:length]:
                shown = f"path one: [{', '.join(path)}], path two: [{', '.join(other)}]"
                raise SyntaxProblem(
                    "Two document paths overlap with each other; must remove or rewrite one of these paths; " + shown
                )
