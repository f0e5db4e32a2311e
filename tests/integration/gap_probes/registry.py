"""The probes by the key of their gap; each module of this package adds its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.gap_probes.emulators import Emulator


@dataclass(frozen=True)
class Probe:
    """What to look at, and what AWS and the unmended emulator show there."""

    look: Callable[[Emulator], Any]
    aws: Any
    emulator: Any


PROBES: dict[str, Probe] = {}


def probe(key: str, *, aws: Any, emulator: Any) -> Callable[[Callable[[Emulator], Any]], Callable[[Emulator], Any]]:
    """Makes a function the probe of the gap `key` (tests/emulator_gaps.py)."""

    def add(look: Callable[[Emulator], Any]) -> Callable[[Emulator], Any]:
        assert key not in PROBES, key
        assert aws != emulator, key
        PROBES[key] = Probe(look, aws, emulator)
        return look

    return add
