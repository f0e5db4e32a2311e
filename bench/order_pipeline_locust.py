"""Customers of the order pipeline for Locust: each sends an order a second, at first a few, then five times as many.

Run by `bench.pipeline_load`. Each answer is written to a file as it comes, in a form that `shop.audit` reads; what
became of the orders is for others to find out. Nothing is sent again: the figures are those of single requests.
"""

import itertools
import json
import ssl
import time
from pathlib import Path
from typing import Any, ClassVar, Final, TextIO

from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from shop import http_client, orders, target

STEADY: Final = "steady"
SPIKE: Final = "spike"
SPIKE_FACTOR: Final = 5
_ORDERS_A_SECOND: Final = 1.0
"""Of each user."""


class Customer(FastHttpUser):
    """Sends an order a second, or as many as it gets answers to."""

    wait_time = constant_throughput(_ORDERS_A_SECOND)
    insecure = False
    url: ClassVar[str]
    headers: ClassVar[dict[str, str]]
    run_id: ClassVar[str]
    answers: ClassVar[TextIO]
    numbers: ClassVar = itertools.count()
    phase: ClassVar[str] = STEADY

    @task
    def order(self) -> None:
        """Send one order and write down the answer."""
        order_id = f"{self.run_id}-{next(self.numbers)}"
        body = json.dumps({"orderID": order_id, "product": "Load test", "quantity": 1, "price_per_item": 0.01})
        phase, sent_at = self.phase, time.time()
        with self.client.post(self.url, data=body, headers=self.headers, name=phase, catch_response=True) as response:
            # Locust's status 0 is no status at all: no answer came, and the order may be on the queue or not.
            answer = orders.read_answer(order_id, response.status_code, (response.text or "").encode())
            if answer.refusal is not None:
                response.failure(answer.refusal)
            line = {
                "orderID": order_id,
                "messageId": answer.messageId,
                "status": answer.status or None,
                "refusal": answer.refusal,
                "phase": phase,
                "sent_at": sent_at,
                "answered_at": time.time(),
            }
            self.answers.write(json.dumps(line) + "\n")
            self.answers.flush()


class SteadyThenSpike(LoadTestShape):
    """A steady rate, then five times as much, then the end."""

    use_common_options = False

    def tick(self) -> tuple[int, float] | None:
        """Return how many customers there are now, and how many may come a second; None at the end."""
        assert self.runner is not None  # noqa: S101 (Locust sets it before the first tick)
        options = self.runner.environment.parsed_options
        assert options is not None  # noqa: S101 (see above)
        elapsed: float = self.get_run_time()  # type: ignore[no-untyped-call]
        if elapsed < options.steady_seconds:
            return options.customers, options.customers
        if elapsed < options.steady_seconds + options.spike_seconds:
            Customer.phase = SPIKE
            return SPIKE_FACTOR * options.customers, SPIKE_FACTOR * options.customers
        return None


def _add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--stage", default=target.LOCAL, help="the stage whose pipeline gets the load")
    parser.add_argument("--customers", type=int, default=10, help="orders a second to begin with")
    parser.add_argument("--steady-seconds", type=int, default=20)
    parser.add_argument("--spike-seconds", type=int, default=10)
    parser.add_argument("--run-id", default=f"loadtest-{time.time_ns()}", help="what the orders' ids begin with")
    parser.add_argument("--answers", default="answers.jsonl", help="file to write the answers to")


def _connect(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None  # noqa: S101 (Locust has parsed them by now)
    place = target.find(options.stage)
    Customer.url = Customer.host = place.output("OrdersEndpoint")
    Customer.headers = {
        "content-type": "application/json",
        "x-api-key": http_client.api_key(place, "OrdersApiKeyId"),
    }
    Customer.run_id = options.run_id
    Customer.answers = Path(options.answers).open("w", encoding="utf-8")  # noqa: SIM115 (open as long as Locust runs)
    Customer.ssl_context_factory = staticmethod(lambda: ssl.create_default_context(cafile=place.ca_bundle))


def _finish(environment: Environment, **_: Any) -> None:
    """Whether the run went well is told by the answers; only what users raised is Locust's own to report."""
    raised = len(environment.runner.exceptions) if environment.runner else 0
    environment.process_exit_code = int(bool(raised))


# Calls and not decorators, which have no types and would take them from what they decorate.
events.init_command_line_parser.add_listener(_add_options)  # type: ignore[no-untyped-call]
events.init.add_listener(_connect)  # type: ignore[no-untyped-call]
events.quitting.add_listener(_finish)  # type: ignore[no-untyped-call]
