"""Users of the order service for Locust: each creates items of its own, reads, changes, lists and deletes them.

Run by `bench.loadtest`, or from the repository's root with Locust's own page to look at:

    PYTHONPATH=. .venv/bin/locust -f bench/order_service_locust.py --stage local

Answers are checked, not only their status: an item that was written and cannot be read as it is is a failure. What is
left at the end is deleted. A throttled request (429) counts as failed, because nobody got an answer, but does not fail
the run: that is the setting at work.
"""

import json
import random
import ssl
import uuid
from collections.abc import Callable, Iterable
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Final

import gevent  # type: ignore[import-untyped]
from gevent.pool import Pool  # type: ignore[import-untyped]
from locust import FastHttpUser, constant, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.stats import StatsEntry

from shop import http_client, signing, target
from shop.target import Target

SYSTEM: Final = "order-service"
_ENDPOINT: Final = "OrderServiceEndpoint"
_API_KEY: Final = "OrderServiceApiKeyId"
_THROTTLED: Final = "429 throttled"
_PAUSE_SECONDS: Final = 1.0
"""How long a throttled user waits at the most; without a pause it would only throttle the others."""
_PAGE: Final = 25
_CONNECTIONS: Final = 8
_ERROR_CHARACTERS: Final = 200

Item = dict[str, Any]


class Service:
    """The order service of a stage: where it is and how its callers sign."""

    def __init__(self, place: Target) -> None:
        self.place = place
        self.url = place.output(_ENDPOINT)

    @cached_property
    def _key(self) -> dict[str, str]:
        return {"x-api-key": http_client.api_key(self.place, _API_KEY)} if _API_KEY in self.place.outputs else {}

    def signed(self, operation: str, payload: Item) -> tuple[dict[str, str], str]:
        """Return the headers and the body of a request."""
        body = json.dumps({"operation": operation, "payload": payload})
        headers = {"content-type": "application/json", **self._key}
        place = self.place
        return signing.signed_headers("POST", self.url, headers, body.encode(), place.credentials, place.region), body

    def delete_all(self, ids: Iterable[str]) -> int:
        """Delete the items where they are still there; return how many could not be deleted."""
        pool = http_client.open_pool(self.place, self.url, _CONNECTIONS)

        def is_gone(item_id: str) -> bool:
            backoff = http_client.Backoff()
            for attempt in range(backoff.attempts):
                headers, body = self.signed("delete", {"Key": {"id": item_id}})
                try:
                    status = http_client.post(pool, self.url, headers, body.encode()).status
                except (http_client.UnreachableError, http_client.LostAnswerError):
                    status = HTTPStatus.BAD_GATEWAY
                if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS:
                    return status in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}
                gevent.sleep(backoff.delay(attempt))
            return False

        return sum(not gone for gone in Pool(_CONNECTIONS).imap_unordered(is_gone, ids))


class OrderServiceUser(FastHttpUser):
    """Sends one request after the other, without a pause, and knows what it has stored."""

    wait_time = constant(0)
    insecure = False
    service: ClassVar[Service]
    sent_ids: ClassVar[set[str]] = set()
    """Of all users: ids that may be in the table."""

    def on_start(self) -> None:
        """Begin with nothing stored."""
        self.items: dict[str, Item] = {}

    @task(2)
    def create(self) -> None:
        """Store a new item."""
        item_id = f"loadtest-{uuid.uuid4()}"
        item = {"id": item_id, "price": _price(), "product": "Beautiful Jacket"}
        self.sent_ids.add(item_id)
        if self._send("create", {"Item": item}, lambda answer: answer["Item"] == item, HTTPStatus.CREATED):
            self.items[item_id] = item

    @task(5)
    def read(self) -> None:
        """Read an item of one's own back."""
        if item := self._any_item():
            self._send(
                "read",
                {"Key": {"id": item["id"]}, "ConsistentRead": True},
                lambda answer: answer["Item"] == item,
            )

    @task(2)
    def update(self) -> None:
        """Change an item's price."""
        if not (item := self._any_item()):
            return
        changed = {**item, "price": _price()}
        payload = {
            "Key": {"id": item["id"]},
            "UpdateExpression": "SET price = :price",
            "ExpressionAttributeValues": {":price": changed["price"]},
        }
        # Taken out until the answer is there: without one nobody knows what is stored.
        del self.items[item["id"]]
        if self._send("update", payload, lambda answer: answer["Attributes"] == changed):
            self.items[item["id"]] = changed

    @task(1)
    def delete(self) -> None:
        """Delete an item."""
        if not (item := self._any_item()):
            return
        del self.items[item["id"]]
        if self._send("delete", {"Key": {"id": item["id"]}}, lambda answer: answer["Attributes"] == item):
            self.sent_ids.discard(item["id"])

    @task(1)
    def list(self) -> None:
        """Ask for the table's first page, which is anybody's."""
        self._send("list", {"Limit": _PAGE}, lambda answer: answer["Count"] == len(answer["Items"]) <= _PAGE)

    def _any_item(self) -> Item | None:
        """One of the own items; None, and one is created instead, where there is none yet."""
        if not self.items:
            self.create()
            return None
        return random.choice([*self.items.values()])  # noqa: S311 (no secret)

    def _send(
        self, operation: str, payload: Item, is_right: Callable[[Any], bool], expected: HTTPStatus = HTTPStatus.OK
    ) -> bool:
        """Sends a request and checks the answer; whether both went well."""
        headers, body = self.service.signed(operation, payload)
        with self.client.post(
            self.service.url, data=body, headers=headers, name=operation, catch_response=True
        ) as answer:
            problem = _problem(answer.status_code, answer.text or "", expected, is_right)
            if problem:
                answer.failure(problem)
        if problem == _THROTTLED:
            gevent.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 (no secret)
        return problem is None


def _price() -> float:
    return random.randrange(1, 1_000_000) / 100  # noqa: S311 (no secret)


def _problem(status: int, text: str, expected: HTTPStatus, is_right: Callable[[Any], bool]) -> str | None:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _THROTTLED
    if status != expected:
        return f"{status or 'no answer'}: {text[:_ERROR_CHARACTERS]}"
    try:
        return None if is_right(json.loads(text)) else f"{status} with another content than was stored"
    except (ValueError, LookupError, TypeError):
        return f"{status} with an answer of another form"


def _add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--stage", default=target.LOCAL, help="the stage whose order service gets the load")
    parser.add_argument("--summary", default="", include_in_web_ui=False, help="file to write the results to, as JSON")


def _connect(environment: Environment, **_: Any) -> None:
    assert environment.parsed_options is not None  # noqa: S101 (Locust has parsed them by now)
    place = target.find(environment.parsed_options.stage, SYSTEM)
    OrderServiceUser.service = Service(place)
    OrderServiceUser.host = OrderServiceUser.service.url
    OrderServiceUser.ssl_context_factory = staticmethod(lambda: ssl.create_default_context(cafile=place.ca_bundle))


def _finish(environment: Environment, **_: Any) -> None:
    """Cleans up, writes the results and decides how the run went."""
    left_behind = OrderServiceUser.service.delete_all(OrderServiceUser.sent_ids)
    stats = environment.stats
    errors = {f"{error.name}: {error.error}": error.occurrences for error in stats.errors.values()}
    throttled = sum(count for text, count in errors.items() if text.endswith(_THROTTLED))
    failed = stats.total.num_failures - throttled
    raised = len(environment.runner.exceptions) if environment.runner else 0
    environment.process_exit_code = int(bool(failed or raised or left_behind or not stats.total.num_requests))
    assert environment.parsed_options is not None  # noqa: S101 (see above)
    if file := environment.parsed_options.summary:
        operations = [_summary(entry) for _, entry in sorted(stats.entries.items())]
        total = {**_summary(stats.total), "throttled": throttled, "left_behind": left_behind}
        Path(file).write_text(json.dumps({"operations": operations, "total": total, "errors": errors}))


def _summary(entry: StatsEntry) -> dict[str, Any]:
    """One operation's results; times in milliseconds."""
    return {
        "operation": entry.name,
        "requests": entry.num_requests,
        "failures": entry.num_failures,
        "requests_per_second": round(entry.total_rps, 1),
        **{f"p{part}_ms": round(entry.get_response_time_percentile(part / 100), 1) for part in (50, 95, 99)},
        "longest_ms": round(entry.max_response_time, 1),
    }


# Calls and not decorators, which have no types and would take them from what they decorate.
events.init_command_line_parser.add_listener(_add_options)  # type: ignore[no-untyped-call]
events.init.add_listener(_connect)  # type: ignore[no-untyped-call]
events.quitting.add_listener(_finish)  # type: ignore[no-untyped-call]
