"""The report of a pipeline's load test: figures from what was seen, and one HTML file with charts in it."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from http import HTTPStatus
from itertools import pairwise
from typing import Any, Final

import pygal  # type: ignore[import-untyped]
from pygal.style import CleanStyle  # type: ignore[import-untyped]

from bench import svg
from bench.pipeline_watch import Answer, Observations, Sample
from shop.audit import Audit

_COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")
_NOTHING: Final = "-"


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the request's start; None where nothing was measured."""

    measured: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    longest_ms: float | None


@dataclass(frozen=True)
class Phase:
    """What came of the orders that were sent in one phase."""

    name: str
    sent: int
    accepted: int
    throttled: int
    """Answered 429: the stage's own limit at work."""
    failed: int
    """Refused otherwise, or not answered."""
    accepted_per_second: float
    answered: Latency
    stored: Latency
    """Of a sample."""
    announced: Latency


@dataclass(frozen=True)
class Results:
    """A load test's results."""

    phases: list[Phase]
    drain_seconds: float | None
    """From the last accepted order to the last announcement; None where something was not announced."""
    deepest_backlog: int
    announced_again: int
    not_announced: int
    """Accepted, not dead-lettered and not announced when the test gave up waiting."""
    processors: dict[str, float]
    """How many processors were busy on average while orders were sent, by who kept them busy."""
    verdict: dict[str, int]
    problems: list[str]
    """Why the run failed; empty when it went well."""


def percentile(values: Sequence[float], part: int) -> float | None:
    """Return the smallest value that `part` per cent of `values`, sorted, do not exceed (nearest rank)."""
    if not values:
        return None
    return values[max(1, math.ceil(len(values) * part / 100)) - 1]


def latency(answers: Iterable[Answer], ended_at: Callable[[Answer], float | None]) -> Latency:
    """Return how long it took from sending to what `ended_at` says, of those answers for which it knows."""
    ends = ((answer, ended_at(answer)) for answer in answers)
    values = sorted(round((end - answer.sent_at) * 1000, 1) for answer, end in ends if end is not None)
    p50, p95, p99 = (percentile(values, part) for part in (50, 95, 99))
    return Latency(len(values), p50, p95, p99, values[-1] if values else None)


def make_phase(name: str, answers: Sequence[Answer], seen: Observations) -> Phase:
    """Return the figures of one phase's answers."""
    accepted = [answer for answer in answers if answer.refusal is None]
    throttled = sum(answer.status == HTTPStatus.TOO_MANY_REQUESTS for answer in answers)
    return Phase(
        name=name,
        sent=len(answers),
        accepted=len(accepted),
        throttled=throttled,
        failed=len(answers) - len(accepted) - throttled,
        accepted_per_second=round(len(accepted) / _length(answers), 1),
        answered=latency(accepted, lambda answer: answer.answered_at),
        stored=latency(accepted, lambda answer: seen.stored_at.get(answer.orderID)),
        announced=latency(accepted, lambda answer: seen.announced_at.get(answer.orderID)),
    )


def _length(answers: Sequence[Answer]) -> float:
    """Seconds from the first request to the last answer; a second where there is less to go by."""
    if not answers:
        return 1.0
    return max(1.0, max(a.answered_at for a in answers) - min(a.sent_at for a in answers))


def make_results(seen: Observations, audited: Audit) -> Results:
    """Return the results of a test whose orders, and no others, were audited."""
    names = dict.fromkeys(answer.phase for answer in seen.answers)
    phases = [make_phase(name, [a for a in seen.answers if a.phase == name], seen) for name in names]
    accepted = seen.accepted()
    # An order whose announcement came is counted as announced even if a copy of it is a dead letter.
    missing = sum(
        audited.places.get(answer.orderID) != "dead-lettered" and answer.orderID not in seen.announced_at
        for answer in accepted
    )
    verdict = {
        "accepted": audited.accepted or 0,
        "stored": audited.stored,
        "dead-lettered": audited.dead,
        "in queue or unknown": audited.queued,
        "unknown": audited.unknown,
    }
    last = max(seen.announced_at.values(), default=None)
    drained = last is not None and not missing
    return Results(
        phases=phases,
        drain_seconds=round(max(0.0, last - max(a.answered_at for a in accepted)), 1) if drained and last else None,
        deepest_backlog=max((sample.waiting + sample.in_flight for sample in seen.samples), default=0),
        announced_again=seen.announced_again,
        not_announced=missing,
        processors=_busy(seen),
        verdict=verdict,
        problems=_problems(phases, audited, missing),
    )


def _busy(seen: Observations) -> dict[str, float]:
    """Average number of busy processors over the samples that were taken while orders were sent."""
    if not seen.answers:
        return {}
    end = max(answer.answered_at for answer in seen.answers)
    start = min(answer.sent_at for answer in seen.answers)
    samples = [sample for sample in seen.samples if start <= sample.at <= end]
    if len(samples) < 2:  # noqa: PLR2004 (a rate needs two readings)
        return {}
    first, last = samples[0], samples[-1]
    return {
        name: round(max(0.0, used - first.processors[name]) / (last.at - first.at), 2)
        for name, used in last.processors.items()
    }


def _problems(phases: Sequence[Phase], audited: Audit, missing: int) -> list[str]:
    failed = sum(phase.failed for phase in phases)
    counts = [
        (0 if audited.accepted else 1, "no order was accepted"),
        (failed, f"{failed:,} requests failed for another reason than throttling"),
        (audited.unknown, f"{audited.unknown:,} accepted orders are nowhere"),
        (audited.queued, f"{audited.queued:,} orders were still on their way when the test gave up waiting"),
        (missing, f"{missing:,} accepted orders were not announced"),
    ]
    return [text for count, text in counts if count]


PHASE_COLUMNS: Final = (
    "phase",
    "sent#",
    "accepted#",
    "throttled#",
    "failed#",
    "accepted/s#",
    "until#",
    "p50 ms#",
    "p95 ms#",
    "p99 ms#",
    "longest ms#",
)


def phase_rows(phases: Iterable[Phase]) -> list[tuple[str, ...]]:
    """Return the table of the phases: a line each for the answer, the stored order and the announcement."""
    rows: list[tuple[str, ...]] = []
    for phase in phases:
        counts = (phase.sent, phase.accepted, phase.throttled, phase.failed)
        shown = (phase.name, *(f"{count:,}" for count in counts), f"{phase.accepted_per_second:,.1f}")
        for until in ("answered", "stored", "announced"):
            rows.append((*shown, until, *_cells(getattr(phase, until))))
            shown = ("",) * len(shown)
    return rows


def _cells(found: Latency) -> list[str]:
    values = (found.p50_ms, found.p95_ms, found.p99_ms, found.longest_ms)
    return [_NOTHING if value is None else f"{value:,.0f}" for value in values]


def verdict_line(results: Results) -> str:
    """Return the audit's verdict as one line."""
    said = results.verdict
    places = " + ".join(f"{said[place]:,} {place}" for place in ("stored", "dead-lettered", "in queue or unknown"))
    return f"{said['accepted']:,} accepted = {places}; {said['unknown']:,} unknown"


def summary_rows(results: Results, processors: int | None) -> list[tuple[str, str]]:
    """Return what is of the whole run: the drain, and who kept the processors busy."""
    drained = _NOTHING if results.drain_seconds is None else f"{results.drain_seconds:,.1f} s"
    rows = [
        ("last accepted to last announced", drained),
        ("deepest backlog of the queue", f"{results.deepest_backlog:,}"),
        ("announced more than once", f"{results.announced_again:,}"),
    ]
    of = "" if processors is None else f" of {processors}"
    rows += [(f"processors busy: {name}", f"{busy:.2f}{of}") for name, busy in results.processors.items()]
    return rows


def as_json(results: Results) -> dict[str, Any]:
    """Return the results for programs."""
    return asdict(results)


def html(title: str, results: Results, seen: Observations, processors: int | None) -> str:
    """Return the report as one HTML page that loads nothing."""
    charts = "".join(f"<figure>{chart}</figure>" for chart in _charts(seen))
    outcome = "".join(f"<li>{escape(problem)}</li>" for problem in results.problems) or "<li>nothing was lost</li>"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}'
        f"</style></head><body><h1>{escape(title)}</h1><ul>{outcome}</ul>"
        f"<p>Audit: {escape(verdict_line(results))}</p>"
        f"{_table(('of the run', ''), summary_rows(results, processors))}"
        f"{_table(PHASE_COLUMNS, phase_rows(results.phases))}"
        "<p>Times are from the start of the request, on the sender's clock. <i>stored</i> is of a sample that is "
        f"looked up ten times a second.</p>{charts}</body></html>\n"
    )


_STYLE: Final = (
    "body{font:15px sans-serif;margin:2em auto;max-width:960px}table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:left}.n{text-align:right}figure{margin:1em 0}"
)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    classes = [' class="n"' if column.endswith("#") else "" for column in columns]
    head = "".join(
        f"<th{kind}>{escape(name.removesuffix('#'))}</th>" for kind, name in zip(classes, columns, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _charts(seen: Observations) -> list[str]:
    if not seen.samples or not seen.answers:
        return []
    start = min(answer.sent_at for answer in seen.answers)
    backlog = {
        "waiting in the orders queue": [sample.waiting for sample in seen.samples],
        "in flight": [sample.in_flight for sample in seen.samples],
        "accepted, not announced": [max(0, sample.accepted - sample.announced) for sample in seen.samples],
    }
    times = [sample.at - start for sample in seen.samples]
    rates = {
        "accepted/s": _per_second(seen.samples, lambda sample: sample.accepted),
        "announced/s": _per_second(seen.samples, lambda sample: sample.announced),
    }
    ends = _end_to_end(seen, start)
    charts = [
        _chart(
            "Backlog over time", "backlog", "orders", {n: list(zip(times, v, strict=True)) for n, v in backlog.items()}
        ),
        _chart(
            "Throughput over time",
            "throughput",
            "orders/s",
            {n: list(zip(times[1:], v, strict=True)) for n, v in rates.items()},
        ),
    ]
    if ends:
        charts.append(_chart("Request to announcement, by when it was sent", "end-to-end", "ms", ends))
    return charts


def _per_second(samples: Sequence[Sample], count: Callable[[Sample], int]) -> list[float]:
    return [round((count(b) - count(a)) / max(b.at - a.at, 1e-3), 1) for a, b in pairwise(samples)]


def _end_to_end(seen: Observations, start: float) -> dict[str, list[tuple[float, float]]]:
    """Median and 99th percentile of each second's orders."""
    by_second: dict[int, list[float]] = {}
    for answer in seen.accepted():
        if answer.orderID in seen.announced_at:
            milliseconds = (seen.announced_at[answer.orderID] - answer.sent_at) * 1000
            by_second.setdefault(int(answer.sent_at - start), []).append(milliseconds)
    return {
        f"p{part}": [
            (second, round(percentile(sorted(by_second[second]), part) or 0, 1)) for second in sorted(by_second)
        ]
        for part in (50, 99)
        if by_second
    }


def _chart(title: str, name: str, unit: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    chart = pygal.XY(
        title=title,
        x_title="seconds",
        y_title=unit,
        width=900,
        height=360,
        show_dots=False,
        legend_at_bottom=True,
        legend_at_bottom_columns=len(lines),
        include_x_axis=True,
        style=CleanStyle(colors=_COLOURS),
        js=[],
    )
    for label, points in lines.items():
        chart.add(label, [(round(x, 1), y) for x, y in points])
    return svg.render(chart, name, inline=True)
