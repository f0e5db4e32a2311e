"""Runs the benchmarks and writes docs/performance.md from what they hand in.

    PYTHONPATH=lambdas python -m bench.page [NAME …]

Without names all of them, else only those; the others' figures stay as they were. The figures are kept in
bench/measured/, so that the page can be made anew without measuring: `--page-only`.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pygal  # type: ignore[import-untyped]
from pygal.style import CleanStyle  # type: ignore[import-untyped]

from bench import svg
from bench.fresh_process import ROOT, run
from bench.harness import Row, Table, markdown, number

PAGE: Final = ROOT / "docs" / "performance.md"
MEASURED: Final = ROOT / "bench" / "measured"
NAMES: Final[Mapping[str, str]] = {
    "cold_start": "Cold start",
    "processor_cpu": "Order processor",
    "notifier_cpu": "Order notifier",
    "service_cpu": "Order service",
    "order_service_memory": "Memory of the order service",
    "order_decode": "Decoder of orders",
    "router_import": "Router of the order service",
    "sales_query": "Sales query",
    "sales_recorder": "Sales recorder",
    "images": "Images",
    "end_to_end": "Order pipeline end to end",
    "developer_loop": "The developer's loop",
}
"""The benchmarks in the page's order, with their headings. Each is a module of `bench` that takes `--json`."""
_BY_NAME_ONLY: Final = frozenset({"developer_loop"})
"""What is measured only where it is named: it takes long, and wants the whole machine."""
_CHARTED: Final = "cold_start"
_CHARTED_TABLES: Final = "Cold start with "
_LAB: Final = ", plain lab"
_IN_SHORT: Final[Sequence[tuple[str, str, str, str]]] = (
    ("CPU time of a function's cold start", "cold_start", "Cold start, CPU time", r"\w+"),
    ("CPU time of storing an order, ten together", "processor_cpu", "Order processor: CPU per order", ".* 10: ours"),
    ("CPU time of announcing an order, ten together", "notifier_cpu", "Order notifier: CPU per event", ".* 10: ours"),
    ("CPU time of a request to the order service", "service_cpu", "Order service: CPU per request", ".*: ours"),
    ("CPU time of a 24-megapixel JPEG", "images", "Small images: CPU time", "24 MP JPEG .*, ours"),
    (
        "Time of the day's sales among a million order items",
        "sales_query",
        "Sales of one day of 1,000,000 order items",
        "the report's query",
    ),
    (
        "Orders stored and announced a second, in the local cloud",
        "end_to_end",
        "End to end: orders a second",
        "sustained .*, ours",
    ),
)
"""What is said first: in words, and which rows of which benchmark's table have it, by a regular expression."""
_HEAD: Final = """# Performance

What the functions cost beside the plain lab's versions of them (`bench/baselines`), measured and not promised.

```sh
make bench
make bench PARTS="processor_cpu service_cpu"
```

The first measures all of it on your machine and writes it into this page, which takes about twenty minutes; the second
only what is named, half a minute here. Under each heading stands the name of its part, the machine and the day. `git
restore bench/measured docs/performance*` brings back the figures that came with the repository.

- A figure is the **median** of its rounds, the **spread** the distance between the quartiles, the **ratio** what it is
  of the stated baseline in the same run: below 1 is less.
- Subject and baseline take turns, so that both see the same machine. Times are CPU time where nothing else is said,
  because other processes share the machine: ratios carry over to Lambda, milliseconds do not.
"""


def measure(names: Iterable[str]) -> list[str]:
    """Runs the benchmarks in turn and keeps what each hands in; returns the names of those that failed."""
    failed = []
    for name in names:
        sys.stderr.write(f"bench.{name} …\n")
        try:
            print(run("-m", f"bench.{name}", "--json", str(_file(name)), environment={}), flush=True)
        except subprocess.CalledProcessError:
            failed.append(name)
    return failed


def read_results() -> dict[str, dict[str, Any]]:
    """What was handed in, by benchmark, in the page's order; without those that were never run."""
    return {name: json.loads(_file(name).read_text(encoding="utf-8")) for name in NAMES if _file(name).is_file()}


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, _in_short(results), *(_section(name, result) for name, result in results.items())])


def charts(results: Mapping[str, Mapping[str, Any]]) -> dict[Path, str]:
    """The page's charts as SVG, by file."""
    if _CHARTED not in results:
        return {}
    tables = [table for table in _tables(results[_CHARTED]) if table.title.startswith(_CHARTED_TABLES)]
    return {_chart_file(table): _chart(table) for table in tables}


def _file(name: str) -> Path:
    return MEASURED / f"{name}.json"


def _chart_file(table: Table) -> Path:
    size = table.title.removeprefix(_CHARTED_TABLES).partition(" ")[0].replace(",", "")
    return PAGE.with_name(f"performance-cold-start-{size}.svg")


def _in_short(results: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [f"| {what} | {_ratios(results[name], *where)} |" for what, name, *where in _IN_SHORT if name in results]
    return "\n".join(["## In short", "", "| | of the plain lab's |", "|---|---:|", *lines]) + "\n"


def _ratios(result: Mapping[str, Any], title: str, rows: str) -> str:
    """The ratio of a table's rows of that name, or the least and the greatest. Raises ValueError where none has it."""
    (table,) = (each for each in _tables(result) if each.title == title)
    found = sorted(row.ratio for row in table.rows if re.fullmatch(rows, row.what))
    least, greatest = number(min(found)), number(max(found))
    return least if least == greatest else f"{least} to {greatest}"


def _section(name: str, result: Mapping[str, Any]) -> str:
    taken = f"Measured {result['taken_at'][:10]} by `bench/{name}.py` (part `{name}`) on {result['machine']}."
    tables = [_with_chart(name, table) for table in _tables(result)]
    return "\n\n".join([f"## {NAMES[name]}", taken, *tables]) + "\n"


def _with_chart(name: str, table: Table) -> str:
    if name != _CHARTED or not table.title.startswith(_CHARTED_TABLES):
        return markdown(table)
    return f"{markdown(table)}\n\n![{table.title}, ours and the plain lab's]({_chart_file(table).name})"


def _tables(result: Mapping[str, Any]) -> list[Table]:
    return [
        Table(**{**table, "rows": [Row(**row) for row in table["rows"]], "notes": tuple(table["notes"])})
        for table in result["tables"]
    ]


def _chart(table: Table) -> str:
    """Bars of ours beside the plain lab's, a function each."""
    ours, labs = _pairs(table.rows)
    chart = pygal.HorizontalBar(
        title=f"{table.title} (ms)",
        width=900,
        height=480,
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        print_values=True,
        formatter="{:,.0f}".format,
        style=CleanStyle(value_font_size=11, colors=("#1f77b4", "#999999")),
        js=[],
    )
    # From the bottom up, as the bars are drawn, so that they stand in the table's order.
    chart.x_labels = [each.what for each in reversed(ours)]
    chart.add("ours", [each.median for each in reversed(ours)])
    chart.add("plain lab", [each.median for each in reversed(labs)])
    return svg.render(chart, _chart_file(table).stem)


def _pairs(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    labs = {each.what.removesuffix(_LAB): each for each in rows if each.what.endswith(_LAB)}
    ours = [each for each in rows if not each.what.endswith(_LAB)]
    return ours, [labs[each.what] for each in ours]


def write() -> None:
    """Writes the page and its charts from the figures that are kept."""
    results = read_results()
    PAGE.write_text(page(results), encoding="utf-8")
    for file, drawing in charts(results).items():
        file.write_text(drawing, encoding="utf-8")


def main() -> int:
    """Measures what is asked for and writes the page; returns the exit code."""
    parser = argparse.ArgumentParser(description="Measure, and write docs/performance.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--page-only", action="store_true", help="write the page from the figures that are kept")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"{unknown[0]}: is not one of {', '.join(NAMES)}")
    names = options.names or [name for name in NAMES if name not in _BY_NAME_ONLY]
    failed = [] if options.page_only else measure(names)
    write()
    if failed:
        sys.stderr.write(f"failed, so the page keeps their earlier figures: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
