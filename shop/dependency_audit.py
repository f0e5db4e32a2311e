"""Looks for known vulnerabilities in every package that a lock file pins: pip-audit for Python's, npm audit for Node's.

`python -m shop.dependency_audit` ends with 0 where there are none, 1 where there are some, 2 where the list of what to
pass over is wrong, and 3 where the data could not be had for all: not to have looked is not to have found nothing.
(make makes 2 of all of these, so automation calls the module.) What is known and cannot be mended yet is in
pyproject.toml, with a reason and a last day. A package that only another system or Python version would install is
looked up there.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from shop.errors import ShopError
from shop.local import tools

NOTHING_FOUND, FOUND, WRONG_SETTING, NOT_LOOKED = 0, 1, 2, 3
_TIMEOUT_SECONDS = 600
_FIELDS = {"id": str, "package": str, "reason": str, "until": date}


@dataclass(frozen=True)
class Finding:
    """One known vulnerability of one pinned package."""

    package: str
    version: str
    """The pinned version, or the range of versions that have it."""
    ids: tuple[str, ...]
    """Its identifiers in the databases (PYSEC, GHSA, CVE); the first is the one to show."""
    fixed_in: str
    """The versions without it; empty where there is none."""


@dataclass(frozen=True)
class Looked:
    """What looking packages up gave."""

    findings: tuple[Finding, ...] = ()
    problem: str | None = None
    """Why not everything was looked up, in one line; None where everything was."""


@dataclass(frozen=True)
class Ignored:
    """A vulnerability that is passed over until the end of a day."""

    id: str
    package: str
    reason: str
    until: date


def read_ignored(text: str) -> list[Ignored]:
    """The entries of `[[tool.dependency-audit.ignored]]` in the text of a pyproject.toml.

    Raises ShopError with one line that names the entry and what is wrong with it.
    """
    entries = tomllib.loads(text).get("tool", {}).get("dependency-audit", {}).get("ignored", [])
    return [_ignored(entry) for entry in entries]


def _ignored(entry: dict[str, Any]) -> Ignored:
    for name, kind in _FIELDS.items():
        # A date and time is a date to Python, but no day.
        if type(entry.get(name)) is not kind or not entry[name]:
            raise ShopError(f"pyproject.toml: ignored vulnerability {entry}: {name} is not a {kind.__name__}")
    if unknown := entry.keys() - _FIELDS:
        raise ShopError(f"pyproject.toml: ignored vulnerability {entry}: unknown {', '.join(sorted(unknown))}")
    return Ignored(**entry)


def lock_files(root: Path = tools.ROOT) -> list[Path]:
    """All lock files of Python packages, the functions' included."""
    return [*sorted(root.glob("requirements*.txt")), *sorted((root / "lambdas").glob("*/requirements.txt"))]


def look_up_python(locks: Iterable[Path]) -> Looked:
    """What pip-audit knows of what the lock files pin."""
    try:
        python = tools.set_up_audit(_say)
    except tools.SetUpError as error:
        return Looked(problem=f"pip-audit: {error}")
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
    # A file at a time: pip-audit refuses two versions of one package, which the emulator's environment may well have.
    command = [str(python), "-m", "pip_audit", *options, "--requirement"]
    return read_pip_audit([_output([*command, str(lock)]) for lock in locks])


def read_pip_audit(answers: Iterable[tuple[str, str]]) -> Looked:
    """Reads what pip-audit printed, and its errors: its exit code is 0 even where it could look nothing up."""
    findings: dict[Finding, None] = {}
    packages: set[str] = set()
    skipped: dict[str, str] = {}
    for answer, errors in answers:
        found = _object(answer).get("dependencies")
        if not isinstance(found, list):
            return Looked(tuple(findings), f"pip-audit: {_last_line(errors)}")
        packages |= {each["name"] for each in found}
        skipped |= {each["name"]: each["skip_reason"] for each in found if "skip_reason" in each}
        findings |= dict.fromkeys(finding for each in found for finding in _python_findings(each))
    if not skipped:
        return Looked(tuple(findings))
    first = next(iter(skipped.values()))
    return Looked(tuple(findings), f"pip-audit: {len(skipped)} of {len(packages)} packages; the first: {first}")


def _python_findings(dependency: dict[str, Any]) -> Iterator[Finding]:
    for about in dependency.get("vulns", []):
        ids = (about["id"], *about.get("aliases", []))
        yield Finding(dependency["name"], dependency["version"], ids, ", ".join(about["fix_versions"]))


def look_up_node() -> Looked:
    """What npm audit knows of what package-lock.json pins."""
    environment = {**os.environ, "PATH": tools.node_path(os.environ.get("PATH", "")), "NODE_USE_SYSTEM_CA": "1"}
    return read_npm_audit(*_output([*tools.npm_command(), "audit", "--json", "--package-lock-only"], environment))


def read_npm_audit(answer: str, errors: str) -> Looked:
    """Reads what npm audit printed (npm's documentation, "npm audit", report version 2)."""
    report = _object(answer)
    found = report.get("vulnerabilities")
    if not isinstance(found, dict):
        return Looked(problem=f"npm audit: {report.get('message') or _last_line(errors)}")
    advisories = (
        (package, advisory)
        for package, about in found.items()
        for advisory in about["via"]
        if isinstance(advisory, dict)  # else the name of another package in the report
    )
    return Looked(
        tuple(
            Finding(package, advisory["range"], (advisory["url"].rpartition("/")[2],), "")
            for package, advisory in advisories
        )
    )


def judge(looked: Sequence[Looked], ignored: Sequence[Ignored], today: date) -> tuple[list[str], int]:
    """The lines to print and the exit code."""
    findings = [finding for each in looked for finding in each.findings]
    problems = [each.problem for each in looked if each.problem]
    lines, code = [], NOTHING_FOUND
    for finding in findings:
        entry = next((each for each in ignored if _is_about(each, finding)), None)
        is_passed_over = entry is not None and today <= entry.until
        lines.append(_line(finding, entry, is_passed_over=is_passed_over))
        code = code if is_passed_over else FOUND
    lines += [f"could not check: {problem}" for problem in problems]
    if not problems:
        gone = (each for each in ignored if not any(_is_about(each, finding) for finding in findings))
        lines += [f"pyproject.toml: ignored vulnerability {each.id} is found no more; remove it" for each in gone]
    return lines, NOT_LOOKED if problems and code == NOTHING_FOUND else code


def _is_about(entry: Ignored, finding: Finding) -> bool:
    return entry.package == finding.package and entry.id in finding.ids


def _line(finding: Finding, entry: Ignored | None, *, is_passed_over: bool) -> str:
    mended = f"fixed in {finding.fixed_in}" if finding.fixed_in else "no fixed version known"
    line = f"{finding.package} {finding.version}: {' '.join(finding.ids)}: {mended}"
    if not entry:
        return line
    return f"{line}; {'ignored' if is_passed_over else 'was ignored'} until {entry.until}: {entry.reason}"


def _output(command: Sequence[str], environment: dict[str, str] | None = None) -> tuple[str, str]:
    """What the command printed, and its errors; both exit with 1 for a finding and for a failure alike."""
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, cwd=tools.ROOT, env=environment,
            timeout=_TIMEOUT_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    return done.stdout, done.stderr


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it printed nothing"])[-1]


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - a command's progress


def main() -> int:
    """Looks everything up, prints what was found, and returns the exit code."""
    try:
        ignored = read_ignored((tools.ROOT / "pyproject.toml").read_text())
    except (ShopError, tomllib.TOMLDecodeError) as error:
        _say(f"error: {error}")
        return WRONG_SETTING
    looked = [look_up_python(lock_files()), look_up_node()]
    lines, code = judge(looked, ignored, datetime.now(UTC).date())
    for line in lines or ["no known vulnerabilities"]:
        print(line)  # noqa: T201 - a command's answer
    return code


if __name__ == "__main__":
    sys.exit(main())
