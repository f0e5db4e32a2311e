"""Each command of `python -m shop` as a process of its own, against a deployed pipeline."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shop.local import clients
from shop.local.cloud import Cloud
from tests.polling import eventually

ROOT = Path(__file__).resolve().parents[2]
# A developer's own settings, none of which may reach the local cloud or be reached from it.
USERS_SETTINGS = {
    "AWS_PROFILE": "a-profile-that-is-nowhere",
    "AWS_ENDPOINT_URL": "https://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "users-key",
    "AWS_SECRET_ACCESS_KEY": "users-secret",
    "AWS_SESSION_TOKEN": "users-token",
    "AWS_REGION": "eu-west-3",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
}


class Shell:
    """Runs commands on the session's cloud."""

    def __init__(self, folder: Path) -> None:
        self.environment = {**os.environ, **USERS_SETTINGS, "SHOP_LOCAL_DIR": str(folder)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "shop", *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(stdin, timeout=120)
        return process.returncode, out, err

    def json(self, *words: str, stdin: str = "", code: int = 0) -> Any:
        returned, out, err = self.run(*words, "--json", stdin=stdin)
        assert returned == code, err
        return json.loads(out)


@pytest.fixture(scope="module")
def shell(cloud_folder: Path) -> Shell:
    return Shell(cloud_folder)


@pytest.fixture(scope="module", autouse=True)
def demo(shell: Shell) -> Iterator[subprocess.Popen[str]]:
    """The demo, started first because it waits a minute for the dead letters while the other tests go on."""
    process = shell.start("demo", "--json")
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


@pytest.fixture
def name() -> str:
    return f"cli-{uuid.uuid4().hex[:12]}"


def order(order_id: str, price: str = "3.50") -> str:
    return f'{{"orderID": "{order_id}", "product": "Caffè & 50% + 🍰", "quantity": 2, "price_per_item": {price}}}'


def test_status_shows_what_runs(shell: Shell, cloud: Cloud) -> None:
    found = shell.json("status")
    assert (found["running"], found["endpoint_url"], found["log_file"]) == (True, cloud.endpoint_url, cloud.log_file)
    stacks = {stack["name"]: stack["status"] for stack in found["stacks"]}
    assert stacks["local-order-pipeline"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    assert len([queue for queue in found["queues"] if "order-pipeline" in queue["name"]]) == 3
    os.kill(found["pid"], 0)


def test_up_again_is_harmless(shell: Shell, cloud: Cloud) -> None:
    assert shell.json("up")["endpoint_url"] == cloud.endpoint_url


def test_an_order_is_placed_shown_and_announced(shell: Shell, name: str) -> None:
    placed = shell.json("orders", "place", "-", stdin=order(name))
    assert [(answer["orderID"], answer["status"]) for answer in placed] == [(name, 202)]
    assert placed[0]["messageId"]

    def shown() -> str | None:
        code, out, _ = shell.run("orders", "show", name, "--json")
        return out if code == 0 else None

    text = eventually(shown)
    assert json.loads(text) == {
        "orderID": name,
        "product": "Caffè & 50% + 🍰",
        "quantity": 2,
        "price_per_item": 3.5,
        "received_at": json.loads(text)["received_at"],
        "message_id": placed[0]["messageId"],
    }

    def mails() -> list[Any]:
        return [mail for mail in shell.json("mailbox") if mail["attributes"].get("deduplication_id") == name]

    mail = eventually(mails)[0]
    assert mail["subject"] == f"New order {name}"
    assert json.loads(mail["message"])["orderID"] == name
    assert mail.keys() == {"topic", "subject", "message", "attributes", "received_at"}


def test_refused_orders_are_named_and_the_others_go_through(shell: Shell, name: str, tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    file.write_text(f"[{order(name)}, {order(name, '-1')}]")
    code, out, err = shell.run("orders", "place", str(file), "--json")
    assert code == 1
    first, second = json.loads(out)
    assert (first["status"], first["refusal"]) == (202, None)
    assert (second["status"], second["messageId"]) == (400, None)
    assert "price_per_item" in second["refusal"]
    assert err == "1 accepted, 1 refused\n"


def test_a_broken_body_reaches_the_api_as_it_is(shell: Shell) -> None:
    answers = shell.json("orders", "place", "-", "--raw", stdin='{"orderID": "A-1", ', code=1)
    assert [answer["status"] for answer in answers] == [400]


def test_many_orders_at_once_are_all_accepted(shell: Shell, name: str) -> None:
    lines = "\n".join(order(f"{name}-{number}") for number in range(400))
    answers = shell.json("orders", "place", "-", stdin=lines)
    assert [answer["orderID"] for answer in answers] == [f"{name}-{number}" for number in range(400)]
    assert len({answer["messageId"] for answer in answers}) == 400


def test_an_order_that_is_not_there(shell: Shell, name: str) -> None:
    code, out, err = shell.run("orders", "show", name)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: no order '{name}' is stored in stage local; ")


def test_the_simulator_sends(shell: Shell) -> None:
    assert shell.json("orders", "simulate", "--count", "5", "--error-rate", "0") == {"sent": 5, "invalid": 0}


def test_dead_letters_have_their_reasons_and_stay(
    shell: Shell, cloud: Cloud, outputs: dict[str, dict[str, str]], name: str
) -> None:
    shell.json("orders", "place", "-", stdin=order(name))
    eventually(lambda: shell.run("orders", "show", name)[0] == 0)
    sqs = clients.client(cloud, "sqs")
    url = outputs["local-order-pipeline"]["OrdersDeadLetterQueueUrl"]
    bodies = {
        order(name, '"err"'): 'invalid: price_per_item: "err" is not a number',
        order(name, "4"): f"conflict: {name} is stored with another price_per_item",
        order(f"{name}-2"): "valid and not stored: it can be redriven",
    }
    sent = {sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"]: body for body in bodies}
    for _ in range(2):
        letters = [letter for letter in shell.json("dlq", "list") if letter["message_id"] in sent]
        assert {letter["body"]: letter["reason"] for letter in letters} == bodies
    code, table, err = shell.run("dlq", "list")
    assert code == 0
    assert f"conflict: {name}" in table
    assert "was given back" in err


def test_the_demo_adds_up(demo: subprocess.Popen[str]) -> None:
    out, err = demo.communicate(timeout=240)
    assert demo.returncode == 0, err
    ledger = json.loads(out)
    assert ledger["differences"] == []
    assert ledger["accepted"] == 7 + 20
    assert ledger["distinct"] == len(ledger["stored"]) + len(ledger["dead_letters"]) == 26
    assert ledger["announced"] == ledger["stored"]
    reasons = " ".join(letter["reason"] for letter in ledger["dead_letters"])
    for reason in ("given more than once", "not a day of the calendar", "conflict: "):
        assert reason in reasons
