"""The table of faults, the runbook and the tests agree."""

import ast
import re
from pathlib import Path

import pytest

from tests.faults import FAULTS, HEADING, RUNBOOK, Fault, section, with_section

_TESTS = Path(__file__).parents[1]
_FAULT_TESTS = "integration/test_faults.py"
_OF_THE_PROXY = "test_the_proxy_speaks_each_services_own_errors"


def _functions(path: str) -> set[str]:
    tree = ast.parse((_TESTS / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def _anchors(markdown: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_runbook_has_the_table_as_it_is() -> None:
    runbook = RUNBOOK.read_text()
    assert runbook.count(f"\n{HEADING}\n") == 1
    assert with_section(runbook) == runbook, "run make faults"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_named_test_exists(fault: Fault) -> None:
    assert fault.tests
    for test in fault.tests:
        path, _, name = test.partition("::")
        assert name in _functions(path), test


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_entry_that_is_linked_exists(fault: Fault) -> None:
    links = re.findall(r"\(#([^)]+)\)", fault.do)
    assert set(links) <= _anchors(RUNBOOK.read_text())


def test_every_fault_test_is_in_the_table() -> None:
    named = {test.partition("::")[2] for fault in FAULTS for test in fault.tests}
    assert _functions(_FAULT_TESTS) - named == {_OF_THE_PROXY}


def test_the_section_replaces_the_one_before_and_nothing_else() -> None:
    before = f"# Runbook\n\nText.\n\n{HEADING}\n\nold\n\n## Next\n\nmore\n"
    assert with_section(before) == f"# Runbook\n\nText.\n\n{section()}\n## Next\n\nmore\n"
    assert with_section(with_section(before)) == with_section(before)
    assert with_section("# Runbook\n") == f"# Runbook\n\n{section()}"
