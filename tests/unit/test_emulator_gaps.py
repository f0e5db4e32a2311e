"""The table of the emulator's gaps, its page, the mends and what is named in the table agree."""

import ast
from pathlib import Path

import pytest

from tests.emulator_gaps import BEGIN, END, GAPS, PAGE, Gap, table, with_table
from tests.integration.gap_probes import PROBES

_ROOT = Path(__file__).parents[2]


def _functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def _applied() -> set[str]:
    """The places of all that `mends.apply` calls but the log of decisions, which changes nothing."""
    folder = _ROOT / "shop" / "local"
    tree = ast.parse((folder / "mends.py").read_text())
    apply = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "apply")
    calls = [node.func for node in ast.walk(apply) if isinstance(node, ast.Call)]
    own = {f"shop/local/mends.py::{call.id}" for call in calls if isinstance(call, ast.Name)}
    others = {
        f"shop/local/{call.value.id}.py::{call.attr}"
        for call in calls
        if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name)
    }
    return (own | others) - {"shop/local/permissions_log.py::mend"}


def test_the_page_has_the_table_as_it_is() -> None:
    page = PAGE.read_text()
    assert with_table(page) == page, "run make emulator-gaps"


def test_the_table_replaces_the_one_before_and_nothing_else() -> None:
    assert with_table(f"before\n{BEGIN}\nold\n{END}\nafter\n") == f"before\n{BEGIN}\n\n{table()}\n{END}\nafter\n"


@pytest.mark.parametrize("page", ["", f"{BEGIN}\n", f"{END}\n", f"{END}\n{BEGIN}\n"])
def test_a_page_without_a_place_for_the_table_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="no place for the table"):
        with_table(page)


def test_each_service_has_one_section() -> None:
    headings = [line for line in table().splitlines() if line.startswith("### ")]
    assert len(headings) == len({gap.service for gap in GAPS})


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.key)
def test_what_is_named_exists(gap: Gap) -> None:
    for place in (*gap.stands_in, *([gap.mend] if gap.mend else [])):
        path, _, name = place.partition("::")
        assert name in _functions(_ROOT / path), place


@pytest.mark.parametrize("gap", GAPS, ids=lambda gap: gap.key)
def test_each_gap_is_mended_or_shown_otherwise(gap: Gap) -> None:
    assert gap.mend or gap.stands_in
    assert gap.stands_in or not gap.not_probed, "a mend that nothing probes has a test that shows it"


def test_each_gap_has_a_probe_or_says_why_not() -> None:
    assert sorted(gap.key for gap in GAPS if not gap.not_probed) == sorted(PROBES)
    assert len({gap.key for gap in GAPS}) == len(GAPS)


def test_every_mend_is_in_the_table() -> None:
    assert _applied()
    assert _applied() <= {gap.mend for gap in GAPS}
