"""The command line: what a person may type, what is on stdout and on stderr, and the exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
import typer
from moto import mock_aws
from typer.testing import CliRunner, Result

from order_simulator import handler as order_simulator
from shop import health, mailbox, orders, target
from shop.cli import app
from shop.errors import ShopError, explain
from shop.health import Health
from shop.local import cloud as local_cloud
from shop.local.cloud import Status
from shop.local.mailbox import Mail
from shop.target import Target
from tests.unit import shop_stack
from tests.unit.http_server import Reply, Server, serving

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = Reply(202, b'{"messageId": "m-1"}')


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


@pytest.fixture
def dev(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """Stage `dev` in moto, found by whatever stage is asked for."""
    with mock_aws():
        deployed = shop_stack.deploy()

        def find(stage: str, system: str = target.ORDER_PIPELINE) -> Target:
            if system != target.ORDER_PIPELINE:
                raise ShopError(f"stack {stage}-{system} not found")
            return deployed

        monkeypatch.setattr(target, "find", find)
        yield deployed


def answering(monkeypatch: pytest.MonkeyPatch, dev: Target, url: str) -> None:
    """Point the stage's API to `url`, its key included."""
    key = dev.client("apigateway").create_api_key(value="the-secret-key-of-the-stage")["id"]
    outputs = {**dev.outputs, "OrdersEndpoint": url, "OrdersApiKeyId": key}
    found = Target(dev.stage, outputs, dev.session, None)
    monkeypatch.setattr(target, "find", lambda _: found)


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("orders", "place"),
        ("orders", "place", "f", "--connections", "0"),
        ("up", "--port", "70000"),
        ("dlq", "list", "--limit", "0"),
        ("destroy",),
        ("order", "create"),
        ("order", "list", "--limit", "0"),
        ("order", "update", "A-1"),
        ("images", "put"),
        ("images", "get"),
        ("images", "list", "--limit", "0"),
        ("order", "update", "A-1", "--condition", "price > :p"),
        ("order", "update", "A-1", "--set", "price=1", "--expression", "REMOVE price"),
        ("order", "update", "A-1", "--remove", "price", "--expression", "REMOVE price"),
        ("logs",),
        ("logs", "OrderProcessor", "--report", "--follow"),
        ("logs", "OrderProcessor", "--report", "--filter", "x"),
        ("orders", "trace"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage" in result.stderr


def test_a_cloud_that_is_down_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOP_LOCAL_DIR", str(tmp_path))
    commands = (
        "mailbox",
        "dlq list",
        "orders show A-1",
        "orders simulate",
        "order ping",
        "images list",
        "images get x",
        "logs OrderProcessor",
        "orders trace A-1",
        "orders latest",
        "orders key",
    )
    for command in commands:
        result = run(*command.split(), "--json")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == "error: the local cloud is not running: run make up\n"


def test_status_of_a_cloud_that_is_down_is_exit_code_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOP_LOCAL_DIR", str(tmp_path))
    result = run("status", "--json")
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    assert (found["stage"], found["running"], found["pid"]) == ("local", False, None)
    assert found["log_file"].startswith(str(tmp_path))
    assert run("status").exit_code == 3


def test_status_of_a_half_started_cloud_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted `up` leaves the emulator without stacks."""
    monkeypatch.setattr(local_cloud, "status", lambda folder: Status(folder, 77, 4999, None, ()))
    result = run("status")
    assert result.exit_code == 3
    line = "the emulator runs, the stacks are not deployed: make up goes on, make down stops it"
    assert line in " ".join(result.stdout.split())
    assert "77" in result.stdout
    assert run("orders", "show", "A-1").stderr == f"error: {line}\n"
    found = json.loads(run("status", "--json").stdout)
    assert (found["running"], found["pid"]) == (False, 77)


QUEUE = health.Queue("local-order-pipeline-OrdersQueueC538DD4C-9BC2A2BC660E0", "https://localhost:1/0/q", 1200, 3, 2)


def test_status_of_a_running_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Health("local", True, 77, "https://localhost:1", "/log", [health.Stack("s", "DONE")], [QUEUE])
    monkeypatch.setattr(health, "check", lambda _: found)
    result = run("status")
    assert result.exit_code == 0
    assert json.loads(run("status", "--json").stdout)["queues"] == [
        {"name": QUEUE.name, "url": QUEUE.url, "visible": 1200, "in_flight": 3, "delayed": 2}
    ]
    for text in (
        "77",
        "https://localhost:1",
        "/log",
        "stack s",
        "DONE",
        "queue OrdersQueue ",
        "1,200 waiting, 3 in flight, 2 delayed",
    ):
        assert text in result.stdout


@pytest.mark.parametrize(("pid", "shown"), [(88, "port 3306"), (None, "does not run (make up starts it), port 3306")])
def test_status_says_whether_the_database_runs(monkeypatch: pytest.MonkeyPatch, pid: int | None, shown: str) -> None:
    database = health.Database(pid, 3306, "/log")
    found = Health("local", True, 77, "https://localhost:1", "/log", [], [], database)
    monkeypatch.setattr(health, "check", lambda _: found)
    assert f"database {shown}, log /log" in " ".join(run("status").stdout.split())
    assert json.loads(run("status", "--json").stdout)["database"]["pid"] == pid


PAGE = health.ConsolePage(99, "http://localhost:4580/", "/console.log")


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (PAGE, "console http://localhost:4580/ (pid 99, log /console.log)"),
        (None, "console does not run (make up starts it)"),
    ],
)
def test_status_says_where_the_console_page_is(
    monkeypatch: pytest.MonkeyPatch, page: health.ConsolePage | None, shown: str
) -> None:
    found = Health("local", True, 77, "https://localhost:1", "/log", [], [], None, page)
    monkeypatch.setattr(health, "check", lambda _: found)
    assert shown in " ".join(run("status").stdout.split())
    described = json.loads(run("status", "--json").stdout)["console"]
    assert described == (page and {"pid": 99, "url": PAGE.url, "log_file": "/console.log"})


@pytest.mark.parametrize("url", ["http://localhost:4580/", None])
def test_up_ends_with_the_console_pages_address(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    cloud = local_cloud.Cloud("https://localhost:1", "r", "0", "k", "s", "/ca", "/log", "local", url)
    monkeypatch.setattr(local_cloud, "up", lambda *_, **__: cloud)
    assert run("up").stdout.splitlines()[1:] == ([f"See it work at {url}"] if url else [])
    assert json.loads(run("up", "--json").stdout)["console_url"] == url


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ShopError("set this right"), "set this right"),
        (botocore.exceptions.NoCredentialsError(), "Unable to locate credentials"),
        (botocore.exceptions.ProfileNotFound(profile="x"), "The config profile (x) could not be found"),
        (
            botocore.exceptions.ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetItem"),
            "GetItem: AccessDenied: no",
        ),
        (botocore.exceptions.ClientError({"Error": {}}, "GetItem"), "GetItem: unknown error: no message"),
        (ValueError("a bug"), None),
    ],
)
def test_what_a_person_can_mend_is_a_line_and_a_bug_is_not(error: Exception, line: str | None) -> None:
    assert explain(error) == line


def test_orders_are_placed_from_a_file(dev: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_bytes(b'{"orderID": "A-1", "price_per_item": 3.50}\n{"orderID": "A-2"}\n')
    refusal = Reply(400, b'{"message": "product is missing"}')
    with serving(lambda _, body: refusal if b"A-2" in body else ACCEPTED) as server:
        answering(monkeypatch, dev, server.url)
        result = run("orders", "place", str(file), "--json")
        table = run("orders", "place", str(file))
    assert result.exit_code == table.exit_code == 1
    assert json.loads(result.stdout) == [
        {"orderID": "A-1", "status": 202, "messageId": "m-1", "refusal": None},
        {"orderID": "A-2", "status": 400, "messageId": None, "refusal": "product is missing"},
    ]
    assert result.stderr == "1 accepted, 1 refused\n"
    assert "m-1" in table.stdout
    assert "product is missing" in table.stdout
    assert server.headers[0]["x-api-key"] == "the-secret-key-of-the-stage"
    assert b'{"orderID": "A-1", "price_per_item": 3.50}' in server.bodies


def test_one_order_from_standard_input(dev: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda *_: ACCEPTED) as server:
        answering(monkeypatch, dev, server.url)
        result = run("orders", "place", "-", stdin=b' {"orderID": "A-1"} \n')
    assert result.exit_code == 0
    assert server.bodies == [b'{"orderID": "A-1"}']


def test_raw_sends_the_file_as_it_is(dev: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = b' {"orderID": "A-1", \xff\n[1,\n'
    with serving(lambda *_: Reply(400)) as server:
        answering(monkeypatch, dev, server.url)
        assert run("orders", "place", "-", stdin=broken).stderr.startswith("error: standard input: not JSON")
        assert server.bodies == []
        assert run("orders", "place", "-", "--raw", stdin=broken).exit_code == 1
    assert server.bodies == [broken]


@pytest.mark.parametrize(("name", "reason"), [("none.json", "No such file or directory"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, reason: str) -> None:
    file = str(tmp_path / name)
    result = run("orders", "place", file)
    assert (result.exit_code, result.stderr) == (1, f"error: {tmp_path / name}: {reason}\n".replace("/.:", ":"))


def test_an_order_is_shown_exactly(dev: Target) -> None:
    dev.client("dynamodb").put_item(
        TableName=dev.output("OrdersTableName"),
        Item={"orderID": {"S": "A-1"}, "product": {"S": "[b]Tea\x1b"}, "price_per_item": {"N": "0.0001"}},
    )
    result = run("orders", "show", "A-1", "--json")
    assert result.exit_code == 0
    assert '"price_per_item": 0.0001' in result.stdout
    assert json.loads(result.stdout)["product"] == "[b]Tea\x1b"
    assert "[b]Tea\\x1b" in run("orders", "show", "A-1").stdout


def test_an_order_that_is_not_there_is_exit_code_1(dev: Target) -> None:
    result = run("orders", "show", "A\x1b-1", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: no order 'A\\x1b-1' is stored in stage local; ")
    assert result.stderr.count("\n") == 1
    assert "orders trace" in result.stderr
    assert dev.stage == "dev"


def test_the_simulator_gets_what_was_given_only(dev: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[dict[str, Any]] = []

    def simulate(_: Target, event: dict[str, Any]) -> dict[str, int]:
        events.append(event)
        return {"sent": 1200, "invalid": 3}

    monkeypatch.setattr(orders, "simulate", simulate)
    assert run("orders", "simulate").stdout == "1,200 orders sent, 3 of them invalid\n"
    result = run("orders", "simulate", "--count", "5", "--error-rate", "0", "--seed", "7", "--json")
    assert json.loads(result.stdout) == {"sent": 1200, "invalid": 3}
    assert events == [{}, {"count": 5, "error_rate": 0.0, "seed": 7}]
    assert dev.stage == "dev"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("count", -1),
        ("count", 0),
        ("count", 10_000),
        ("count", 10_001),
        ("error_rate", -0.1),
        ("error_rate", 0.0),
        ("error_rate", 1.0),
        ("error_rate", 1.1),
        ("seed", -1),
        ("seed", 0),
        ("seed", 2**70),
    ],
)
def test_what_the_simulator_refuses_is_wrong_usage(
    dev: Target, monkeypatch: pytest.MonkeyPatch, option: str, value: float
) -> None:
    def is_refused_by_the_simulator() -> bool:
        try:
            order_simulator._read_event({option: value})
        except ValueError:
            return True
        return False

    monkeypatch.setattr(orders, "simulate", lambda *_: {"sent": 0, "invalid": 0})
    result = run("orders", "simulate", f"--{option.replace('_', '-')}", str(value))
    assert result.exit_code == (2 if is_refused_by_the_simulator() else 0)
    assert dev.stage == "dev"


def test_the_mailbox_has_the_shape_of_the_contract(dev: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = Mail("arn:aws:sns:x:1:Orders", "New order A-1", "{\n}", {"event": "order.created"}, "2026-11-26T09:15:00Z")
    monkeypatch.setattr(mailbox, "read", lambda _: [mail])
    assert json.loads(run("mailbox", "--json").stdout) == [
        {
            "topic": "arn:aws:sns:x:1:Orders",
            "subject": "New order A-1",
            "message": "{\n}",
            "attributes": {"event": "order.created"},
            "received_at": "2026-11-26T09:15:00Z",
        }
    ]
    assert dev.stage == "dev"


def test_the_mailbox_shows_each_mail_with_its_message(dev: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = "arn:aws:sns:x:1:local-order-pipeline-OrderTopic5B3ACBDB-F425577F43B77"
    order = '{\n  "product": "[b]Tea\x1b[2J"\n}'
    mails = [
        Mail(topic, "New order A-1", order, {}, "2026-11-26T09:15:00.000Z"),
        Mail("arn:aws:sns:x:1:alarms", "", "line\n" * 70 + "end", {}, "2026-11-26T09:15:02.000Z"),
    ]
    monkeypatch.setattr(mailbox, "read", lambda _: mails)
    lines = run("mailbox").stdout.splitlines()
    assert lines[:7] == [
        "Mailbox: 2 mails",
        "",
        "2026-11-26 09:15:00Z  OrderTopic  New order A-1",
        "    {",
        '      "product": "[b]Tea\\x1b[2J"',
        "    }",
        "",
    ]
    assert lines[7:] == [
        "2026-11-26 09:15:02Z  alarms",
        *["    line"] * mailbox.MOST_LINES,
        "    … (--json has the whole message)",
    ]
    assert dev.stage == "dev"


def test_dead_letters_are_shown_in_short_and_as_json_whole(dev: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    body = '{"product": "' + "x" * 500 + '"}'
    dev.client("sqs").send_message(QueueUrl=dev.output("OrdersDeadLetterQueueUrl"), MessageBody=body)
    result = run("dlq", "list", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [letter["body"] for letter in found] == [body]
    assert found[0]["reason"].startswith("invalid: product:") or found[0]["reason"].startswith("invalid: quantity:")
    assert found[0]["receive_count"] == 1
    assert "its receive count one higher" in result.stderr
    assert "dlq show" not in result.stderr
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("dlq", "list")
    assert shown.stdout.startswith("Dead-letter queues: 1 message\n")
    assert "xxx" not in shown.stdout
    # A message without orderID goes by its own id, whole even in a narrow table.
    assert found[0]["message_id"] in shown.stdout
    assert shown.stdout.splitlines()[3].split()[-1] == "2"
    assert ".venv/bin/python -m shop dlq show ID has a message whole" in shown.stderr


@pytest.fixture
def item_service(dev: Target, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An order service that answers each operation by the contract, under API-key authorisation."""
    item = '{"id": "A\\u001b-1", "price": 80.50, "tags": [1.0]}'
    answers = {
        "create": Reply(201, f'{{"Item": {item}}}'.encode()),
        "read": Reply(404, b'{"error": "not_found", "message": "there is no item with the id \\"A-2\\""}'),
        "update": Reply(200, f'{{"Attributes": {item}}}'.encode()),
        "delete": Reply(200, f'{{"Attributes": {item}}}'.encode()),
        "list": Reply(200, f'{{"Items": [{item}, {item}], "Count": 2}}'.encode()),
        "ping": Reply(200, b'"pong"'),
    }
    key = dev.client("apigateway").create_api_key(value="the-secret-key-of-the-service")["id"]
    with serving(lambda _, body: answers[json.loads(body)["operation"]]) as server:
        outputs = {"OrderServiceEndpoint": server.url, "OrderServiceApiKeyId": key}
        found = Target("dev", outputs, dev.session, None, target.ORDER_SERVICE)
        monkeypatch.setattr(target, "find", lambda _, system: found if system == found.system else None)
        yield server


def test_an_item_is_created_exactly_signed_and_with_the_key(item_service: Server) -> None:
    result = run("order", "create", "-", "--json", stdin=b' {"id": "A", "price": 80.50}\n')
    assert (result.exit_code, result.stderr) == (0, "")
    assert '"price": 80.50' in result.stdout
    assert item_service.bodies == [b'{"operation":"create","payload":{"Item":{"id": "A", "price": 80.50}}}']
    assert item_service.headers[0]["x-api-key"] == "the-secret-key-of-the-service"
    assert "/eu-central-1/execute-api/aws4_request" in item_service.headers[0]["authorization"]


def test_an_item_is_shown_for_a_person(item_service: Server) -> None:
    for command in (["create", "-", "--overwrite"], ["update", "A-1", "--set", "price=80.50"], ["delete", "A-1"]):
        result = run("order", *command, stdin=b'{"id": "A-1"}')
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Item A\\x1b-1, {command[0].removesuffix('e')}ed\n")
        assert "80.50" in result.stdout
        assert "[1.0]" in result.stdout
    assert b'"overwrite":true' in item_service.bodies[0]
    assert b'":set0":80.50' in item_service.bodies[1]


def test_a_refusal_of_the_service_is_one_line(item_service: Server) -> None:
    result = run("order", "read", "A-2", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == 'error: not_found: there is no item with the id "A-2"\n'
    assert len(item_service.bodies) == 1


def test_items_are_listed_up_to_the_limit(item_service: Server) -> None:
    assert len(json.loads(run("order", "list", "--all", "--json").stdout)) == 2
    result = run("order", "list", "--limit", "1", "--filter", "price > :p", "--values", '{":p": 1.50}')
    assert result.stdout.startswith("Order service: 1 item\n")
    assert "A\\x1b-1" in result.stdout
    assert '"price":80.50' in result.stdout
    assert result.stderr == "There are more items: --limit, or --all.\n"
    assert b'{":p":1.50}' in item_service.bodies[1]


@pytest.mark.usefixtures("item_service")
def test_a_ping_shows_how_long_it_took() -> None:
    assert re.fullmatch(r"pong in \d+\.\d ms\n", run("order", "ping").stdout)
    found = json.loads(run("order", "ping", "--json").stdout)
    assert found["answer"] == "pong"
    assert found["milliseconds"] > 0


def test_nothing_heavy_is_imported_for_help_and_errors() -> None:
    heavy = ("boto3", "botocore", "rich.table", "urllib3", "aws_cdk", "flask", "waitress", "jinja2")
    code = f"import sys, shop.cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "SHOP_LOCAL_DIR": str(tmp_path)}
    reading, writing = os.pipe()
    os.close(reading)
    for command in (["status"], ["status", "--json"], ["--help"]):
        found = subprocess.run(
            [sys.executable, "-m", "shop", *command],
            cwd=ROOT,
            env=environment,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert "Traceback" not in found.stderr
        assert "Exception ignored" not in found.stderr
    os.close(writing)


def test_an_interruption_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: str) -> Health:
        raise KeyboardInterrupt

    monkeypatch.setattr(health, "check", interrupt)
    assert run("status").exit_code == 130


def test_the_command_line_is_a_tree_of_commands_with_help() -> None:
    def texts(command: Any) -> Iterator[str | None]:
        yield command.help
        for inner in getattr(command, "commands", {}).values():
            yield from texts(inner)

    assert all(texts(typer.main.get_command(app)))
