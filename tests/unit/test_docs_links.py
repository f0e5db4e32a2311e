"""Links in the documentation lead somewhere; files, settings and names of the code that it mentions are there."""

import re
from functools import cache
from pathlib import Path

import pytest

from stacks.delivery_settings import SETTINGS as OF_THE_DELIVERY
from stacks.settings import Settings
from tests.unit.test_docs_commands import FENCE, PAGES, ROOT

LINK = re.compile(
    r"""\[[^\]]*\]\(([^)\s]+)(?:\ "[^"]*")?\) | ^\[[^\]]+\]:\ (\S+) | <(?:a|img)\ [^>]*(?:href|src)="([^"]+)""",
    re.MULTILINE | re.VERBOSE,
)
"""Of text and of pictures, with a title or without, and where links of references lead, and HTML's."""
HEADING = re.compile(r"^#{1,6} +(.*?)\s*$", re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")
A_FILE = re.compile(r"[\w./-]+\.(?:py|md|sql|json|ya?ml)")
A_TEST = re.compile(r"([\w./-]+\.py)::(\w+)")
A_NAME = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
GIVEN = re.compile(r"-c ([a-z_]+)=")
MADE_OR_YOURS = re.compile(r"(?:\.local|cdk\.out|mailed|reports)/.*|(?:orders?|answers|item)\.jsonl?")
"""Files that a command or a function writes, and those of the reader."""
OF_MARIADB = {"mysql_clear_password", "wait_timeout"}


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", page)


def anchors(page: str) -> set[str]:
    """What links may name behind the `#`, as GitHub makes it of headings: those that repeat get a number."""
    found: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = base = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{base}-{number}"
        found.add(anchor)
    return found


def broken_links(page: Path) -> list[str]:
    """The links of a page that lead to no file, or to no heading of it. What is on the web is not fetched."""
    broken = []
    for link in ("".join(groups) for groups in LINK.findall(prose(page.read_text()))):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        known = target.exists() and (not anchor or (target.suffix == ".md" and anchor in anchors(target.read_text())))
        if not known:
            broken.append(link)
    return broken


@cache
def code() -> str:
    """All of the project's Python."""
    folders = ("stacks", "lambdas", "shop", "tests", "bench")
    return "\n".join(path.read_text() for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def words_of_code() -> frozenset[str]:
    """Every name and word in the project's Python and SQL."""
    migrations = [path.read_text() for path in (ROOT / "lambdas").rglob("*.sql")]
    return frozenset(re.findall(r"\w+", "\n".join([code(), *migrations])))


def unknown_spans(text: str) -> list[str]:
    """What a page names in inline code and is not there: files, tests, settings, names of the code."""
    settings = {*Settings.__struct_fields__, *OF_THE_DELIVERY}
    unknown = [f"-c {name}" for name in GIVEN.findall(text) if name not in settings]
    for span in SPAN.findall(prose(text)):
        if test := A_TEST.fullmatch(span):
            known = _exists(test[1]) and f"def {test[2]}(" in code()
        elif A_FILE.fullmatch(span):
            known = bool(MADE_OR_YOURS.fullmatch(span)) or _exists(span)
        elif A_NAME.fullmatch(span):
            known = span in words_of_code() | OF_MARIADB
        else:
            continue
        if not known:
            unknown.append(span)
    return unknown


def _exists(path: str) -> bool:
    """Whether there is such a file: from the top, below the tests, or by its name alone anywhere."""
    if "/" in path:
        return (ROOT / path).exists() or (ROOT / "tests" / path).exists()
    folders = ("stacks", "lambdas", "shop", "tests", "bench", "docs", ".github")
    return (ROOT / path).exists() or any(any((ROOT / folder).rglob(path)) for folder in folders)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_named_is_there(page: Path) -> None:
    assert unknown_spans(page.read_text()) == []


def test_the_checks_refuse_what_is_not_there(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`: three\n## Same\n## Same\n"
        "[a](#one-two-three) [b](#same-1) [c](#same-2) [d](none.md) [e](page.md#x)"
    )
    assert broken_links(page) == ["#same-2", "none.md", "page.md#x"]
    page.write_text('![a](a.svg) [b](b.md "B") [c][c] <a href="d.md">d</a> <img src="e.svg">\n\n[c]: c.md\n')
    assert broken_links(page) == ["a.svg", "b.md", "d.md", "e.svg", "c.md"]
    text = "`stacks/none.py` `stacks/settings.py` `no_such_setting_" + "anywhere`"
    text += " `tests/unit/test_docs_links.py::test_none` `alarm_email` `-c alarm_mail=x`"
    assert unknown_spans(text) == [
        "-c alarm_mail",
        "stacks/none.py",
        "no_such_setting_" + "anywhere",
        "tests/unit/test_docs_links.py::test_none",
    ]
