"""The audit of dependencies: what the tools' answers mean, and that not to have looked is not to have found nothing."""

import json
from datetime import date
from pathlib import Path

import pytest

from shop import dependency_audit
from shop.dependency_audit import (
    FOUND,
    NOT_LOOKED,
    NOTHING_FOUND,
    WRONG_SETTING,
    Finding,
    Ignored,
    Looked,
    judge,
    look_up_python,
    read_ignored,
    read_npm_audit,
    read_pip_audit,
)
from shop.errors import ShopError
from shop.local import tools

TODAY = date(2026, 11, 21)
FINDING = Finding("pillow", "13.0.0", ("PYSEC-2026-1", "CVE-2026-1"), "13.0.1")
CLEAN = {"name": "six", "version": "1.17.0", "vulns": []}
SKIPPED = {"name": "pillow", "skip_reason": "Dependency not found on PyPI and could not be audited: pillow (13.0.0)"}
VULNERABLE = {
    "name": "pillow",
    "version": "13.0.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["13.0.1"], "aliases": ["CVE-2026-1"], "description": "…"}],
}
NO_MORE = "pyproject.toml: ignored vulnerability GHSA-1 is found no more; remove it"


def pip_audit(*dependencies: object) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def ignored(until: date, identifier: str = "CVE-2026-1", package: str = "pillow") -> Ignored:
    return Ignored(identifier, package, "not reached by what we decode", until)


def test_pip_audits_findings_are_read_with_all_their_names() -> None:
    assert read_pip_audit([(pip_audit(VULNERABLE), ""), (pip_audit(CLEAN, VULNERABLE), "")]) == Looked((FINDING,))


def test_what_pip_audit_skipped_was_not_looked_up_though_it_calls_that_success() -> None:
    looked = read_pip_audit([(pip_audit(CLEAN, SKIPPED), "No known vulnerabilities found")] * 2)
    assert looked.problem == f"pip-audit: 1 of 2 packages; the first: {SKIPPED['skip_reason']}"


def test_a_pip_audit_that_broke_off_is_told_by_its_last_line() -> None:
    looked = read_pip_audit([(pip_audit(VULNERABLE), ""), ("", "Traceback:\n  …\nConnectionError: no route\n")])
    assert looked == Looked((FINDING,), "pip-audit: ConnectionError: no route")


def test_npms_advisories_are_read_once_and_what_depends_on_them_is_not() -> None:
    advisory = {"source": 1, "name": "tar", "title": "…", "url": "https://github.com/advisories/GHSA-1", "range": "<7"}
    about = {"tar": {"via": [advisory]}, "aws-cdk": {"via": ["tar"]}}
    looked = read_npm_audit(json.dumps({"auditReportVersion": 2, "vulnerabilities": about}), "")
    assert looked == Looked((Finding("tar", "<7", ("GHSA-1",), ""),))


@pytest.mark.parametrize(
    ("answer", "errors", "reason"),
    [
        ('{"message": "405 Method Not Allowed", "statusCode": 405}', "npm error", "405 Method Not Allowed"),
        ("", "npm error audit endpoint returned an error\n", "npm error audit endpoint returned an error"),
        ("", "", "it printed nothing"),
    ],
)
def test_an_npm_audit_without_data_is_told(answer: str, errors: str, reason: str) -> None:
    assert read_npm_audit(answer, errors) == Looked(problem=f"npm audit: {reason}")


@pytest.mark.parametrize(
    ("looked", "expected"),
    [
        ([Looked(), Looked()], NOTHING_FOUND),
        ([Looked((FINDING,)), Looked()], FOUND),
        ([Looked(), Looked(problem="npm audit: 405")], NOT_LOOKED),
        ([Looked((FINDING,), "pip-audit: 1 of 2"), Looked()], FOUND),
    ],
)
def test_the_exit_code_tells_found_from_not_looked(looked: list[Looked], expected: int) -> None:
    lines, code = judge(looked, [], TODAY)
    assert code == expected
    assert len(lines) == sum(len(each.findings) + bool(each.problem) for each in looked)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ignored(TODAY), NOTHING_FOUND),
        (ignored(date(2026, 11, 20)), FOUND),
        (ignored(TODAY, "CVE-2026-2"), FOUND),
        (ignored(TODAY, package="six"), FOUND),
    ],
)
def test_what_is_ignored_is_shown_and_counts_again_after_its_day(entry: Ignored, expected: int) -> None:
    lines, code = judge([Looked((FINDING,))], [entry], TODAY)
    assert code == expected
    assert lines[0].startswith("pillow 13.0.0: PYSEC-2026-1 CVE-2026-1: fixed in 13.0.1")


@pytest.mark.parametrize(("looked", "is_said"), [(Looked(), True), (Looked(problem="pip-audit: …"), False)])
def test_an_entry_of_no_use_is_named_once_everything_was_looked_up(looked: Looked, is_said: bool) -> None:
    lines, _ = judge([looked], [ignored(TODAY, "GHSA-1")], TODAY)
    assert (NO_MORE in lines) is is_said


def entry(**changes: str) -> str:
    fields = {"id": '"CVE-2026-1"', "package": '"pillow"', "reason": '"unused"', "until": "2026-12-31"} | changes
    lines = "\n".join(f"{name} = {value}" for name, value in fields.items())
    return f"[[tool.dependency-audit.ignored]]\n{lines}\n"


def test_ignored_vulnerabilities_are_read() -> None:
    assert read_ignored(entry()) == [Ignored("CVE-2026-1", "pillow", "unused", date(2026, 12, 31))]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"reason": '""'}, "reason"),
        ({"until": '"2026-12-31"'}, "until"),
        ({"until": "2026-12-31T00:00:00Z"}, "until"),
        ({"untill": "2026-12-31"}, "untill"),
    ],
)
def test_an_entry_without_reason_or_day_is_refused(changes: dict[str, str], named: str) -> None:
    with pytest.raises(ShopError, match=rf"CVE-2026-1.*: (unknown )?{named}"):
        read_ignored(entry(**changes))


def test_the_projects_own_entries_are_in_order() -> None:
    read_ignored((tools.ROOT / "pyproject.toml").read_text())


def test_without_the_tool_nothing_was_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_say: object) -> Path:
        raise tools.SetUpError("exit code 2 from: uv pip install")

    monkeypatch.setattr(tools, "set_up_audit", fail)
    assert look_up_python([]) == Looked(problem="pip-audit: exit code 2 from: uv pip install")


def test_every_lock_is_looked_up_by_the_tools_as_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs in place of pip-audit and npm note how they were called, and answer."""
    program = tmp_path / "tool"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho \'{{"dependencies": []}}\'\n')
    program.chmod(0o755)
    monkeypatch.setattr(tools, "set_up_audit", lambda _say: program)
    monkeypatch.setattr(tools, "npm_command", lambda: [str(program), "npm"])
    assert dependency_audit.main() == NOT_LOOKED  # npm's answer has no vulnerabilities, not even none
    *pip_calls, npm_call = (tmp_path / "calls").read_text().splitlines()
    looked_up = {Path(call[call.rindex(str(tools.ROOT)) :]) for call in pip_calls}  # whose path may have spaces
    locks = {tools.ROOT / "requirements.txt", tools.ROOT / "lambdas" / "image_resizer" / "requirements.txt"}
    assert locks < looked_up
    assert npm_call == "npm audit --json --package-lock-only"
    assert capsys.readouterr().out == "could not check: npm audit: it printed nothing\n"


def test_a_wrong_entry_ends_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text(entry(reason='""'))
    monkeypatch.setattr(tools, "ROOT", tmp_path)
    assert dependency_audit.main() == WRONG_SETTING
    assert "CVE-2026-1" in capsys.readouterr().err
