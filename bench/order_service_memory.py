"""Response time and price of the order service against its memory size, from the CPU time that its handler takes.

    PYTHONPATH=lambdas python -m bench.order_service_memory [--write] [--json FILE]

Measures the real handler in fresh processes against a stand-in for DynamoDB and prints the report with the ratio
against 128 MB. `--write` keeps the figures and the report in docs/.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from os import cpu_count
from pathlib import Path
from typing import Final

from bench import harness
from bench import lambda_model as model
from bench.fresh_process import FUNCTION_ENVIRONMENT, ROOT, run
from bench.http_stub import LISTED_ITEMS, serving
from bench.memory_chart import draw
from stacks.constructs.packages import build, host_target

FIGURES: Final = ROOT / "docs" / "order-service-memory.json"
REPORT: Final = FIGURES.with_suffix(".md")
CHART: Final = FIGURES.with_suffix(".svg")

DYNAMODB_MS: Final = 4.0
"""Assumed time from a call's last byte sent to its answer: "single-digit millisecond performance at any scale"
(Amazon DynamoDB Developer Guide, "What is Amazon DynamoDB?")."""
_LIST: Final = "list"
_PROCESSES: Final = 7


@dataclass(frozen=True)
class Figures:
    """What was measured, in milliseconds, and on what."""

    machine: str
    cold_cpu_ms: float
    """CPU time of importing the handler and answering the first request."""
    cpu_ms: Mapping[str, float]
    """CPU time of a warm request, by operation."""
    wall_ms: Mapping[str, float]
    """Wall time of the same against the stand-in on the same machine, by operation."""

    @property
    def warm(self) -> model.Work:
        """The mean of the operations on one item."""
        return model.Work(statistics.mean(ms for name, ms in self.cpu_ms.items() if name != _LIST), DYNAMODB_MS)

    @property
    def page(self) -> model.Work:
        """A page of `list`."""
        return model.Work(self.cpu_ms[_LIST], DYNAMODB_MS)

    @property
    def cold(self) -> model.Work:
        """Import and first request."""
        return model.Work(self.cold_cpu_ms, DYNAMODB_MS)

    @property
    def estimates(self) -> list[model.Estimate]:
        """What each memory size makes of it."""
        return [model.estimate(self.warm, self.cold, size) for size in model.SIZES_MB]


def measure() -> Figures:
    """Return the medians of several fresh processes; one more before them compiles byte-code and is not counted."""
    with serving() as address:
        package = build("order_service", host_target()).folder
        environment = {**FUNCTION_ENVIRONMENT, "AWS_ENDPOINT_URL_DYNAMODB": address, "PYTHONPATH": str(package)}
        printed = [run("-m", "bench.order_service_requests", environment=environment) for _ in range(_PROCESSES + 1)]
    processes = [json.loads(text) for text in printed[1:]]
    return Figures(
        machine=_machine(),
        cold_cpu_ms=round(statistics.median(process["cold_cpu_ms"] for process in processes), 1),
        cpu_ms=_medians([process["cpu_ms"] for process in processes]),
        wall_ms=_medians([process["wall_ms"] for process in processes]),
    )


def read_figures(file: Path = FIGURES) -> Figures:
    """Return the figures that the report in docs/ was made from."""
    return Figures(**json.loads(file.read_text(encoding="utf-8")))


def report(figures: Figures) -> str:
    """Return the report as Markdown."""
    size = model.recommended_mb(figures.warm)
    by_size = {each.memory_mb: each for each in figures.estimates}
    base, chosen = by_size[model.BASELINE_MB], by_size[size]
    extra = chosen.dollars_a_million - base.dollars_a_million
    return f"""# Memory of the order service

Recommended: **{size:,} MB** (`order_service_memory_mb`). A warm request is
{base.warm_ms / chosen.warm_ms:.1f} times and a cold start {base.cold_ms / chosen.cold_ms:.1f} times as fast as with
{model.BASELINE_MB} MB, for ${extra:.3f} more per million requests.

`make bench` measures anew and prints this page. `make memory-report` also writes it.

![Response time and cost against memory size](order-service-memory.svg)

{_table(figures)}

**The rule.** The smallest size for which twice the memory takes less than {model.WORTH_DOUBLING:.0%} off a warm
request. {_gain(figures, size // 2)}. {_gain(figures, size)}.

The price does not decide: {size:,} MB costs ${extra:.3f} per million requests more than {model.BASELINE_MB} MB, and the
REST API in front of it ${model.DOLLARS_A_MILLION_REST_REQUESTS:.2f}. The assumed wait for DynamoDB does matter:
{_by_wait(figures)}.

## Measured

CPU time (user and system) of the real handler with API Gateway's proxy events, against a loopback server that
answers like DynamoDB. Medians of {_PROCESSES} fresh processes on {figures.machine}.

| | CPU (ms) | wall (ms) |
|---|---:|---:|
{_measurements(figures)}
| import and first request | {figures.cold_cpu_ms:.0f} | |

## Model

- A function's share of a vCPU is its memory / {model.MEGABYTES_OF_ONE_VCPU:,} MB (AWS Lambda Developer Guide,
  "Configure Lambda function memory"). The handler uses one thread, so beyond one vCPU nothing gets faster.
- Duration = CPU time / share + {DYNAMODB_MS:g} ms of waiting for DynamoDB (assumed, one call a request).
  "One item" is the mean of create, read, update and delete.
- Price = ${model.DOLLARS_A_MILLION_REQUESTS:.2f} per million requests
  + ${model.DOLLARS_A_GIGABYTE_SECOND:.10f} per GB-second (arm64, {model.PRICE_REGION}),
  each warm request rounded up to a whole millisecond.
- Not in it: TLS to DynamoDB, the start of Lambda's environment and runtime, its formatting of log records, API
  Gateway, the network. All but the last two are CPU time too, so small sizes suffer more than the table says.
  Lambda's processors are other ones: the ratios carry over, the milliseconds do not.
"""


def _table(figures: Figures) -> str:
    columns = (
        "memory (MB)",
        "share of a vCPU",
        "one item, warm (ms)",
        f"page of {LISTED_ITEMS}, warm (ms)",
        "cold start (ms)",
        "Lambda, $ per million",
        f"warm, times as fast as {model.BASELINE_MB} MB",
    )
    return "\n".join([f"| {' | '.join(columns)} |", "|---:" * len(columns) + "|", _rows(figures)])


def _rows(figures: Figures) -> str:
    base = figures.estimates[0].warm_ms
    return "\n".join(
        f"| {each.memory_mb:,} | {model.cpu_share(each.memory_mb):.2f} | {each.warm_ms:.1f} "
        f"| {model.duration_ms(figures.page, each.memory_mb):.1f} | {each.cold_ms:,.0f} "
        f"| {each.dollars_a_million:.3f} | {base / each.warm_ms:.1f} |"
        for each in figures.estimates
    )


def _gain(figures: Figures, size: int) -> str:
    gain = model.gain_of_doubling(figures.warm, size)
    return f"From {size:,} MB to {2 * size:,} MB it takes {gain:.0%} off"


def _by_wait(figures: Figures) -> str:
    """What the rule would say of DynamoDB at half and at twice the assumed time."""
    waits = (DYNAMODB_MS / 2, DYNAMODB_MS * 2)
    sizes = [model.recommended_mb(model.Work(figures.warm.cpu_ms, wait)) for wait in waits]
    return " and ".join(f"with {wait:g} ms the rule says {size:,} MB" for wait, size in zip(waits, sizes, strict=True))


def _measurements(figures: Figures) -> str:
    return "\n".join(
        f"| {name}{f', {LISTED_ITEMS} items' if name == _LIST else ''} | {cpu:.2f} | {figures.wall_ms[name]:.2f} |"
        for name, cpu in figures.cpu_ms.items()
    )


def _medians(processes: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(each[name] for each in processes), 3) for name in processes[0]}


def _machine() -> str:
    return f"{platform.system()} {platform.machine()} with {cpu_count()} CPUs, Python {platform.python_version()}"


def _results(figures: Figures) -> harness.Table:
    """A warm request by memory size; without a spread, because each is computed from medians."""
    base = figures.estimates[0].warm_ms
    rows = [
        harness.Row(f"{each.memory_mb:,} MB", each.warm_ms, 0.0, harness.MILLISECONDS, each.warm_ms / base)
        for each in figures.estimates
    ]
    note = "Computed from measured CPU time, as docs/order-service-memory.md says, which has the prices too."
    return harness.Table("Order service: a warm request by memory size", f"{model.BASELINE_MB} MB", rows, (note,))


def main() -> None:
    """Measures, prints the report and, where asked to, keeps it."""
    parser = argparse.ArgumentParser(description="The order service's response time and price against memory size.")
    parser.add_argument("--write", action="store_true", help="keep the figures, the report and the chart in docs/")
    harness.add_options(parser)
    options = parser.parse_args()
    figures = measure()
    print(report(figures))
    harness.hand_in("order_service_memory", [_results(figures)], options.json)
    if not options.write:
        return
    FIGURES.write_text(json.dumps(asdict(figures), indent=2) + "\n", encoding="utf-8")
    REPORT.write_text(report(figures), encoding="utf-8")
    CHART.write_bytes(draw(figures.estimates))


if __name__ == "__main__":
    main()
