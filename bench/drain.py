"""How long the order pipeline takes to work off a spike or an outage, and which quota a growing load meets first.

    PYTHONPATH=lambdas python -m bench.drain [--check]

A simulation in steps of a second, without chance: it counts orders, not messages, and knows rates, not single orders.
Its assumptions are the values in `Assumptions`. Writes the tables of docs/scaling.md anew; with `--check` it only says
whether they are as they should be (exit code 1 when not).
"""

import argparse
import re
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Final

from stacks.settings import Settings, load_settings

PAPER: Final = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
STAGE: Final = "prod"
BASE_RATE: Final = 1.0
"""Orders a second of the base load."""
MULTIPLES: Final = (1, 10, 100, 1_000)
_DAY: Final = 86_400
_SETTLED: Final = 0.5
"""A backlog of less than this many orders is none."""
_TABLE: Final = re.compile(r"(<!-- bench\.drain: (?P<name>[a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Assumptions:
    """What the simulation takes for given; rates a second, durations in seconds."""

    api_rate: float
    api_burst: float
    max_concurrency: int
    batch_size: int = 10
    """Of the queue's and the stream's event source mapping (stacks/order_pipeline.py)."""
    store_seconds: float = 0.1
    """A warm call of the processor with a full batch, Lambda's own work included: assumed, on the safe side."""
    announce_seconds: float = 0.1
    """A warm call of the notifier with a full batch, the poll between two calls included: assumed."""
    first_pollers: int = 5
    pollers_a_second: float = 300 / 60
    """AWS Lambda, "Configuring scaling behavior for SQS event source mappings": 5, then 300 more a minute."""
    table_rate: float = 4_000
    """Writes of a new on-demand table (DynamoDB, "Understanding DynamoDB warm throughput"); an order is one unit."""
    shards: int = 4
    """One a partition; a partition takes 1,000 writes a second, so a new table has four."""
    batches_a_shard: int = 1
    """Parallelization factor of the stream's event source mapping; Lambda's default, at most 10."""
    publish_rate: float = 1_500
    """Messages a second that SNS takes of an account in Frankfurt, Ohio, Tokyo and some others (Amazon SNS endpoints
    and quotas)."""

    @property
    def announce_rate(self) -> float:
        """Orders a second that the notifier announces at the most."""
        return self.shards * self.batches_a_shard * self.batch_size / self.announce_seconds

    @property
    def store_rate(self) -> float:
        """Orders a second that the processor stores at the most, however long it had to scale."""
        return min(self.table_rate, self.max_concurrency * self.batch_size / self.store_seconds)


def assume(settings: Settings) -> Assumptions:
    """Return the assumptions for a stage's settings."""
    return Assumptions(
        api_rate=settings.orders_requests_per_second,
        api_burst=settings.orders_burst,
        max_concurrency=settings.order_processor_max_concurrency,
    )


@dataclass(frozen=True)
class Scenario:
    """A load: `rate` orders a second, for `seconds` from the start on `factor` times as many, then `rate` again.

    `is_down`: for those first seconds nothing is stored (and so nothing is announced).
    """

    name: str
    rate: float
    factor: float
    seconds: int
    is_down: bool = False


@dataclass(frozen=True)
class Drain:
    """What became of a scenario."""

    throttled: int
    """Orders that the API answered with 429; nobody sends them again here."""
    deepest_queue: int
    stored_after: int | None
    """Seconds from the end of the spike until the queue was empty; None when it was not within a day."""
    most_unannounced: int
    """Stored orders that waited in the table's stream."""
    announced_after: int | None
    """Seconds from the end of the spike until every order was announced; None as above."""
    longest_wait: int | None
    """Seconds from an order's acceptance to its announcement, of the one that waited longest."""


@dataclass
class _Run:
    """Running counts of a simulation; each list has an entry a second."""

    tokens: float
    pollers: float
    queue: float = 0.0
    stream: float = 0.0
    throttled: float = 0.0
    queues: list[float] = field(default_factory=list)
    streams: list[float] = field(default_factory=list)
    admitted: list[float] = field(default_factory=list)
    announced: list[float] = field(default_factory=list)


def simulate(scenario: Scenario, given: Assumptions) -> Drain:
    """Return how the pipeline takes a scenario; the same every time."""
    run = _Run(tokens=given.api_burst, pollers=given.first_pollers)
    for second in range(scenario.seconds + _DAY):
        _step(run, scenario, given, second)
        if second >= scenario.seconds and run.queue < _SETTLED and run.stream < _SETTLED:
            break
    return Drain(
        throttled=round(run.throttled),
        deepest_queue=round(max(run.queues)),
        stored_after=_settled_after(run.queues, scenario.seconds),
        most_unannounced=round(max(run.streams)),
        announced_after=_settled_after(
            [queue + stream for queue, stream in zip(run.queues, run.streams, strict=True)], scenario.seconds
        ),
        longest_wait=_longest_wait(run),
    )


def _step(run: _Run, scenario: Scenario, given: Assumptions, second: int) -> None:
    """One second: the API admits, the processor stores, the notifier announces."""
    in_spike = second < scenario.seconds
    offered = scenario.rate * (scenario.factor if in_spike else 1)
    # A token bucket (API Gateway, "Throttle requests to your REST APIs"): full at the start, refilled at the rate.
    run.tokens = min(given.api_burst, run.tokens) + (given.api_rate if second else 0)
    admitted = min(offered, run.tokens)
    run.tokens -= admitted
    run.throttled += offered - admitted
    run.queue += admitted
    stored = 0.0
    if not (scenario.is_down and in_spike):
        capacity = min(given.table_rate, run.pollers * given.batch_size / given.store_seconds)
        stored = min(run.queue, capacity)
    run.queue -= stored
    behind = run.queue >= _SETTLED and stored > 0
    more = min(given.max_concurrency, run.pollers + given.pollers_a_second)
    run.pollers = more if behind else given.first_pollers
    run.stream += stored
    announced = min(run.stream, given.announce_rate, given.publish_rate)
    run.stream -= announced
    run.queues.append(run.queue)
    run.streams.append(run.stream)
    run.admitted.append(admitted)
    run.announced.append(announced)


def _settled_after(backlog: Sequence[float], spike_seconds: int) -> int | None:
    """Seconds from the spike's end until the backlog was gone for the first time."""
    return next((at for at, orders in enumerate(backlog[spike_seconds:]) if orders < _SETTLED), None)


def _longest_wait(run: _Run) -> int | None:
    """First in, first out: an order is announced once as many are as were admitted up to it."""
    admitted, announced = list(accumulate(run.admitted)), list(accumulate(run.announced))
    if announced[-1] < admitted[-1] - _SETTLED:
        return None
    ends = [bisect_left(announced, total - _SETTLED) for total in admitted]
    return max(0, *(end - start for start, end in enumerate(ends)))


@dataclass(frozen=True)
class Limit:
    """A rate that the path does not exceed as it is."""

    name: str
    rate: float
    """Orders a second."""
    remedy: str


def limits(settings: Settings) -> list[Limit]:
    """Return the limits of a stage's order path, the lowest first; docs/scaling.md has their sources."""
    given = assume(settings)
    found = [
        Limit("e-mail of one subscription", 10, "subscribe a queue, not people"),
        Limit("daily quota of the API key", settings.orders_daily_quota / _DAY, "`orders_daily_quota`"),
        Limit("notifier", given.announce_rate, "parallelization factor of the stream's mapping, up to 10"),
        Limit("throttle of the API", settings.orders_requests_per_second, "`orders_requests_per_second`"),
        Limit("SNS publishing, most regions", _PUBLISH_RATE_IN_MOST_REGIONS, "ask AWS for more"),
        Limit("SNS publishing, Frankfurt", given.publish_rate, "ask AWS for more"),
        Limit("writes of a new table", given.table_rate, "warm throughput of the table"),
        Limit("API Gateway, the account's", 10_000, "ask AWS for more"),
        Limit("processor", given.max_concurrency * given.batch_size / given.store_seconds, _CONCURRENCY),
    ]
    return sorted(found, key=lambda limit: limit.rate)


_PUBLISH_RATE_IN_MOST_REGIONS: Final = 300
_CONCURRENCY: Final = "`order_processor_max_concurrency`"

SCENARIOS: Final = (
    Scenario("10 minutes at five times 20/s", 20, 5, 600),
    Scenario("10 minutes at five times 100/s", 100, 5, 600),
    Scenario("10 minutes at five times 200/s", 200, 5, 600),
    Scenario("10 minutes at five times 300/s", 300, 5, 600),
    Scenario("processor down for an hour at 20/s", 20, 1, 3_600, is_down=True),
    Scenario("processor down for an hour at 200/s", 200, 1, 3_600, is_down=True),
)
_TEN_BATCHES: Final = 10


def tables(settings: Settings) -> dict[str, str]:
    """Return the paper's tables, Markdown by name."""
    given = assume(settings)
    wide = replace(given, batches_a_shard=_TEN_BATCHES)
    return {
        "limits": _markdown(
            ("limit", "orders/s", "what to change"),
            ((limit.name, f"{limit.rate:,.0f}", limit.remedy) for limit in limits(settings)),
        ),
        "growth": _markdown(("load", "orders/s", "orders a day", "met, the first one first"), _growth(settings)),
        "drain": _drains(given),
        "wide": _drains(wide),
    }


def _growth(settings: Settings) -> Iterable[tuple[str, ...]]:
    for multiple in MULTIPLES:
        rate = BASE_RATE * multiple
        met = [limit.name for limit in limits(settings) if limit.rate <= rate]
        yield f"{multiple:,} times", f"{rate:,.0f}", f"{rate * _DAY:,.0f}", ", ".join(met) or "none"


def _drains(given: Assumptions) -> str:
    columns = ("scenario", "429", "deepest queue", "all stored", "most unannounced", "all announced", "longest wait")
    return _markdown(columns, (_drain_row(each, simulate(each, given)) for each in SCENARIOS))


def _drain_row(scenario: Scenario, drain: Drain) -> tuple[str, ...]:
    return (
        scenario.name,
        f"{drain.throttled:,}",
        f"{drain.deepest_queue:,}",
        _duration(drain.stored_after),
        f"{drain.most_unannounced:,}",
        _duration(drain.announced_after),
        _duration(drain.longest_wait),
    )


def _duration(seconds: int | None) -> str:
    if seconds is None:
        return "not in a day"
    return f"{seconds} s" if seconds < 2 * 60 else f"{seconds / 60:.0f} min"


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def fill(text: str, made: Mapping[str, str]) -> str:
    """Return the paper with each marked table as it is made now; raises KeyError for a table that is not made."""
    put: Callable[[re.Match[str]], str] = lambda found: f"{found[1]}{made[found['name']]}{found[3]}"  # noqa: E731
    return _TABLE.sub(put, text)


def main() -> int:
    """Write the paper's tables, or check them; return the exit code."""
    parser = argparse.ArgumentParser(prog="bench.drain", description="Make the tables of docs/scaling.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a table is out of date")
    options = parser.parse_args()
    text = PAPER.read_text(encoding="utf-8")
    made = tables(load_settings({"stage": STAGE}))
    filled = fill(text, made)
    for table in made.values():
        print(table)
    if options.check:
        return int(filled != text)
    PAPER.write_text(filled, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
