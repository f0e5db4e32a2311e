"""The deployed order service as a test's client sees it: signed requests, exact numbers, and its table."""

import http.client
import json
import ssl
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.credentials import Credentials

from shop.local.clients import client
from shop.local.cloud import Cloud
from shop.signing import signed_headers

CONNECTIONS = 20
_TIMEOUT_SECONDS = 30
_MOST_IN_A_BATCH = 25
"""DynamoDB, BatchWriteItem."""


@dataclass(frozen=True)
class Response:
    status: int
    body: Any
    """The JSON value, numbers with a fraction as Decimal; None for an empty body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""

    @property
    def etag(self) -> str:
        return self.headers["etag"]

    @property
    def error(self) -> str:
        """The error's stable code, of a body that has the one form of errors."""
        assert set(self.body) == {"error", "message"}, self
        assert self.body["message"], self
        return str(self.body["error"])


@dataclass(frozen=True)
class OrderService:
    cloud: Cloud
    outputs: Mapping[str, str]

    def client(self, service: str) -> Any:
        return client(self.cloud, service)

    @property
    def endpoint(self) -> str:
        """The URL of POST /order."""
        return self.outputs["OrderServiceEndpoint"]

    @property
    def table(self) -> str:
        return self.outputs["OrderServiceTableName"]

    @cached_property
    def credentials(self) -> Credentials:
        """The account's root, who may do everything."""
        return Credentials(self.cloud.access_key_id, self.cloud.secret_access_key)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.cloud.ca_bundle)

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        unsigned: bool = False,
    ) -> Response:
        """One request; a body that is no text or bytes is sent as JSON. The URL goes out as it is, unnormalised."""
        data = body if body is None or isinstance(body, bytes) else _text(body).encode()
        sent = ({"content-type": "application/json"} if data is not None else {}) | dict(headers or {})
        if not unsigned:
            sent = signed_headers(method, url, sent, data or b"", credentials or self.credentials, self.cloud.region)
        parts = urlsplit(url)
        connection = http.client.HTTPSConnection(parts.netloc, context=self._tls, timeout=_TIMEOUT_SECONDS)
        try:
            connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), data, sent)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, json.loads(text, parse_float=Decimal) if text else None, found)

    def post(self, body: Any, **options: Any) -> Response:
        """POST /order with this body."""
        return self.request("POST", self.endpoint, body, **options)

    def run(self, operation: str, payload: Any = None, **members: Any) -> Response:
        """POST /order with the envelope of an operation."""
        envelope = {"operation": operation} | ({} if payload is None else {"payload": payload})
        return self.post(envelope | members)

    def item_url(self, item_id: str) -> str:
        return f"{self.endpoint}/{percent_encoded(item_id)}"

    def on_item(self, method: str, item_id: str, body: Any = None, **headers: str) -> Response:
        """A request on /order/{id}; headers with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(method, self.item_url(item_id), body, headers=named)

    def page(self, query: str = "") -> Response:
        """GET /order with this query."""
        return self.request("GET", f"{self.endpoint}?{query}" if query else self.endpoint)

    def at_once(self, requests: Iterable[Any], number: int = CONNECTIONS) -> list[Any]:
        """What callables give that run on so many threads at the same time."""
        with ThreadPoolExecutor(number) as threads:
            return [future.result() for future in [threads.submit(request) for request in requests]]

    def stored(self, item_id: str) -> dict[str, Any] | None:
        """The stored item in DynamoDB's low-level form."""
        key = {"id": {"S": item_id}}
        answer = self.client("dynamodb").get_item(TableName=self.table, Key=key, ConsistentRead=True)
        return dict(answer["Item"]) if "Item" in answer else None

    def fill(self, ids: Iterable[str]) -> None:
        """Puts items with these ids and a number straight into the table."""
        writes = [{"PutRequest": {"Item": {"id": {"S": item_id}, "n": {"N": "1"}}}} for item_id in ids]
        self._write(writes)

    def clear(self, ids: Iterable[str]) -> None:
        """Removes the items with these ids straight from the table."""
        self._write([{"DeleteRequest": {"Key": {"id": {"S": item_id}}}} for item_id in ids])

    def _write(self, writes: list[dict[str, Any]]) -> None:
        dynamodb = self.client("dynamodb")

        def write(batch: list[dict[str, Any]]) -> None:
            left = {self.table: batch}
            while left:
                left = dynamodb.batch_write_item(RequestItems=left)["UnprocessedItems"]

        batches = [writes[start : start + _MOST_IN_A_BATCH] for start in range(0, len(writes), _MOST_IN_A_BATCH)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(write, batches))

    def walk(self, limit: int, **payload: Any) -> Iterator[list[dict[str, Any]]]:
        """The pages of `list`, to the end."""
        while True:
            answer = self.run("list", {"Limit": limit, **payload})
            assert answer.status == 200, answer
            assert answer.body["Count"] == len(answer.body["Items"]) <= limit
            yield answer.body["Items"]
            if "LastEvaluatedKey" not in answer.body:
                return
            payload["ExclusiveStartKey"] = answer.body["LastEvaluatedKey"]


def percent_encoded(item_id: str) -> str:
    """An id as a segment of a path; those that clients take for "here" and "up" with their dots encoded too."""
    return item_id.replace(".", "%2E") if item_id in (".", "..") else quote(item_id, safe="")


def _text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body)
