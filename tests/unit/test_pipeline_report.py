"""The load test's figures are those of what was seen, and what went wrong fails the run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import pipeline_report
from bench.pipeline_report import make_results, percentile
from bench.pipeline_watch import Answer, AnswerFile, Observations, Sample
from shop.audit import Audit, Place, Totals


def answer(number: int, phase: str = "steady", status: int | None = 202, *, sent_at: float = 100.0) -> Answer:
    refusal = None if status == 202 else "no"
    return Answer(f"A-{number}", status, refusal, phase, sent_at, sent_at + 0.05)


def sample(at: float, cpu: float = 0.0, waiting: int = 0, dead: int = 0) -> Sample:
    return Sample(at, waiting, 1, dead, accepted=0, announced=0, processors={"emulator": cpu})


def audited(places: dict[str, Place]) -> Audit:
    counts = [list(places.values()).count(place) for place in ("stored", "dead-lettered", "in queue or unknown")]
    unknown, refused = (list(places.values()).count(place) for place in ("unknown", "refused"))
    stored, dead, queued = counts
    totals = Totals(stored, dead, 0, queued)
    return Audit(len(places) - refused, stored, dead, queued, unknown, refused, 0, 0, places, totals)


def all_stored(answers: Sequence[Answer]) -> Audit:
    return audited({each.orderID: "stored" if each.refusal is None else "refused" for each in answers})


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [([], 50, None), ([7.0], 99, 7.0), ([1.0, 2.0, 3.0, 4.0], 50, 2.0), ([1.0, 2.0, 3.0, 4.0], 99, 4.0)],
)
def test_percentiles_are_of_the_nearest_rank(values: list[float], part: int, expected: float | None) -> None:
    assert percentile(values, part) == expected


def test_figures_of_a_run_that_went_well() -> None:
    answers = [
        answer(1),
        answer(2, sent_at=102.0),
        answer(3, "spike", sent_at=103.0),
        answer(4, "spike", 429, sent_at=104.0),
    ]
    announced = {"A-1": 100.2, "A-2": 102.4, "A-3": 110.0}
    samples = [sample(99.0), sample(100.5, cpu=1.0, waiting=7), sample(102.5, cpu=4.0), sample(111.0, cpu=9.0)]
    seen = Observations(answers, {"A-1": 100.1}, announced, 1, samples)
    results = make_results(seen, all_stored(answers))
    steady, spike = results.phases
    assert (steady.sent, steady.accepted, steady.throttled, steady.failed) == (2, 2, 0, 0)
    assert (spike.sent, spike.accepted, spike.throttled, spike.failed) == (2, 1, 1, 0)
    assert steady.accepted_per_second == 1.0
    assert (steady.announced.p50_ms, steady.announced.longest_ms) == (200.0, 400.0)
    assert (steady.stored.measured, steady.stored.p50_ms) == (1, 100.0)
    assert spike.stored.p50_ms is None
    assert (results.drain_seconds, results.deepest_backlog, results.announced_again) == (7.0, 8, 1)
    assert results.processors == {"emulator": 1.5}
    assert results.problems == []
    assert pipeline_report.verdict_line(results) == (
        "3 accepted = 3 stored + 0 dead-lettered + 0 in queue or unknown; 0 unknown"
    )


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("unknown", "1 accepted orders are nowhere"),
        ("in queue or unknown", "1 orders were still on their way when the test gave up waiting"),
        ("stored", "1 accepted orders were not announced"),
    ],
)
def test_an_order_that_did_not_arrive_fails_the_run(place: Place, problem: str) -> None:
    answers = [answer(1), answer(2)]
    seen = Observations(answers, {}, {"A-1": 101.0}, 0, [sample(100.0)])
    results = make_results(seen, audited({"A-1": "stored", "A-2": place}))
    assert problem in results.problems
    assert (results.drain_seconds, results.not_announced) == (None, 1)


def test_a_dead_letter_needs_no_announcement() -> None:
    seen = Observations([answer(1), answer(2)], {}, {"A-1": 101.0}, 0, [sample(100.0)])
    assert make_results(seen, audited({"A-1": "stored", "A-2": "dead-lettered"})).problems == []


@pytest.mark.parametrize("status", [500, 403, None])
def test_a_request_that_failed_fails_the_run(status: int | None) -> None:
    answers = [answer(1), answer(2, status=status)]
    results = make_results(Observations(answers, {}, {"A-1": 101.0}), all_stored(answers))
    assert results.problems == ["1 requests failed for another reason than throttling"]


def test_a_run_without_any_order_fails() -> None:
    assert make_results(Observations(), audited({})).problems == ["no order was accepted"]


def test_the_page_has_the_figures_and_the_charts_and_loads_nothing() -> None:
    answers = [answer(1), answer(2, sent_at=101.5)]
    samples = [replace(sample(100.0 + second), accepted=second, announced=second) for second in range(3)]
    seen = Observations(answers, {"A-1": 100.1}, {"A-1": 100.3, "A-2": 101.9}, 0, samples)
    page = pipeline_report.html("Load <test>", make_results(seen, all_stored(answers)), seen, 2)
    assert page == pipeline_report.html("Load <test>", make_results(seen, all_stored(answers)), seen, 2)
    assert "<h1>Load &lt;test&gt;</h1>" in page
    for title in ("Backlog over time", "Throughput over time", "Request to announcement"):
        assert title in page
    assert "<script" not in page
    assert "src=" not in page
    charts = page.split("<figure>")[1:]
    assert len(charts) == 3
    for chart in charts:
        assert ET.fromstring(chart.split("</figure>")[0]).tag.endswith("svg")  # noqa: S314 (our own chart)


def test_answers_are_read_once_each_and_only_when_whole(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    answers = AnswerFile(file)
    assert answers.new() == []
    line = '{"orderID": "A-1", "status": 202, "refusal": null, "phase": "steady", "sent_at": 1, "answered_at": 2}\n'
    file.write_text(line + line[:20])
    assert [each.orderID for each in answers.new()] == ["A-1"]
    assert answers.new() == []
    with file.open("a") as stream:
        stream.write(line[20:])
    assert len(answers.new()) == 1
