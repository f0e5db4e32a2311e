"""What it costs to decode and check an order: msgspec against json with checks by hand.

    PYTHONPATH=lambdas python -m bench.order_decode [--json FILE]

Prints the CPU time of each an order. Both sides obey the same rules with the
same functions for prices and dates; they differ in how they get from text to typed fields and find what is no order.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from bench import harness
from shared import order_rules as rules
from shared.orders import decode_order

_ROUNDS = 15
_ORDERS_A_ROUND = 4_000
_BODIES = {
    "full": '{"orderID": "A-1001", "customer_id": "C-7", "product": "Caffè Latte", "quantity": 2, '
    '"price_per_item": 3.50, "order_date": "2026-11-26T09:15:00Z"}',
    "required fields": '{"product": "Caffè Latte", "quantity": 2, "price_per_item": 3.50}',
}


class _Number(str):
    """The token of a JSON number."""

    __slots__ = ()


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise rules.InvalidOrder("body", "has a repeated key")
    return fields


_JSON = json.JSONDecoder(object_pairs_hook=_without_repeats, parse_int=_Number, parse_float=_Number)


def _string(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if type(value) is not str:
        raise rules.InvalidOrder(name, "is not a string")
    return value


def _number(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if type(value) is not _Number:
        raise rules.InvalidOrder(name, "is not a number")
    return value


def decode_by_hand(body: str, fallback_id: str) -> rules.Order:
    """The same as `decode_order` for the bodies measured here, with the json module."""
    fields = _JSON.decode(body)
    if not isinstance(fields, dict) or not fields.keys() <= set(rules.FIELDS):
        raise rules.InvalidOrder("body", "is not an order")
    for name in rules.REQUIRED_FIELDS:
        if name not in fields:
            raise rules.InvalidOrder(name, "is missing")
    return rules.Order(
        order_id=rules.check_id(_string(fields, rules.ORDER_ID) if rules.ORDER_ID in fields else fallback_id),
        product=rules.check_length(_string(fields, rules.PRODUCT), rules.PRODUCT, rules.LONGEST_PRODUCT),
        quantity=rules.parse_quantity(_number(fields, rules.QUANTITY)),
        price_per_item=rules.parse_price(_number(fields, rules.PRICE)),
        customer_id=rules.check_length(_string(fields, rules.CUSTOMER_ID), rules.CUSTOMER_ID, rules.LONGEST_CUSTOMER_ID)
        if rules.CUSTOMER_ID in fields
        else None,
        order_date=rules.check_date_time(_string(fields, rules.ORDER_DATE)) if rules.ORDER_DATE in fields else None,
    )


def _microseconds(decode: Callable[[str, str], rules.Order], body: str) -> float:
    start = time.process_time()
    for _ in range(_ORDERS_A_ROUND):
        decode(body, "message-1")
    return (time.process_time() - start) / _ORDERS_A_ROUND * 1e6


def _rows(name: str, body: str) -> list[harness.Row]:
    if decode_by_hand(body, "message-1") != decode_order(body, "message-1"):
        raise AssertionError(f"{name}: the two decoders do not agree")
    times = harness.interleave(
        {
            "json and checks by hand": lambda: _microseconds(decode_by_hand, body),
            "msgspec": lambda: _microseconds(decode_order, body),
        },
        repeat=_ROUNDS,
    )
    baseline = times["json and checks by hand"]
    return [harness.row(f"{name}, {way}", sample, baseline, "µs") for way, sample in times.items()]


def main() -> None:
    """Measures both in turn, so that both see the same machine, and hands the table in."""
    parser = argparse.ArgumentParser(description="Compare ways to decode and check an order.")
    harness.add_options(parser)
    options = parser.parse_args()
    rows = [row for name, body in _BODIES.items() for row in _rows(name, body)]
    note = "CPU time of one order. The processor decodes with msgspec."
    table = harness.Table("Decoding and checking an order", "json and checks by hand", rows, (note,))
    harness.hand_in("order_decode", [table], options.json)


if __name__ == "__main__":
    main()
