"""The table of the emulator's gaps is true: each is there as it says, and each mend closes its own.

A failure here after a new version of the emulator means that docs/local-cloud.md has to change: a gap that is closed
needs no mend and no row (tests/emulator_gaps.py), one that has changed another text.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from shop.local.paths import Paths
from tests.emulator_gaps import GAPS
from tests.integration.gap_probes import PROBES
from tests.integration.gap_probes.emulators import Emulator, mended, unmended

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROBED = [gap.key for gap in GAPS if not gap.not_probed]
_MENDED = [gap.key for gap in GAPS if gap.mend and not gap.not_probed]
_AT_ONCE = 6
_SECONDS = 180

Looks = dict[str, Future[Any]]


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Looks, Looks]]:
    """What each probe sees, of the emulator as it is installed and of the mended one.

    All look at the same time: most of what they do is wait for the emulator, which starts schedules every ten seconds.
    """
    folders = [Paths(tmp_path_factory.mktemp(name)) for name in ("unmended", "mended")]
    with unmended(folders[0]) as bare, mended(folders[1]) as whole, ThreadPoolExecutor(_AT_ONCE) as pool:
        # Schedules first: what waits longest should not begin last.
        order = sorted(_PROBED, key=lambda key: not key.startswith("schedule"))
        clouds = [(Emulator(bare), set(_PROBED)), (Emulator(whole), set(_MENDED))]
        seen: tuple[Looks, Looks] = ({}, {})
        for key in order:
            for place, (emulator, keys) in zip(seen, clouds, strict=True):
                if key in keys:
                    place[key] = pool.submit(PROBES[key].look, emulator)
        yield seen
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("key", _PROBED)
def test_the_emulator_has_this_gap_as_the_table_says(key: str, looks: tuple[Looks, Looks]) -> None:
    seen, probe = looks[0][key].result(_SECONDS), PROBES[key]
    assert seen != probe.aws, "the emulator does now as AWS does: remove the row and its mend"
    assert seen == probe.emulator, "the emulator does something else now: look at the row and its mend"


@pytest.mark.parametrize("key", _MENDED)
def test_the_mend_closes_the_gap(key: str, looks: tuple[Looks, Looks]) -> None:
    assert looks[1][key].result(_SECONDS) == PROBES[key].aws
