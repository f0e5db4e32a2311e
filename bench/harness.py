"""Measures subjects and their baseline in turn, and writes the figures as tables for docs/performance.md.

Times are CPU seconds, the children's included, because other processes share the machine. A figure is the median of
its rounds, its spread the distance between the quartiles, its ratio what it is of the baseline's in the same run.
"""

import argparse
import json
import math
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

K = TypeVar("K")

MILLISECONDS: Final = "ms"


@dataclass(frozen=True)
class Sample:
    """The readings of one subject, all in the same unit."""

    readings: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the readings."""
        return statistics.median(self.readings)

    @property
    def spread(self) -> float:
        """The interquartile range; 0 for a single reading."""
        if len(self.readings) == 1:
            return 0.0
        first, _, third = statistics.quantiles(self.readings, n=4, method="inclusive")
        return third - first

    def times(self, factor: float) -> "Sample":
        """The same readings in another unit."""
        return Sample(tuple(reading * factor for reading in self.readings))


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    what: str
    median: float
    spread: float
    unit: str
    ratio: float
    """What the median is of the baseline's."""


@dataclass(frozen=True)
class Table:
    """Figures with one baseline, or with one a group of rows, which the ratios are of."""

    title: str
    baseline: str
    """What the ratios are of, in words."""
    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())


def cpu_seconds() -> float:
    """CPU time (user and system) of this process and of those of its children that have ended."""
    return sum(os.times()[:4])


def interleave(readings: Mapping[K, Callable[[], float]], *, repeat: int, warmup: int = 1) -> dict[K, Sample]:
    """Takes each reading in turn, `repeat` times after `warmup` rounds that do not count: all see the same machine."""
    taken: dict[K, list[float]] = {name: [] for name in readings}
    for number in range(warmup + repeat):
        for name, read in readings.items():
            value = read()
            if number >= warmup:
                taken[name].append(value)
    return {name: Sample(tuple(values)) for name, values in taken.items()}


def measure(work: Callable[[], object], *, repeat: int, warmup: int = 1) -> Sample:
    """The CPU seconds of a piece of work."""
    return interleave({"work": lambda: cpu_of(work)}, repeat=repeat, warmup=warmup)["work"]


def measure_in_turn(works: Mapping[K, Callable[[], object]], *, repeat: int, warmup: int = 1) -> dict[K, Sample]:
    """The CPU seconds of each piece of work; in turn, as `interleave` does it."""

    def reading(work: Callable[[], object]) -> Callable[[], float]:
        return lambda: cpu_of(work)

    return interleave({name: reading(work) for name, work in works.items()}, repeat=repeat, warmup=warmup)


def cpu_of(work: Callable[[], object]) -> float:
    """The CPU seconds of one run."""
    start = cpu_seconds()
    work()
    return cpu_seconds() - start


def ratio(subject: Sample, baseline: Sample) -> float:
    """What the subject's median is of the baseline's: below 1 is less time."""
    return subject.median / baseline.median


def row(what: str, subject: Sample, baseline: Sample, unit: str = MILLISECONDS) -> Row:
    """A line of a table from samples in that unit."""
    return Row(what, subject.median, subject.spread, unit, ratio(subject, baseline))


def machine() -> str:
    """What the figures were taken on, in words."""
    return f"{platform.system()} {platform.machine()} with {os.cpu_count()} CPUs, Python {platform.python_version()}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option that all benchmarks of the page have."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the tables as JSON to this file")


def hand_in(name: str, tables: Sequence[Table], file: Path | None) -> None:
    """Prints the tables and, where there is a file, writes them for `bench.page`."""
    print("\n\n".join(map(markdown, tables)))
    if file is None:
        return
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"name": name, "taken_at": taken_at, "machine": machine(), "tables": [asdict(table) for table in tables]}
    file.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def markdown(table: Table) -> str:
    """The table with its title, notes and what its ratios are of."""
    lines = [f"### {table.title}", "", "| | median | spread | ratio |", "|---|---:|---:|---:|"]
    lines += [
        f"| {each.what} | {number(each.median)} {each.unit} | {number(each.spread)} | {number(each.ratio)} |"
        for each in table.rows
    ]
    lines += ["", f"Ratio to: {table.baseline}.", *(f"\n{note}" for note in table.notes)]
    return "\n".join(lines)


def number(value: float) -> str:
    """The value with three significant digits; below 1 with three decimals, and at least two such digits."""
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    digits = max(0, 2 - power) if power >= 0 else max(3, 1 - power)
    return f"{value:,.{digits}f}"
