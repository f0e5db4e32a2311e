"""The lock files: everything exact and hashed, made from what asks for it, and in the packages as it stands there."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stacks.constructs import packages

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*sorted(ROOT.glob("requirements*.in")), *sorted((ROOT / "lambdas").glob("*/requirements.in"))]
LOCKS = [*sorted(ROOT.glob("requirements*.txt")), *sorted((ROOT / "lambdas").glob("*/requirements.txt"))]
WITH_REQUIREMENTS = [path.parent.name for path in LOCKS if path.parent != ROOT]
ENTRY = re.compile(r"^([a-z0-9][a-z0-9-]*)==([\w.+!]+)(?: ; [^\\\n]+?)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def entries(lock: Path) -> list[str]:
    """The lock file's entries, each with its hashes and without the notes of who needs it."""
    text = re.sub(r"^ *#.*\n?", "", lock.read_text(), flags=re.MULTILINE)
    return re.split(r"\n(?=\S)", text.strip())


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions by package: two where they depend on the Python version."""
    found: dict[str, set[str]] = {}
    for entry in entries(lock):
        package, version = entry.split()[0].split("==")
        found.setdefault(package, set()).add(version)
    return found


def roots(source: Path) -> dict[str, Requirement]:
    """What a file of requirements asks for itself."""
    lines = (line.partition("#")[0].strip() for line in source.read_text().splitlines())
    asked = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(each.name): each for each in asked}


def roots_noted(lock: Path, source: Path) -> set[str]:
    """The packages of which the lock file notes that this file asks for them."""
    found, package = set(), ""
    for line in lock.read_text().splitlines():
        package = line.split("==")[0] if line[:1].isalnum() else package
        if line.endswith(f"-r {name(source)}"):
            found.add(package)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=name)
def test_every_entry_is_one_version_with_hashes(lock: Path) -> None:
    assert [entry for entry in entries(lock) if not ENTRY.match(entry)] == []


@pytest.mark.parametrize("entry", ["tool", "tool>=1.0", "tool==1.*", "tool==1.0", "tool==1.0 \\\n    --hash=md5:00"])
def test_the_check_refuses_what_is_not_exact_or_not_hashed(entry: str) -> None:
    assert not ENTRY.match(entry)


def test_every_lock_has_what_it_is_made_from_and_the_other_way_round() -> None:
    assert {path.with_suffix("") for path in LOCKS} == {path.with_suffix("") for path in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_a_lock_answers_what_is_asked_for(source: Path) -> None:
    lock = source.with_suffix(".txt")
    assert roots_noted(lock, source) == set(roots(source)), "make lock resolves anew"
    for package, asked in roots(source).items():
        assert all(asked.specifier.contains(version) for version in pins(lock)[package]), asked


def test_benchmarks_change_no_version_of_the_environment_they_are_installed_into() -> None:
    there = {**pins(ROOT / "requirements-dev.txt"), **pins(ROOT / "requirements.txt")}
    added = pins(ROOT / "requirements-bench.txt")
    assert {name for name in added if there.get(name, added[name]) != added[name]} == set()


def test_what_builds_is_locked() -> None:
    """Of pyvips 3.2.0, whose pyproject.toml asks for these; another version may ask for more, and its build says so."""
    assert pins(ROOT / "requirements-bench.txt")["pyvips"] == {"3.2.0"}
    assert pins(ROOT / "requirements-bench-build.txt").keys() >= {"cffi", "pkgconfig", "setuptools"}


@pytest.mark.parametrize("function", WITH_REQUIREMENTS)
def test_a_function_has_the_versions_that_it_is_tested_with(function: str) -> None:
    tested = {**pins(ROOT / "requirements-dev.txt"), **pins(ROOT / "requirements.txt")}
    shipped = pins(packages.LAMBDAS / function / "requirements.txt")
    assert shipped == {package: tested[package] for package in shipped}


@pytest.mark.parametrize("function", packages.functions())
def test_a_functions_package_holds_what_its_lock_says(function: str) -> None:
    """Set-up has built it, so this needs no network."""
    lock = packages.LAMBDAS / function / "requirements.txt"
    built = packages.build(function, packages.aws_target())
    found = (path.name.removesuffix(".dist-info").split("-") for path in built.folder.glob("*.dist-info"))
    packed = {canonicalize_name(package): {version} for package, version in found}
    assert packed == (pins(lock) if lock.is_file() else {})
