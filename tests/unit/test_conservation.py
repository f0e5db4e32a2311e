"""The check that all fault tests rest on finds each way in which an order can be lost or doubled."""

from dataclasses import replace
from decimal import Decimal

import pytest

from shared.order_rules import Order
from tests.conservation import Seen, order_in, unfinished, violations

BODY = '{"orderID": "A-1", "product": "Tea", "quantity": 1, "price_per_item": 2.50}'
ORDER = Order("A-1", "Tea", 1, Decimal("2.5"))
QUIET = Seen({"m1": BODY, "m2": "no order"}, queued=(), dead={"m2"}, stored=[ORDER], announced=[ORDER])


def test_stored_and_announced_and_dead_lettered_is_fine() -> None:
    assert violations(QUIET) == []
    assert unfinished(QUIET) == []


def test_an_order_without_an_id_is_looked_for_under_its_message_id() -> None:
    assert order_in("m9", '{"product": "Tea", "quantity": 1, "price_per_item": 2}') == Order("m9", "Tea", 1, Decimal(2))


def test_what_is_in_two_places_is_fine() -> None:
    assert violations(replace(QUIET, queued={"m1"}, dead={"m1", "m2"})) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stored": [], "announced": []}, "m1: order A-1 was accepted and is nowhere"),
        ({"dead": ()}, "m2: accepted, no order, and not in the dead-letter queue"),
        ({"stored": [ORDER, ORDER]}, "A-1: stored 2 times"),
        ({"stored": [ORDER, ORDER._replace(order_id="m1")]}, "m1: stored with a content that nobody sent"),
        ({"stored": [ORDER._replace(quantity=2)], "announced": ()}, "A-1: stored with a content that nobody sent"),
        ({"announced": [ORDER, ORDER._replace(quantity=2)]}, "A-1: announced and not stored so"),
    ],
)
def test_each_violation_is_named(changes: dict[str, object], words: str) -> None:
    assert words in violations(replace(QUIET, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"queued": {"m3"}}, "m3: on the queue"), ({"announced": []}, "A-1: stored and not announced")],
)
def test_what_is_still_to_happen_is_named(changes: dict[str, object], words: str) -> None:
    assert unfinished(replace(QUIET, **changes)) == [words]  # type: ignore[arg-type]
