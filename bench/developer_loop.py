"""How long a developer waits: for templates, for a local cloud, for tests that need none.

    PYTHONPATH=lambdas python -m bench.developer_loop [--rounds 3] [--json FILE]

Wall time: much of it is waiting, for the CDK's questions after a stack every 5 s for one, and of the CPU time of the
CDK's Node, which outlives the Python that started it, nobody hears. So it wants a machine that has nothing else to do;
`make bench` leaves it out. Removes `.local/synthesised`, which the next template test makes again.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench.fresh_process import ROOT
from bench.harness import Sample, Table, add_options, hand_in, interleave, row

_KEPT_SYNTHESES: Final = ROOT / ".local" / "synthesised"
_TEMPLATE_TESTS: Final = "tests/templates/test_order_service.py"
_MAKE_SYNTH: Final = ("make", "--silent", "synth", "STAGE=dev")


def seconds(*command: str | Path, environment: Mapping[str, str] | None = None) -> float:
    """The wall time of a command in the repository's root. Raises subprocess.CalledProcessError where it fails."""
    start = time.perf_counter()
    given = {**os.environ, **(environment or {})}
    subprocess.run(command, cwd=ROOT, env=given, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
    return time.perf_counter() - start


def synthesis(rounds: int) -> Table:
    """`make synth` as it is, against one in which the CDK also validates the templates."""
    checked, unchecked = "with the CDK's validation of templates", "`make synth`"
    found = interleave(
        {
            checked: lambda: seconds(*_MAKE_SYNTH, environment={"CDK_VALIDATION": "true"}),
            unchecked: lambda: seconds(*_MAKE_SYNTH, environment={"CDK_VALIDATION": "false"}),
        },
        repeat=rounds,
    )
    return _table("The templates of a stage", found, checked, "Set-up's look at what is installed is in both.")


def local_cloud(rounds: int, folder: Path) -> Table:
    """`shop up` from nothing, after a stop, and with nothing changed."""
    nothing, stopped, unchanged = "from nothing", "after a stop, with its templates", "up, and nothing changed"
    try:
        found = interleave(
            {
                nothing: lambda: _after("reset", folder),
                stopped: lambda: _after("down", folder),
                unchanged: lambda: _shop("up", folder),
            },
            repeat=rounds,
        )
    finally:
        _shop("reset", folder)
    return _table("A local cloud", found, nothing, "Packages of functions come from their cache, as they mostly do.")


def template_tests(rounds: int) -> Table:
    """One module of template tests with and without the syntheses that are kept from before."""
    anew, kept = "after a change of a stack", "after a change of a test"
    found = interleave({anew: _tests_anew, kept: _tests}, repeat=rounds)
    return _table("Template tests of one system", found, anew, f"`pytest {_TEMPLATE_TESTS}`.")


def fast_tests(rounds: int) -> Table:
    """`make test-fast`, lint too, against all tests that need no cloud."""
    whole, fast = "all unit and template tests", "`make test-fast`: lint, and all but the slow ones"
    found = interleave({whole: _without_cloud, fast: lambda: seconds("make", "--silent", "test-fast")}, repeat=rounds)
    return _table("Tests that need no cloud", found, whole, "Syntheses are kept from before.")


def _after(command: str, folder: Path) -> float:
    _shop(command, folder)
    return _shop("up", folder)


def _shop(command: str, folder: Path) -> float:
    return seconds(sys.executable, "-m", "shop", command, environment={"SHOP_LOCAL_DIR": str(folder)})


def _tests_anew() -> float:
    shutil.rmtree(_KEPT_SYNTHESES, ignore_errors=True)
    return _tests()


def _without_cloud() -> float:
    words = ("--quiet", "--numprocesses", "auto", "--dist", "worksteal", "tests/unit", "tests/templates")
    return seconds(sys.executable, "-m", "pytest", *words)


def _tests() -> float:
    return seconds(sys.executable, "-m", "pytest", "--quiet", _TEMPLATE_TESTS)


def _table(title: str, found: Mapping[str, Sample], baseline: str, note: str) -> Table:
    rows = [row(what, sample, found[baseline], "s") for what, sample in found.items()]
    return Table(title, baseline, rows, (note, "Wall time."))


def main() -> None:
    """Measure all, print the tables, and hand them in where asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="developer-loop-") as folder:
        parts: list[Callable[[int], Table]] = [
            synthesis,
            lambda rounds: local_cloud(rounds, Path(folder)),
            template_tests,
            fast_tests,
        ]
        tables = [part(options.rounds) for part in parts]
    hand_in("developer_loop", tables, options.json)


if __name__ == "__main__":
    main()
