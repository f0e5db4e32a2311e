"""Every command in the documentation exists and takes the options that are shown.

What the local cloud can run is run as well: README by tests/integration/test_readme.py, the way to the first order by
tests/integration/test_getting_started.py. This is for the rest, most of which needs AWS.
"""

import json
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import typer
from botocore import xform_name

from shop.cli import app
from stacks.settings import STAGES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
"""A fenced block, in a list's item too."""
INLINE = re.compile(r"`((?:make|aws|curl|(?:\.venv/bin/)?python -m shop) [^`…]+)`")
SETTING = re.compile(r"[A-Z_]+=")
SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
FUNCTION = re.compile(r"^([a-z_]+)\(\) \{.*\}$", re.MULTILINE)
"""A function of the shell, in one line."""
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def blocks(page: str, language: str) -> list[str]:
    """A page's fenced blocks in a language."""
    return [textwrap.dedent(block["text"]) for block in FENCE.finditer(page) if block["language"] == language]


def commands(page: str) -> Iterator[list[str]]:
    """Yield the commands of a page's shell blocks and inline code, each as its words; those within `$(…)` too.

    Functions of the shell are left out: `sh -n` reads each block whole, and README's are run.
    """
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    # A line break in inline code is a space.
    inline = [span.replace("\n", " ") for span in INLINE.findall(FENCE.sub("", page))]
    for line in [*FUNCTION.sub("", text).splitlines(), *inline]:
        yield from _commands_of(line)


def _commands_of(line: str) -> Iterator[list[str]]:
    for inner in SUBSTITUTION.findall(line):
        yield from _commands_of(inner)
    lexer = shlex.shlex(SUBSTITUTION.sub("VALUE", line).removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    is_file = False
    for word in lexer:
        if set(word) <= set("<>"):
            is_file = True
        elif set(word) <= set("|&;"):
            if words:
                yield words
            words = []
        elif is_file:
            is_file = False
        elif words or not SETTING.match(word):
            words.append(word)
    if words:
        yield words


def found(page: Path) -> list[list[str]]:
    """Return the page's commands that are this project's."""
    return [words for words in commands(page.read_text()) if words[:1] == ["make"] or words[1:3] == ["-m", "shop"]]


ALL = [pytest.param(words, id=f"{page.name}: {' '.join(words)}") for page in PAGES for words in found(page)]


def check_make(words: list[str]) -> None:
    """Raise AssertionError unless the Makefile has the targets and reads the variables, and there is such a stage."""
    for word in words:
        name, is_variable, value = word.partition("=")
        if is_variable:
            assert f"$({name})" in MAKEFILE, f"the Makefile reads no variable {name}"
            assert name != "STAGE" or value in STAGES, f"no stage {value}"
        else:
            assert word in TARGETS, f"the Makefile has no target {word}"


def check_shop(words: list[str]) -> int:
    """Return the exit code of parsing a command line whose commands do nothing.

    Raises AssertionError for a stage that is not there.
    """
    for option, value in pairwise(words):
        assert option != "--stage" or value in STAGES, f"no stage {value}"
    command = typer.main.get_command(app)
    for leaf in leaves(command).values():
        leaf.callback = lambda **_: None
    with pytest.raises(SystemExit) as ended:
        command.main(args=words, prog_name="shop")
    return int(str(ended.value.code or 0))


def leaves(command: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return the commands that do something, as opposed to groups of commands, by the words that lead there."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return {path: command}
    return {key: leaf for name, each in inner.items() for key, leaf in leaves(each, (*path, name)).items()}


def aws_commands(page: Path) -> list[list[str]]:
    """Return the page's commands of the AWS CLI."""
    return [words for words in commands(page.read_text()) if words[:1] == ["aws"]]


ALL_OF_AWS = [
    pytest.param(words, id=f"{page.name}: {' '.join(words[:4])}") for page in PAGES for words in aws_commands(page)
]
SERVICES = {"s3api": "s3", "deploy": "codedeploy", "s3": "a service of its own"}
"""What the AWS CLI calls otherwise than botocore: its `s3` has commands of its own, which nothing here knows."""
FOR_ALL_COMMANDS = {"--output", "--query", "--region", "--profile", "--no-cli-pager"}


def check_aws(words: list[str]) -> None:
    """Raise AssertionError unless the AWS CLI has the command, takes its options, and gets all that it needs.

    The commands of the AWS CLI are the operations of botocore's service models, with hyphens.
    """
    service, operation, *rest = words
    service = SERVICES.get(service, service)
    session = botocore.session.get_session()
    assert service in session.get_available_services(), f"no service {service}"
    model = session.get_service_model(service)
    by_command = {xform_name(name, "-"): name for name in model.operation_names}
    if operation == "wait":
        waiters = session.get_waiter_model(service)
        waits = {xform_name(name, "-"): waiters.get_waiter(name).operation for name in waiters.waiter_names}
        operation, *rest = rest
        assert operation in waits, f"{service} has no waiter {operation}"
        by_command[operation] = waits[operation]
    assert operation in by_command, f"{service} has no command {operation}"
    shape = model.operation_model(by_command[operation]).input_shape
    members = {} if shape is None else {f"--{xform_name(name, '-')}": name for name in shape.members}
    given = {word.replace("--no-", "--") for word in rest if word.startswith("--")}
    assert given <= members.keys() | FOR_ALL_COMMANDS, f"unknown: {given - members.keys()}"
    needed = set() if shape is None else set(shape.required_members)
    assert needed <= {members.get(word) for word in given}, f"missing: {needed}"


@pytest.mark.parametrize("words", ALL_OF_AWS)
def test_commands_of_the_aws_cli_exist(words: list[str]) -> None:
    check_aws(words[1:])


@pytest.mark.parametrize(
    "line",
    [
        "frobnicate describe-table",
        "dynamodb frobnicate",
        "dynamodb wait frobnicate --table-name orders",
        "dynamodb describe-table",
        "dynamodb describe-table --table-name orders --frobnicate",
    ],
)
def test_the_check_refuses_what_the_aws_cli_does_not_have(line: str) -> None:
    with pytest.raises(AssertionError):
        check_aws(line.split())


@pytest.mark.parametrize("words", ALL)
def test_documented_commands_exist(words: list[str]) -> None:
    if words[0] == "make":
        check_make(words[1:])
        return
    assert words[words.index("-m") + 1] == "shop"
    assert check_shop(words[words.index("shop") + 1 :]) == 0


def test_the_check_refuses_what_does_not_exist() -> None:
    assert check_shop(["orders", "place", "f", "--frobnicate"]) == 2
    assert check_shop(["frobnicate"]) == 2
    with pytest.raises(AssertionError, match="no target"):
        check_make(["frobnicate"])
    with pytest.raises(AssertionError, match="no variable"):
        check_make(["up", "FROBNICATE=1"])
    with pytest.raises(AssertionError, match="no stage"):
        check_make(["deploy", "STAGE=frobnicate"])
    with pytest.raises(AssertionError, match="no stage"):
        check_shop(["orders", "place", "f", "--stage", "frobnicate"])


def test_commands_are_found_where_documentation_has_them() -> None:
    shell = "$ cat x | A=1 .venv/bin/python -m shop orders place - \\\n  --json > y\n"
    page = f"Run `make up`.\n```sh\n{shell}```\n```python\nmake\n```"
    assert list(commands(page)) == [
        ["cat", "x"],
        [".venv/bin/python", "-m", "shop", "orders", "place", "-", "--json"],
        ["make", "up"],
    ]


def test_commands_are_found_in_lists_and_in_other_commands() -> None:
    page = '1. Do:\n\n   ```sh\n   of() { cat x; }\n   KEY=$(of y) && curl "$(aws s3 ls)"\n   ```\n'
    assert list(commands(page)) == [["of", "y"], ["aws", "s3", "ls"], ["curl", "VALUE"]]


LANGUAGES = {"sh", "json", "mermaid", "sql", "text"}
"""Of fenced blocks, each of which something checks: `sh` here, `json` here, `mermaid` tests/templates/test_diagrams.py
(README's by its reader), `sql` is a migration and `text` what a command prints, both tried where they are shown."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_fenced_blocks_are_of_a_kind_that_is_checked(page: Path) -> None:
    text = page.read_text()
    found_blocks = list(FENCE.finditer(text))
    assert {block["language"] for block in found_blocks} <= LANGUAGES
    assert 2 * len(found_blocks) == len(re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE)), "a fence that is not closed"
    for block in blocks(text, "json"):
        json.loads(block)
    for block in blocks(text, "sh"):
        assert subprocess.run(["sh", "-n"], input=block, text=True, check=False).returncode == 0, block


CHECKED_PROGRAMS = {"make", "aws", "curl", "cat", "date", "echo", "export", "python", ".venv/bin/python"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_block_is_of_a_program_that_is_checked(page: Path) -> None:
    own_functions = set(FUNCTION.findall("\n".join(blocks(page.read_text(), "sh"))))
    shown = list(commands(page.read_text()))
    assert all(words[1:3] == ["-m", "shop"] for words in shown if words[0].endswith("python"))
    programs = {words[0] for words in shown}
    assert programs <= CHECKED_PROGRAMS | own_functions | SHELL_FUNCTIONS


SHELL_FUNCTIONS = {"of", "call"}
"""Of README's blocks: later ones use them."""
ALL_OF_CURL = [
    pytest.param(words, id=f"{page.name}: {' '.join(words[:3])}")
    for page in PAGES
    for words in commands(page.read_text())
    if words[:1] in (["curl"], ["call"])
]


def check_curl(words: list[str]) -> None:
    """Raise AssertionError unless curl has the options."""
    text = subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"(?<!\S)(--?[A-Za-z0-9][a-z0-9.-]*)", text))
    for word in words:
        if word.startswith("--"):
            assert word in known, f"curl has no {word}"
        elif re.fullmatch(r"-[A-Za-z]+", word):
            # Options of one letter may stand together; the last one may have a value.
            assert {f"-{letter}" for letter in word[1:]} <= known, f"curl has no {word}"


@pytest.mark.parametrize("words", ALL_OF_CURL)
def test_curl_has_the_options(words: list[str]) -> None:
    check_curl(words[1:])


def test_the_check_refuses_what_curl_does_not_have() -> None:
    for option in ("--frobnicate", "-sSW"):
        with pytest.raises(AssertionError, match="curl has no"):
            check_curl(["-sS", option, "https://localhost"])


def test_every_command_has_an_example() -> None:
    shown = {tuple(words[3:]) for words in found(ROOT / "docs" / "cli.md") if words[0] != "make"}
    paths = leaves(typer.main.get_command(app))
    assert len(paths) > 5
    assert {path for path in paths if not any(words[: len(path)] == path for words in shown)} == set()
