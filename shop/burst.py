"""Many made-up orders sent to `POST /orders` in one go, so that one can watch what they do."""

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shop import orders
from shop.order_form import body
from shop.order_rules import CUSTOMER_ID, ORDER_ID, PRICE, PRODUCT, QUANTITY
from shop.target import Target

CONNECTIONS: Final = 8
MOST: Final = 5_000
_AT_A_TIME: Final = 5 * CONNECTIONS
"""Orders after which it is told how far the burst is."""
_MENU: Final = (("Espresso", "2.20"), ("Caffè Latte", "3.50"), ("Chai Latte", "4.20"), ("Carrot Cake", "4.80"))


@dataclass(frozen=True)
class Sent:
    """What became of the orders of a burst so far."""

    accepted: int = 0
    refused: int = 0
    """By the API, or without an answer."""
    refusal: str | None = None
    """Why the last one was refused."""

    def __str__(self) -> str:
        said = f"{self.accepted:,} accepted, {self.refused:,} refused"
        return said if self.refusal is None else f"{said}: {self.refusal}"


def send(target: Target, count: int, tell: Callable[[int, Sent], None]) -> Sent:
    """Send `count` orders over 8 connections; `tell` hears now and then how many were just sent, and of all so far.

    Raises what `orders.open_api` does; that the API cannot be reached later is a refusal.
    """
    api = orders.open_api(target, CONNECTIONS)
    bodies = make_orders(count)
    sent = Sent()
    for start in range(0, count, _AT_A_TIME):
        answers = orders.place(api, bodies[start : start + _AT_A_TIME], CONNECTIONS)
        refusals = [answer.refusal for answer in answers if answer.refusal is not None]
        sent = Sent(
            sent.accepted + len(answers) - len(refusals),
            sent.refused + len(refusals),
            refusals[-1] if refusals else sent.refusal,
        )
        tell(len(answers), sent)
    return sent


def make_orders(count: int) -> list[bytes]:
    """Return the bodies of so many valid orders, each with an id of its own."""
    run = secrets.token_hex(6)
    return [_make_order(f"BURST-{run}-{number:05}").encode() for number in range(count)]


def _make_order(order_id: str) -> str:
    product, price = random.choice(_MENU)  # noqa: S311  (no secret)
    quantity, customer = random.randint(1, 4), random.randint(1, 500)  # noqa: S311
    typed = {ORDER_ID: order_id, PRODUCT: product, QUANTITY: str(quantity), PRICE: price, CUSTOMER_ID: f"C-{customer}"}
    return body(typed)
