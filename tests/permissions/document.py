"""The tables of docs/security.md, between their markers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.permissions.grants import Grant
from tests.permissions.not_shown import NOT_SHOWN
from tests.permissions.proof import Proof

FILE: Final = Path(__file__).parents[2] / "docs" / "security.md"
_START: Final = "<!-- written by `make prove-permissions`: {} -->"
_END: Final = "<!-- end of {} -->"


def with_tables(text: str, found: Proof) -> str:
    """The document with the tables of a proof. Raises ValueError where a marker is missing."""
    for name, table in _tables(found).items():
        start, end = _START.format(name), _END.format(name)
        before, started, rest = text.partition(start)
        _, ended, after = rest.partition(end)
        if not (started and ended):
            raise ValueError(f"{FILE.name}: no place for {name}: it is between {start} and {end}")
        text = f"{before}{start}\n{table}\n{end}{after}"
    return text


def _tables(found: Proof) -> dict[str, str]:
    return {
        "permissions in use": _used(found),
        "permissions not shown": _not_shown(),
        "what nobody else may do": _forbidden(found),
    }


def _used(found: Proof) -> str:
    def row(grant: Grant) -> tuple[str, ...]:
        taken = " (taken away: it fails)" if (grant.role, grant.action) in found.taken_away else ""
        return (
            grant.role,
            f"`{grant.action}`",
            _under(f"`{grant.resource}`", grant.condition),
            found.used[grant] + taken,
        )

    return _table(("Role", "Action", "Resource", "Needed when"), map(row, sorted(found.used)))


def _not_shown() -> str:
    rows = ((line.role, _listed(line.actions), _under(_listed(line.resources), line.condition), line.reason)
            for line in NOT_SHOWN)  # fmt: skip
    return _table(("Roles", "Actions", "Resources", "What needs them, and why it is not shown"), rows)


def _under(resources: str, condition: str) -> str:
    return f"{resources} where `{condition}`" if condition else resources


def _listed(patterns: str) -> str:
    return ", ".join(f"`{pattern}`" for pattern in patterns.split())


def _forbidden(found: Proof) -> str:
    rows = (
        (what, ", ".join(roles) or "nobody", str(others)) for what, (roles, others) in sorted(found.forbidden.items())
    )
    return _table(("What", "Who may", "Roles it was denied to"), rows)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (heads, tuple("---" for _ in heads), *rows)
    return "\n".join(f"| {' | '.join(cell.replace('*', chr(92) + '*') if '`' not in cell else cell for cell in line)} |"
                     for line in lines)  # fmt: skip
