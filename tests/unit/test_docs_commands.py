"""Every command in the documentation exists and takes the options that are shown."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import typer
from botocore import xform_name

from shop.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL_BLOCK = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:make|(?:\.venv/bin/)?python -m shop) [^`…]+)`")
SETTING = re.compile(r"[A-Z_]+=")
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def commands(text: str) -> Iterator[list[str]]:
    """Yield the commands of a page's shell blocks and inline code, each as its words."""
    blocks = "\n".join(SHELL_BLOCK.findall(text)).replace("\\\n", " ")
    for line in [*blocks.splitlines(), *INLINE.findall(text)]:
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if set(word) <= set("|&;<>"):
                yield words
                words = []
            elif words or not SETTING.match(word):
                words.append(word)
        yield words


def found(page: Path) -> list[list[str]]:
    """Return the page's commands that are this project's."""
    return [words for words in commands(page.read_text()) if words[:1] == ["make"] or "shop" in words[1:3]]


ALL = [pytest.param(words, id=f"{page.name}: {' '.join(words)}") for page in PAGES for words in found(page)]


def check_make(words: list[str]) -> None:
    """Raise AssertionError unless the Makefile has the targets and reads the variables."""
    for word in words:
        name, is_variable, _ = word.partition("=")
        if is_variable:
            assert f"$({name})" in MAKEFILE, f"the Makefile reads no variable {name}"
        else:
            assert word in TARGETS, f"the Makefile has no target {word}"


def check_shop(words: list[str]) -> int:
    """Return the exit code of parsing a command line whose commands do nothing."""
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
FOR_ALL_COMMANDS = {"--output", "--query", "--region", "--profile", "--no-cli-pager"}


def check_aws(words: list[str]) -> None:
    """Raise AssertionError unless the AWS CLI has the command, takes its options, and gets all that it needs.

    The commands of the AWS CLI are the operations of botocore's service models, with hyphens.
    """
    service, operation, *rest = words
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


def test_commands_are_found_where_documentation_has_them() -> None:
    shell = "$ cat x | A=1 .venv/bin/python -m shop orders place - \\\n  --json > y\n"
    page = f"Run `make up`.\n```sh\n{shell}```\n```python\nmake\n```"
    assert list(commands(page)) == [
        ["cat", "x"],
        [".venv/bin/python", "-m", "shop", "orders", "place", "-", "--json"],
        ["y"],
        ["make", "up"],
    ]


def test_every_command_has_an_example() -> None:
    shown = {tuple(words[3:]) for words in found(ROOT / "docs" / "cli.md") if words[0] != "make"}
    paths = leaves(typer.main.get_command(app))
    assert len(paths) > 5
    assert {path for path in paths if not any(words[: len(path)] == path for words in shown)} == set()
