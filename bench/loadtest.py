"""Puts load on the order service of a stage and says how it answered: `make loadtest SYSTEM=service TARGET=…`.

    PYTHONPATH=lambdas python -m bench.loadtest [--stage local] [--users 10] [--seconds 30] [--json]

Locust runs in a process of its own, because it replaces the standard library's sockets. Its report goes to
`loadtest/` in the folder of the local cloud. The exit code is 1 when a request failed for another reason than
throttling, or something was left in the table.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from shop import target
from shop.errors import ShopError
from shop.local.cloud import default_folder
from shop.output import note, plural, print_json, print_table, shorten
from shop.target import LOCAL

ROOT: Final = Path(__file__).resolve().parents[1]
_LOCUSTFILE: Final = ROOT / "bench" / "order_service_locust.py"
_SYSTEM: Final = "order-service"
_SECONDS_TO_FINISH: Final = 35
"""What a request in flight may take at the end: API Gateway answers within 29 s."""
_ERROR_COLUMNS: Final = 200


def run(stage: str, users: int, seconds: int, report: Path) -> tuple[int, dict[str, Any]]:
    """Run Locust against a stage; return its exit code and its results (see `order_service_locust`).

    The HTML report goes to `report`. Raises ShopError when Locust could not start the run.
    """
    report.parent.mkdir(parents=True, exist_ok=True)
    summary = report.with_suffix(".json")
    words: list[object] = ["--stage", stage, "--users", users, "--spawn-rate", users, "--run-time", f"{seconds}s"]
    code = start_locust(_LOCUSTFILE, [*words, "--html", report, "--summary", summary])
    if not summary.exists():
        raise ShopError(f"the load test ended without results (exit code {code})")
    results: dict[str, Any] = json.loads(summary.read_text())
    return code, results


def start_locust(locustfile: Path, words: Sequence[object]) -> int:
    """Run Locust without its page until it ends and return its exit code."""
    command = [sys.executable, "-m", "locust", "--locustfile", locustfile, "--headless", "--skip-log-setup"]
    command += ["--stop-timeout", _SECONDS_TO_FINISH, *words]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'lambdas'}"}
    # Without its logging Locust shows no tables of its own, which say the same as ours; warnings still reach stderr.
    with subprocess.Popen(  # noqa: S603 (our own interpreter, our own file)
        [str(word) for word in command], env=environment, stdout=subprocess.DEVNULL
    ) as locust:
        try:
            return locust.wait()
        except KeyboardInterrupt:
            # The terminal has told Locust too: it ends the run early and still cleans up.
            return locust.wait()


def show(results: dict[str, Any], report: Path) -> None:
    """Print the results as a table, and what went wrong below it."""
    total = results["total"]
    rows = [
        [
            row["operation"],
            f"{row['requests']:,}",
            f"{row['failures']:,}",
            *(f"{row[name]:,.1f}" for name in ("requests_per_second", "p50_ms", "p95_ms", "p99_ms", "longest_ms")),
        ]
        for row in (*results["operations"], {**total, "operation": "all"})
    ]
    columns = ["operation", "requests#", "failed#", "requests/s#", "p50 ms#", "p95 ms#", "p99 ms#", "longest ms#"]
    print_table("Load test of the order service", columns, rows)
    for error, count in results["errors"].items():
        note(f"{count:,} times {shorten(error, _ERROR_COLUMNS)}")
    if total["left_behind"]:
        note(f"{plural(total['left_behind'], 'item')} of the load test could not be deleted (ids loadtest-…)")
    note(f"report: {report}")


def main() -> int:
    """Run the load test that the arguments ask for and print its results; return the exit code."""
    options = read_options(
        argparse.ArgumentParser(prog="bench.loadtest", description="Put load on the order service of a stage."),
        users="how many send at the same time",
        seconds="for how long",
    )
    report = default_folder() / "loadtest" / f"order-service-{options.stage}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.html"
    try:
        # Before Locust starts, which would show a missing stack as a traceback.
        target.find(options.stage, _SYSTEM)
        code, results = run(options.stage, options.users, options.seconds, report)
    except ShopError as error:
        note(f"error: {error}")
        return 1
    if options.json:
        print_json({**results, "report": str(report)})
    else:
        show(results, report)
    return code


def read_options(parser: argparse.ArgumentParser, *, users: str, seconds: str) -> argparse.Namespace:
    """Return the options that every load test takes; `users` and `seconds` say what these are for."""
    parser.add_argument("--stage", default=LOCAL, help="local, or a stage on AWS (default: local)")
    parser.add_argument("--users", type=positive, default=10, help=f"{users} (default: 10)")
    parser.add_argument("--seconds", type=positive, default=30, help=f"{seconds} (default: 30)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    return parser.parse_args()


def positive(text: str) -> int:
    """Return the number of a command's option; raises ArgumentTypeError unless it is at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
