"""The benchmarks' arithmetic is right, and the page about performance is what the kept figures make of it."""

import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from bench import harness, page
from bench.harness import Row, Sample, Table


def test_a_sample_has_a_median_and_an_interquartile_range() -> None:
    sample = Sample((5.0, 1.0, 2.0, 4.0, 100.0))
    assert (sample.median, sample.spread) == (4.0, 3.0)
    assert Sample((7.0,)).spread == 0.0
    assert sample.times(1_000).median == 4_000.0


def test_readings_are_taken_in_turn_and_the_first_do_not_count() -> None:
    order: list[str] = []

    def reading(name: str) -> Callable[[], float]:
        def read() -> float:
            order.append(name)
            return float(len(order))

        return read

    taken = harness.interleave({name: reading(name) for name in ("ours", "lab")}, repeat=2)
    assert order == ["ours", "lab"] * 3
    assert taken == {"ours": Sample((3.0, 5.0)), "lab": Sample((4.0, 6.0))}


def test_a_ratio_is_the_subject_s_part_of_the_baseline() -> None:
    assert harness.row("half", Sample((5.0,)), Sample((10.0,)), "µs") == Row("half", 5.0, 0.0, "µs", 0.5)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.000389, "0.00039"),
        (0.0154, "0.015"),
        (0.124, "0.124"),
        (0.9999, "1.000"),
        (1.0, "1.00"),
        (4.534, "4.53"),
        (25.34, "25.3"),
        (253.4, "253"),
        (1000.0, "1,000"),
        (11401, "11,401"),
    ],
)
def test_numbers_have_two_or_three_digits_that_count(value: float, text: str) -> None:
    assert harness.number(value) == text


def test_what_is_handed_in_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("Recording", "one a transaction", (Row("ten", 2.0, 0.5, "s", 0.25),), ("A note.",))
    monkeypatch.setattr(page, "MEASURED", tmp_path)
    harness.hand_in("router_import", [table], tmp_path / "router_import.json")
    results = page.read_results()
    assert list(results) == ["router_import"]
    assert harness.markdown(table) in page.page(results)


def test_what_the_page_says_first_is_the_ratio_of_a_row_or_the_least_and_greatest_of_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [Row("ours, a", 1.0, 0.0, "s", 0.25), Row("lab", 4.0, 0.0, "s", 1.0), Row("ours, b", 2.0, 0.0, "s", 0.5)]
    tables = [asdict(Table("Other", "lab", ())), asdict(Table("Starts", "lab", rows))]
    result = {"tables": tables, "taken_at": "2026-11-22", "machine": "one"}
    wanted = [("a", "cold_start", "Starts", "ours, a"), ("both", "cold_start", "Starts", "ours, .")]
    monkeypatch.setattr(page, "_IN_SHORT", [*wanted, ("none", "images", "Starts", "ours")])
    lines = page.page({"cold_start": result}).splitlines()
    assert "| a | 0.250 |" in lines
    assert "| both | 0.250 to 0.500 |" in lines
    assert not [line for line in lines if line.startswith("| none")]


def test_the_page_is_made_of_the_kept_figures() -> None:
    results = page.read_results()
    assert page.PAGE.read_text(encoding="utf-8") == page.page(results)
    for file, drawing in page.charts(results).items():
        assert file.read_text(encoding="utf-8") == drawing


def test_every_benchmark_of_the_page_is_there() -> None:
    assert [name for name in page.NAMES if importlib.util.find_spec(f"bench.{name}") is None] == []


def test_kept_figures_name_their_benchmark() -> None:
    results = page.read_results()
    assert {name: result["name"] for name, result in results.items()} == {name: name for name in results}
    assert "cold_start" in results
