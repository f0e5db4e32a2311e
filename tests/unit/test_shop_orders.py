"""Reading order files, sending their exact bytes, and what each answer of the API leads to."""

import io
import json
import subprocess
import threading
import time
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import urllib3
from moto import mock_aws

from shop import orders
from shop.errors import ShopError
from shop.http_client import Backoff
from shop.orders import Answer, OrdersApi
from shop.target import Target
from tests.unit.http_server import Reply, Server, serving

ACCEPTED = Reply(202, b'{"messageId": "m-1"}')
QUICK = Backoff(attempts=4, first=0.001, longest=0.002)
ORDER = b'{"orderID": "A-1", "price_per_item": 3.50}'
NAMELESS = b'{"price_per_item": 3.50}'


def api(server: Server, backoff: Backoff = QUICK, connections: int = 4) -> OrdersApi:
    return OrdersApi(server.url, "the-key", urllib3.PoolManager(maxsize=connections, block=True), backoff)


@pytest.mark.parametrize(
    ("data", "bodies"),
    [
        pytest.param(b' {"a": 3.50}\n', [b'{"a": 3.50}'], id="one object"),
        pytest.param(b'{\n  "a": 1e2\n}\n', [b'{\n  "a": 1e2\n}'], id="one object over several lines"),
        pytest.param(b'[{"a": 3.50 } , {"b":1E2}]', [b'{"a": 3.50 }', b'{"b":1E2}'], id="array"),
        pytest.param(b'{"a":1}\r\n\r\n {"a":1,"a":2}\n', [b'{"a":1}', b'{"a":1,"a":2}'], id="JSON Lines"),
        pytest.param(b'["x", 1, null]', [b'"x"', b"1", b"null"], id="no orders but JSON all the same"),
        pytest.param('{"p": "Caffè 🍰 \\u00e8"}'.encode(), ['{"p": "Caffè 🍰 \\u00e8"}'.encode()], id="escapes kept"),
        pytest.param(b'{"a":1e400}', [b'{"a":1e400}'], id="a number that no float holds"),
    ],
)
def test_bodies_keep_their_bytes(data: bytes, bodies: list[bytes]) -> None:
    assert orders.read_bodies(data, "f.json") == bodies


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "f.json: holds no order"),
        (b" \n\r\n", "f.json: holds no order"),
        (b"[]", "f.json: holds no order"),
        (b'{"a":1}\n{"a":', "f.json, line 2: not JSON"),
        (b'{"a":1}\n\n{"a": NaN}\n', "f.json, line 3: not JSON"),
        (b'{\n"a": NaN\n}', r"f.json: not JSON \(JSON is malformed: invalid character"),
        (b'[{"a":1},]', "f.json: not JSON"),
        (b"[" * 200_000, "f.json: not JSON"),
        (b'{"a":' * 200_000, "f.json: not JSON"),
    ],
)
def test_what_is_not_json_is_named_with_the_way_out(data: bytes, reason: str) -> None:
    with pytest.raises(ShopError, match=reason) as caught:
        orders.read_bodies(data, "f.json")
    assert ("--raw" in str(caught.value)) == ("not JSON" in reason)


@pytest.mark.parametrize(
    ("body", "order_id"),
    [
        (ORDER, "A-1"),
        (NAMELESS, None),
        (b'{"orderID": 7}', None),
        (b'{"orderID": "A-1", "deep": {"orderID": "B"}}', "A-1"),
        (b'[{"orderID": "A-1"}]', None),
        (b'{"orderID": "A-1"', None),
        (b"\xff", None),
        (b"[" * 200_000, None),
    ],
)
def test_claimed_id(body: bytes, order_id: str | None) -> None:
    assert orders.claimed_id(body) == order_id


def test_an_order_is_sent_byte_for_byte_with_the_key() -> None:
    body = '{"product": "50% & + = \\" 🍰\\n", "price_per_item": 3.500}\n '.encode()
    with serving(lambda *_: ACCEPTED) as server:
        answer = api(server).post(body)
    assert server.bodies == [body]
    assert server.headers[0]["x-api-key"] == "the-key"
    assert server.headers[0]["content-type"] == "application/json"
    assert answer == Answer(None, 202, "m-1", None)


@pytest.mark.parametrize(
    ("first", "body", "requests"),
    [
        pytest.param(Reply(429, b'{"message":"Too Many Requests"}'), ORDER, 2, id="throttled"),
        pytest.param(Reply(429), NAMELESS, 2, id="throttled, nothing was taken"),
        pytest.param(
            Reply(429, b'{"message":"Limit Exceeded"}', {"x-amzn-ErrorType": "LimitExceededException"}),
            ORDER,
            1,
            id="daily quota spent",
        ),
        pytest.param(Reply(503), ORDER, 2, id="failing"),
        pytest.param(Reply(504), NAMELESS, 1, id="failing: a second copy would be a second order"),
        pytest.param(Reply(0), ORDER, 2, id="hung up"),
        pytest.param(Reply(0), NAMELESS, 1, id="hung up: a second copy would be a second order"),
        pytest.param(Reply(400), ORDER, 1, id="refused"),
        pytest.param(Reply(403), ORDER, 1, id="no right"),
        pytest.param(Reply(202), ORDER, 1, id="a 202 without message id"),
    ],
)
def test_what_is_sent_again(first: Reply, body: bytes, requests: int) -> None:
    with serving(lambda number, _: first if number == 0 else ACCEPTED) as server:
        answer = api(server).post(body)
    assert server.bodies == [body] * requests
    assert (answer.messageId == "m-1") == (requests > 1)
    assert (answer.refusal is None) == (requests > 1)


@pytest.mark.parametrize(("reply", "status"), [(Reply(429), 429), (Reply(500), 500), (Reply(0), None)])
def test_repeating_has_an_end(reply: Reply, status: int | None) -> None:
    with serving(lambda *_: reply) as server:
        answer = api(server).post(ORDER)
    assert len(server.bodies) == QUICK.attempts
    assert answer.status == status
    assert answer.refusal


def test_a_lost_answer_is_no_refusal() -> None:
    with serving(lambda *_: Reply(0)) as server:
        assert "may have been accepted" in str(api(server).post(NAMELESS).refusal)


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        (b'{"message": "price_per_item: not a number"}', "price_per_item: not a number"),
        (b"<html>\x1b[31m", "<html>\\x1b[31m"),
        (b"", "no reason given"),
        (b'["x"]', '["x"]'),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_refusal_says_what_the_api_said(reply: bytes, refusal: str) -> None:
    assert orders.read_answer("A-1", 400, reply) == Answer("A-1", 400, None, refusal)


def test_many_orders_share_a_few_open_connections() -> None:
    bodies = [b'{"orderID": "A-%d"}' % number for number in range(200)]
    together = threading.Barrier(4)

    def answer(number: int, body: bytes) -> Reply:
        if number < 4:
            together.wait(timeout=10)
        return Reply(202, json.dumps({"messageId": "m-" + json.loads(body)["orderID"]}).encode())

    advanced: list[int] = []
    with serving(answer) as server:
        answers = orders.place(api(server), bodies, 4, lambda: advanced.append(1))
    assert [(a.orderID, a.messageId) for a in answers] == [(f"A-{n}", f"m-A-{n}") for n in range(200)]
    assert sorted(server.bodies) == sorted(bodies)
    assert len(server.connections) == 4
    assert len(advanced) == 200


def test_one_connection_keeps_the_sequence() -> None:
    bodies = [b'{"orderID": "A-%d"}' % number for number in range(30)]
    with serving(lambda *_: ACCEPTED) as server:
        orders.place(api(server), bodies, 1)
    assert server.bodies == bodies


def test_nothing_more_is_sent_when_the_api_cannot_be_reached() -> None:
    with serving(lambda *_: ACCEPTED) as server:
        gone = server
    answers = orders.place(api(gone), [ORDER, ORDER, ORDER], 1)
    assert [answer.messageId for answer in answers] == [None] * 3
    assert "refused" in str(answers[0].refusal)
    assert [answer.refusal for answer in answers[1:]] == ["not sent: the API cannot be reached"] * 2


def test_an_interruption_ends_the_repeats_and_sends_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "delay", lambda *_: 60.0)

    def interrupt() -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with serving(lambda number, _: ACCEPTED if number == 0 else Reply(503)) as server, pytest.raises(KeyboardInterrupt):
        orders.place(api(server, Backoff()), [ORDER] * 500, 2, interrupt)
    assert len(server.bodies) < 500
    assert time.monotonic() - started < 30


@mock_aws
def test_a_stored_order_has_exact_numbers() -> None:
    dynamodb = boto3.client("dynamodb", region_name="eu-central-1")
    dynamodb.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "orderID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "orderID", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(
        TableName="orders",
        Item={"orderID": {"S": "A-1"}, "quantity": {"N": "2"}, "price_per_item": {"N": "0.0001"}},
    )
    item = orders.stored_order(dynamodb, "orders", "A-1")
    assert item == {"orderID": "A-1", "quantity": Decimal(2), "price_per_item": Decimal("0.0001")}
    assert orders.fields(item) == [("orderID", "A-1"), ("price_per_item", "0.0001"), ("quantity", "2")]
    assert orders.stored_order(dynamodb, "orders", "a-1") is None


class _Simulator:
    """A target whose simulator gives one fixed answer."""

    def __init__(self, payload: bytes, error: str | None = None) -> None:
        self.answer: dict[str, Any] = {"Payload": io.BytesIO(payload), **({"FunctionError": error} if error else {})}
        self.invoked: list[dict[str, Any]] = []

    def output(self, key: str) -> str:
        return f"<{key}>"

    def client(self, service: str, config: Any) -> Any:
        assert service == "lambda"
        assert config.retries == {"total_max_attempts": 1}
        return SimpleNamespace(invoke=self._invoke)

    def _invoke(self, **arguments: Any) -> dict[str, Any]:
        self.invoked.append(arguments)
        return self.answer


def test_the_simulator_is_invoked_once_with_the_event() -> None:
    target = _Simulator(b'{"sent": 20, "invalid": 3}')
    assert orders.simulate(target, {"count": 20}) == {"sent": 20, "invalid": 3}  # type: ignore[arg-type]
    assert target.invoked == [{"FunctionName": "<OrderSimulatorFunctionName>", "Payload": b'{"count":20}'}]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (
            b'{"errorType": "ValueError", "errorMessage": "count: 0 is less than 1"}',
            "ValueError: count: 0 is less than 1",
        ),
        (b'{"errorMessage": "RequestId: x Error: Task timed out"}', "RequestId: x Error: Task timed out"),
        (b"{}", "no reason given"),
        (b"null", "None"),
    ],
)
def test_a_simulator_that_raised_is_an_error(payload: bytes, reason: str) -> None:
    with pytest.raises(ShopError) as caught:
        orders.simulate(_Simulator(payload, "Unhandled"), {})  # type: ignore[arg-type]
    assert str(caught.value) == f"the order simulator failed: {reason}"


@pytest.mark.parametrize("body", ["@/etc/passwd", "it's $(id) `id` \\ \"\n🍰", '{"price_per_item": 3.50}', "", "-d"])
def test_a_curl_command_sends_the_body_as_it_is_and_holds_no_key(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    session = boto3.Session("key", "secret", region_name="eu-central-1")
    target = Target("dev", {"OrdersEndpoint": "https://x/v1/orders"}, session, None)
    command = orders.curl(target, body)
    assert command is not None
    # The shell alone reads it; a function stands for curl, so that its arguments can be seen.
    script = "curl() { printf '%s\\0' \"$@\"; }; " + command.replace("$(.venv/bin/python", "$(echo .venv/bin/python")
    words = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout.decode().split("\0")
    assert words[words.index("--data-raw") + 1] == body
    assert "x-api-key: .venv/bin/python -m shop orders key --stage dev" in words
    assert words[:2] == ["-sS", "https://x/v1/orders"]


def test_no_shell_can_send_a_nul() -> None:
    session = boto3.Session("key", "secret", region_name="eu-central-1")
    assert orders.curl(Target("dev", {"OrdersEndpoint": "https://x"}, session, None), "a\0b") is None
