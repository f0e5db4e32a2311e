"""Warm CPU time of a handler against the plain lab's, both in this process, by turns and on the same stub for AWS.

Shared by `bench.processor_cpu`, `bench.notifier_cpu` and `bench.service_cpu`. Logs are written as Lambda writes them,
one JSON object a line, and what the lab's handlers print goes the same way: to nowhere, but formatted.
"""

import importlib
import json
import logging
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.fresh_process import FUNCTION_ENVIRONMENT
from bench.harness import Row, Table, interleave, row
from bench.http_stub import serving

Handler = Callable[[Mapping[str, Any], Any], Mapping[str, Any]]

BASELINE: Final = "the plain lab's handler (bench/baselines), the row above each"
NOTES: Final = (
    "CPU of the handler's own process, warm: the function, the SDK and its side of a kept connection without TLS. "
    "AWS is bench/http_stub.py in another process. A reading is the median of a round of batches or requests.",
)
_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__)


@dataclass(frozen=True)
class Case:
    """What both handlers are given, and how a good answer of ours is told."""

    what: str
    events: Callable[[int], Mapping[str, Any]]
    """The event of a number, so that none comes twice."""
    items: int
    """Orders or requests in an event."""
    is_done: Callable[[Mapping[str, Any]], bool]


class _Formatter(logging.Formatter):
    """A JSON object a line, its members what Lambda's formatter gives and what `extra` holds."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        extra = {name: value for name, value in record.__dict__.items() if name not in _OWN}
        return json.dumps({"level": record.levelname, "message": record.getMessage(), **extra})


@contextmanager
def function_process(environment: Mapping[str, str]) -> Iterator[None]:
    """Makes this process a function's: its environment, a stand-in for AWS, and a log that nobody keeps."""
    with serving() as address, Path(os.devnull).open("w") as nowhere:
        users = [name for name in os.environ if name.startswith("AWS_")]
        for name in users:
            del os.environ[name]
        os.environ.update({**FUNCTION_ENVIRONMENT, **environment, "AWS_ENDPOINT_URL": address})
        log = logging.StreamHandler(nowhere)
        log.setFormatter(_Formatter())
        logging.getLogger().handlers = [log]
        with redirect_stdout(nowhere):
            yield


def compare(title: str, function: str, cases: Sequence[Case], *, context: object, repeat: int, runs: int) -> Table:
    """Measures a function and its baseline, `repeat` rounds of `runs` events each; figures are of one item."""
    ours: Handler = importlib.import_module(f"{function}.handler").handler
    plain: Handler = importlib.import_module(f"bench.baselines.{function}.handler").handler
    rows: list[Row] = []
    for case in cases:
        _check(case, ours(case.events(0), context))
        readings = {
            "plain": _round(case, plain, context, runs),
            "ours": _round(case, ours, context, runs),
        }
        samples = {
            name: sample.times(1_000 / case.items)
            for name, sample in interleave(readings, repeat=repeat, warmup=2).items()
        }
        rows += [
            row(f"{case.what}: plain lab", samples["plain"], samples["plain"]),
            row(f"{case.what}: ours", samples["ours"], samples["plain"]),
        ]
    return Table(title, BASELINE, rows, NOTES)


def _check(case: Case, answer: Mapping[str, Any]) -> None:
    if not case.is_done(answer):
        raise AssertionError(f"{case.what}: the function failed: {answer}")


def _round(case: Case, handler: Handler, context: object, runs: int) -> Callable[[], float]:
    """A reading: the median CPU seconds of an event. Not of the process's children: it has none that end."""

    def read() -> float:
        return statistics.median(_timed(handler, case.events(number), context) for number in range(runs))

    return read


def _timed(handler: Handler, event: Mapping[str, Any], context: object) -> float:
    start = time.process_time()
    handler(event, context)
    return time.process_time() - start
