"""Orders from the outside: read them from a file, send them to `POST /orders`, look one up, start the simulator.

A body is sent byte for byte as it was written. This module never parses an order and writes it again: 3.50 would
become 3.5, a repeated key would vanish, and what the person asked to have tested would not be what was sent.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING, Any

import msgspec
import urllib3
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config

from shop import http_client
from shop.errors import ShopError
from shop.http_client import Backoff, LostAnswerError, UnreachableError
from shop.output import field_rows, shorten
from shop.target import Target, stage_option

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_lambda.client import LambdaClient

JSON_WHITESPACE = b" \t\r\n"
SIMULATOR_SECONDS = 910
"""A function runs at most 900 s (Lambda quotas); the client must not hang up on it before."""


@dataclass(frozen=True)
class Answer:
    """What became of one order at the API."""

    orderID: str | None  # noqa: N815  (the field's name in the contract)
    status: int | None
    """HTTP status; None when no answer came."""
    messageId: str | None  # noqa: N815
    """The SQS message id of an accepted order."""
    refusal: str | None
    """Why the order was not accepted; None when it was."""


class _Identified(msgspec.Struct):
    orderID: str | None = None  # noqa: N815


def read_bodies(data: bytes, source: str) -> list[bytes]:
    """Return the orders in `data`, each with its exact bytes: one JSON value, an array of orders, or JSON Lines.

    Raises ShopError, naming `source` and the line, when that is not JSON or holds no order.
    """
    text = data.strip(JSON_WHITESPACE)
    if not text:
        raise ShopError(f"{source}: holds no order")
    bodies = _split_array(text, source) if text.startswith(b"[") else _split_lines(text, data, source)
    if not bodies:
        raise ShopError(f"{source}: holds no order")
    return bodies


def _split_array(text: bytes, source: str) -> list[bytes]:
    try:
        return [bytes(raw) for raw in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, RecursionError) as error:
        raise ShopError(f"{source}: {_not_json(error)}") from None


def _split_lines(text: bytes, data: bytes, source: str) -> list[bytes]:
    whole = _json_error(text)
    if whole is None:
        return [text]
    lines = [(number, line.strip(JSON_WHITESPACE)) for number, line in enumerate(data.split(b"\n"), start=1)]
    filled = [(number, line) for number, line in lines if line]
    if _json_error(filled[0][1]) is not None:
        # The first line is no order by itself: one broken order over several lines rather than JSON Lines.
        raise ShopError(f"{source}: {_not_json(whole)}")
    for number, line in filled:
        error = _json_error(line)
        if error is not None:
            raise ShopError(f"{source}, line {number}: {_not_json(error)}")
    return [line for _, line in filled]


def _json_error(text: bytes) -> Exception | None:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return error
    return None


def _not_json(error: Exception) -> str:
    return f"not JSON ({error}); --raw sends the whole file as it is"


def claimed_id(body: bytes) -> str | None:
    """Return the `orderID` that a body carries, None when it has none that can be read."""
    try:
        return msgspec.json.decode(body, type=_Identified).orderID
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class OrdersApi:
    """`POST /orders` of one target, over a few connections that stay open; may be used by that many threads."""

    def __init__(self, url: str, key: str, pool: urllib3.PoolManager, backoff: Backoff | None = None) -> None:
        self._url = url
        self._headers = {"content-type": "application/json", "x-api-key": key}
        self._pool = pool
        self._backoff = backoff or Backoff()
        self._stopped = Event()

    def stop(self) -> None:
        """Repeat nothing from now on; requests under way end as they may."""
        self._stopped.set()

    def post(self, body: bytes) -> Answer:
        """Send one order; repeat a 429, a 5xx or a lost answer, with backoff and within bounds.

        An order without `orderID` takes its message's id, so a second copy would be a second order: it is repeated
        only after 429, which says that nothing was taken. Raises UnreachableError when no connection can be made.
        """
        order_id = claimed_id(body)
        for attempt in range(self._backoff.attempts):
            answer, repeatable = self._try(body, order_id)
            if not repeatable or attempt == self._backoff.attempts - 1:
                break
            if self._stopped.wait(self._backoff.delay(attempt)):
                break
        return answer

    def _try(self, body: bytes, order_id: str | None) -> tuple[Answer, bool]:
        """Return the answer to one request and whether sending the order again may help and do no harm."""
        try:
            response = http_client.post(self._pool, self._url, self._headers, body)
        except LostAnswerError as error:
            lost = f"no answer ({error}): it may have been accepted"
            return Answer(order_id, None, None, lost), order_id is not None
        failing = response.status >= HTTPStatus.INTERNAL_SERVER_ERROR and order_id is not None
        answer = read_answer(order_id, response.status, response.data)
        return answer, failing or http_client.is_throttled(response)


def read_answer(order_id: str | None, status: int, body: bytes) -> Answer:
    """Return what the API's response says; only a 202 with a message id counts as accepted."""
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        content = None
    fields: dict[str, Any] = content if isinstance(content, dict) else {}
    message_id = fields.get("messageId")
    if status == HTTPStatus.ACCEPTED and isinstance(message_id, str) and message_id:
        return Answer(order_id, status, message_id, None)
    said = fields.get("message") or body.decode("utf-8", "replace") or "no reason given"
    return Answer(order_id, status, None, shorten(str(said), 500))


def api_key(target: Target) -> str:
    """Return the secret that `POST /orders` wants as the header `x-api-key`."""
    return http_client.api_key(target, "OrdersApiKeyId")


def open_api(target: Target, connections: int) -> OrdersApi:
    """Return the target's orders API with the API key that `OrdersApiKeyId` names."""
    url = target.output("OrdersEndpoint")
    return OrdersApi(url, api_key(target), http_client.open_pool(target, url, connections))


def curl(target: Target, body: str) -> str | None:
    """Return the command of a POSIX shell, run in the project's folder, that sends this body byte for byte.

    It has the API key fetched as it runs, so that it may be shown. None where no shell can: an argument has no NUL.
    """
    if "\0" in body:
        return None
    trusted = f" --cacert {shlex.quote(target.ca_bundle)}" if target.ca_bundle else ""
    return (
        f"curl -sS {shlex.quote(target.output('OrdersEndpoint'))}{trusted}"
        f' -H "x-api-key: $(.venv/bin/python -m shop orders key{stage_option(target.stage)})"'
        # Not --data-binary: that would send a file in place of a body that begins with "@".
        f" -H 'content-type: application/json' --data-raw {shlex.quote(body)}"
    )


def place(
    api: OrdersApi, bodies: Sequence[bytes], connections: int, on_answer: Callable[[], None] = lambda: None
) -> list[Answer]:
    """Send orders over `connections` connections at a time and return their answers in the orders' own sequence.

    With one connection they arrive in that sequence too. Once the API cannot be reached the rest is not sent.
    """
    unreachable = Event()

    def send(body: bytes) -> Answer:
        if unreachable.is_set():
            return Answer(claimed_id(body), None, None, "not sent: the API cannot be reached")
        try:
            return api.post(body)
        except UnreachableError as error:
            unreachable.set()
            return Answer(claimed_id(body), None, None, f"not sent: {error}")

    with ThreadPoolExecutor(max_workers=connections) as threads:
        futures = [threads.submit(send, body) for body in bodies]
        try:
            for _ in as_completed(futures):
                on_answer()
        except BaseException:
            api.stop()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def stored_order(dynamodb: "DynamoDBClient", table: str, order_id: str) -> dict[str, Any] | None:
    """Return the stored item with its numbers as exact `Decimal`, read consistently; None when there is none."""
    answer = dynamodb.get_item(TableName=table, Key={"orderID": {"S": order_id}}, ConsistentRead=True)
    item = answer.get("Item")
    if item is None:
        return None
    read = TypeDeserializer().deserialize
    return {name: read(value) for name, value in item.items()}


def fields(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a stored item's fields for a person: the id first, the others by name, numbers with all their digits."""
    return field_rows(item, first="orderID")


def simulate(target: Target, event: dict[str, Any]) -> dict[str, Any]:
    """Invoke the order simulator once and return its `{"sent", "invalid"}`; raise ShopError when it raised."""
    # A second invocation would send a second set of orders, so the client never repeats it.
    config = Config(read_timeout=SIMULATOR_SECONDS, retries={"total_max_attempts": 1})
    client: LambdaClient = target.client("lambda", config)
    answer = client.invoke(FunctionName=target.output("OrderSimulatorFunctionName"), Payload=msgspec.json.encode(event))
    payload: Any = msgspec.json.decode(answer["Payload"].read() or b"null")
    if "FunctionError" in answer:
        raise ShopError(f"the order simulator failed: {function_error(payload)}")
    result: dict[str, Any] = payload
    return result


def function_error(payload: Any) -> str:
    """Return one line from what Lambda answers for a function that raised (`errorType`, `errorMessage`)."""
    if not isinstance(payload, dict):
        return shorten(str(payload), 300)
    parts = (str(payload.get("errorType") or ""), str(payload.get("errorMessage") or ""))
    return shorten(": ".join(part for part in parts if part) or "no reason given", 500)
