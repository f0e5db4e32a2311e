"""Sends made-up orders of a café to the orders queue, some of them invalid, as a second producer beside the API."""

import json
import os
import random
import reprlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from shared.aws import make_client
from shared.entries import MOST_ENTRIES, send_entries
from shared.log import logger
from shared.times import Context, has_time_for_a_call

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_DEFAULT_COUNT: Final = 20
_DEFAULT_ERROR_RATE: Final = 0.15
_MOST_ORDERS: Final = 10_000
_CUSTOMERS: Final = 500
_PRODUCTS: Final = {
    "Espresso": 220,
    "Double Espresso": 290,
    "Caffè Latte": 350,
    "Cappuccino": 340,
    "Flat White": 380,
    "Café au Lait": 330,
    "Chai Latte": 420,
    "Hot Chocolate": 390,
    "Fresh Mint Tea": 310,
    "Orange Juice": 450,
    "Butter Croissant": 260,
    "Pain au Chocolat": 290,
    "Crème Brûlée": 620,
    "Carrot Cake": 480,
    "Banana Bread": 360,
    "Ham & Cheese Toastie": 690,
    "Avocado Bagel": 750,
    "Granola Bowl": 670,
}
"""What the café sells, with the usual price in cents."""

_INVALID_PRICE: Final = "err"
_Order = dict[str, Any]

_sqs: "SQSClient" = make_client("sqs")


@dataclass(frozen=True)
class _Run:
    """What an event asks for."""

    count: int
    error_rate: float
    seed: int | None


class NotAllSentError(RuntimeError):
    """SQS did not take every order; the text has the counts and the log the reasons."""


def handler(event: Mapping[str, Any] | None, context: Context) -> dict[str, int]:
    """Sends `count` orders and returns how many were sent and how many of these are invalid.

    The event may have `count` (20), `error_rate` (0.15) and `seed` (random). The same seed gives the same products,
    quantities, prices, customers and invalid orders; the ids are new in each run, so that these are new orders.

    Raises:
        ValueError: a value breaks its rule; nothing was sent.
        NotAllSentError: SQS did not take every order in time.
    """
    run = _read_event({} if event is None else event)
    orders = _make_orders(run)
    sent: list[_Order] = []
    while chunk := list(islice(orders, MOST_ENTRIES)):
        taken = _send(chunk, context)
        sent += taken
        if len(taken) < len(chunk):
            raise NotAllSentError(f"SQS took {len(sent)} of {run.count} orders; the log names the errors")
    result = {"sent": len(sent), "invalid": sum(order["price_per_item"] == _INVALID_PRICE for order in sent)}
    logger.info("orders sent", extra=result)
    return result


def _read_event(event: Mapping[str, Any]) -> _Run:
    if not isinstance(event, Mapping):
        raise _invalid("event", event, "a JSON object")
    count = event.get("count", _DEFAULT_COUNT)
    if type(count) is not int or not 0 <= count <= _MOST_ORDERS:
        raise _invalid("count", count, f"an integer between 0 and {_MOST_ORDERS}")
    error_rate = event.get("error_rate", _DEFAULT_ERROR_RATE)
    if type(error_rate) not in {int, float} or not 0 <= error_rate <= 1:
        raise _invalid("error_rate", error_rate, "a number between 0 and 1")
    seed = event.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise _invalid("seed", seed, "an integer of at least 0")
    return _Run(count, error_rate, seed if "seed" in event else None)


def _invalid(field: str, value: object, rule: str) -> ValueError:
    return ValueError(f"{field}: {reprlib.repr(value)} is not {rule}")


def _make_orders(run: _Run) -> Iterator[_Order]:
    dice = random.Random(run.seed)  # noqa: S311 (no secret; a seed must repeat the orders)
    run_id = secrets.token_hex(8)
    for number in range(run.count):
        product = dice.choice(list(_PRODUCTS))
        cents = _PRODUCTS[product] + dice.randrange(-20, 61, 5)
        quantity = dice.choices((1, 2, 3, 4, 6, 12), weights=(50, 25, 10, 8, 5, 2))[0]
        customer = dice.randint(1, _CUSTOMERS)
        is_invalid = dice.random() < run.error_rate
        yield {
            "orderID": f"SIM-{run_id}-{number:05}",
            "customer_id": f"C-{customer}",
            "product": product,
            "quantity": quantity,
            # A float holds hundredths of this size such that JSON shows at most two decimals.
            "price_per_item": _INVALID_PRICE if is_invalid else cents / 100,
            "order_date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }


def _send(orders: list[_Order], context: Context) -> list[_Order]:
    """Sends orders in one call, the failed again; returns those that SQS took."""
    remaining_ms = context.get_remaining_time_in_millis
    if not has_time_for_a_call(remaining_ms):
        logger.warning("no time left", extra={"remaining_ms": remaining_ms()})
        return []
    entries: list[SendMessageBatchRequestEntryTypeDef] = [
        {"Id": str(place), "MessageBody": json.dumps(order)} for place, order in enumerate(orders)
    ]
    queue = os.environ["ORDERS_QUEUE_URL"]
    taken = send_entries(
        lambda waiting: _sqs.send_message_batch(QueueUrl=queue, Entries=waiting), entries, remaining_ms
    )
    return [order for place, order in enumerate(orders) if str(place) in taken]
