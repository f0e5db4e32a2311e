"""`python -m shop order …`, each command as a process of its own, against the deployed order service."""

import json
import re
import uuid
from pathlib import Path

import pytest

from tests.integration.test_cli import Shell


@pytest.fixture(scope="module")
def shell(cloud_folder: Path) -> Shell:
    return Shell(cloud_folder)


@pytest.fixture
def item_id() -> str:
    return f"Caffè/50%+{uuid.uuid4().hex[:12]}"


def item(item_id: str, price: str = "78.890") -> str:
    return f'{{"id": "{item_id}", "price": {price}, "size": "M", "product": "Beautiful Jacket 🧥"}}'


def test_an_items_life(shell: Shell, item_id: str) -> None:
    price = "12345678901234567890.123456789012345678"
    created = shell.run("order", "create", "-", "--json", stdin=item(item_id, price))
    assert created[0] == 0, created
    assert f'"price": {price}' in created[1]
    assert shell.run("order", "read", item_id, "--json")[1] == created[1]

    code, out, err = shell.run("order", "update", item_id, "--set", "price=80.5", "--remove", "size", "--json")
    assert code == 0, err
    assert json.loads(out) == {"id": item_id, "price": 80.5, "product": "Beautiful Jacket 🧥"}

    assert shell.json("order", "delete", item_id) == json.loads(out)
    assert shell.run("order", "read", item_id)[0] == 1


def test_an_id_that_exists_is_refused_unless_told_otherwise(shell: Shell, item_id: str) -> None:
    shell.json("order", "create", "-", stdin=item(item_id))
    code, out, err = shell.run("order", "create", "-", stdin=item(item_id, "1"))
    assert (code, out) == (1, "")
    assert err.startswith("error: already_exists: ")
    assert shell.json("order", "create", "-", "--overwrite", stdin=item(item_id, "1"))["price"] == 1


def test_a_condition_guards_an_expression(shell: Shell, item_id: str) -> None:
    shell.json("order", "create", "-", stdin=item(item_id, "3"))
    words = ("order", "update", item_id, "--expression", "SET price = price - :n", "--condition", "price >= :n")
    assert shell.json(*words, "--values", '{":n": 2}')["price"] == 1
    code, _, err = shell.run(*words, "--values", '{":n": 2}')
    assert code == 1
    assert err.startswith("error: condition_failed: ")


@pytest.mark.parametrize("command", [("read",), ("delete",), ("update", "--set", "price=1")])
def test_an_item_that_is_not_there(shell: Shell, item_id: str, command: tuple[str, ...]) -> None:
    code, out, err = shell.run("order", command[0], item_id, *command[1:])
    assert (code, out) == (1, "")
    assert err.startswith("error: not_found: ")
    assert err.count("\n") == 1


def test_a_list_has_what_the_filter_takes(shell: Shell, item_id: str) -> None:
    ids = {f"{item_id}-{number}" for number in range(3)}
    for each in ids:
        shell.json("order", "create", "-", stdin=item(each))
    words = ("--filter", "begins_with(#i, :start)", "--names", '{"#i": "id"}', "--values", f'{{":start": "{item_id}"}}')
    assert {found["id"] for found in shell.json("order", "list", "--all", *words)} == ids
    code, out, err = shell.run("order", "list", "--limit", "2", *words)
    assert code == 0
    assert out.startswith("Order service: 2 items\n")
    assert "There are more items" in err


def test_ping(shell: Shell) -> None:
    code, out, err = shell.run("order", "ping")
    assert code == 0, err
    assert re.fullmatch(r"pong in \d+\.\d ms\n", out)
