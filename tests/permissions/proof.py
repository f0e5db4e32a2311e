"""What a proof found, kept in a file, and compared with what the templates grant."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from tests.permissions import not_shown
from tests.permissions.grants import Grant

FILE: Final = Path(__file__).with_name("proof.json")


@dataclass(frozen=True)
class Proof:
    """What the local cloud has shown."""

    used: Mapping[Grant, str]
    """The first scenario that used each permission."""
    taken_away: Mapping[tuple[str, str], str]
    """The scenario that failed without a permission, by role and action."""
    forbidden: Mapping[str, tuple[tuple[str, ...], int]]
    """Of each thing that was tried, the roles that it is for, and how many others it was denied to."""


def read(file: Path = FILE) -> Proof:
    """The last proof."""
    found = json.loads(file.read_text())
    return Proof(
        {Grant(*line[:5]): line[5] for line in found["used"]},
        {(line[0], line[1]): line[2] for line in found["taken_away"]},
        {line[0]: (tuple(line[1]), line[2]) for line in found["forbidden"]},
    )


def as_json(proof: Proof) -> str:
    """The proof as the text of the file, a line for each finding."""
    used: list[list[object]] = [[*astuple(grant), proof.used[grant]] for grant in sorted(proof.used)]
    parts: dict[str, list[list[object]]] = {
        "used": used,
        "taken_away": [[role, action, proof.taken_away[role, action]] for role, action in sorted(proof.taken_away)],
        "forbidden": [[what, list(roles), others] for what, (roles, others) in proof.forbidden.items()],
    }
    lists = [
        f" {json.dumps(name)}: [\n" + ",\n".join(f"  {json.dumps(line, ensure_ascii=False)}" for line in lines) + "\n ]"
        for name, lines in parts.items()
    ]
    return "{\n" + ",\n".join(lists) + "\n}\n"


def unexplained(granted: Iterable[Grant], used: Iterable[Grant]) -> list[Grant]:
    """What is granted, was never used, and has no reason for that: to be removed."""
    seen = set(used)
    return [grant for grant in granted if grant not in seen and not_shown.reason(grant) is None]


def used_after_all(used: Iterable[Grant]) -> list[Grant]:
    """What was used although it is listed as what the local cloud cannot show."""
    return [grant for grant in used if not_shown.reason(grant) is not None]
