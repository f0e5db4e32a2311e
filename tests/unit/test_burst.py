"""Many orders at once: each valid and new, all of them sent, and told as they go."""

import json
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest

from shop import burst, orders
from shop.burst import Sent
from shop.order_rules import decode_order
from shop.orders import Answer


def test_the_orders_are_valid_and_new_in_each_burst() -> None:
    bodies = [*burst.make_orders(100), *burst.make_orders(100)]
    assert len({decode_order(body, "0").order_id for body in bodies}) == 200


@pytest.mark.parametrize(("count", "steps"), [(40, [40]), (41, [40, 1]), (90, [40, 40, 10])])
def test_every_order_is_sent_and_told(monkeypatch: pytest.MonkeyPatch, count: int, steps: list[int]) -> None:
    sent: list[bytes] = []

    def place(_: object, bodies: Sequence[bytes], connections: int) -> list[Answer]:
        assert connections == burst.CONNECTIONS
        sent.extend(bodies)
        refused = [json.loads(body)["orderID"].endswith("7") for body in bodies]
        return [Answer(None, 429 if no else 202, None if no else "m", "Too Many" if no else None) for no in refused]

    def open_api(target: Any, connections: int) -> Any:
        return target, connections

    monkeypatch.setattr(orders, "open_api", open_api)
    monkeypatch.setattr(orders, "place", place)
    told: list[tuple[int, Sent]] = []
    target: Any = object()
    result = burst.send(target, count, lambda just, so_far: told.append((just, so_far)))
    assert len(set(sent)) == count
    assert [just for just, _ in told] == steps
    assert [so_far.accepted + so_far.refused for _, so_far in told] == list(accumulate(steps))
    refused = count // 10
    assert result == told[-1][1] == Sent(count - refused, refused, "Too Many")
    assert str(result) == f"{count - refused} accepted, {refused} refused: Too Many"
