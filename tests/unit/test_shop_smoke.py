"""Trying a stage out: what counts as working, and where no order is sent."""

from types import SimpleNamespace
from typing import Any

import pytest

from shop import order_service, orders, smoke, target
from shop.orders import Answer


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stage whose service answers in 12 ms; what is said about it."""
    where = SimpleNamespace(client=lambda _service: None, output=lambda key: key)
    monkeypatch.setattr(target, "find", lambda *_: where)
    monkeypatch.setattr(order_service, "open_service", lambda _: SimpleNamespace(ping=lambda: 12.3))
    return []


def place(monkeypatch: pytest.MonkeyPatch, refusal: str | None, *, stored_after: int) -> list[bytes]:
    """Has the API answer, and the table have the order from a look on; the bodies that were sent."""
    sent: list[bytes] = []
    looks: list[str] = []

    def post(body: bytes) -> Answer:
        sent.append(body)
        return Answer(None, None, None, refusal)

    def look(_dynamodb: Any, table: str, order_id: str) -> dict[str, str] | None:
        assert table == "OrdersTableName"
        assert order_id.encode() in sent[0]
        looks.append(order_id)
        return {} if len(looks) > stored_after else None

    monkeypatch.setattr(orders, "open_api", lambda *_: SimpleNamespace(post=post))
    monkeypatch.setattr(orders, "stored_order", look)
    monkeypatch.setattr("shop.smoke.time.sleep", lambda _: None)
    return sent


def test_a_stage_works_when_its_service_answers_and_an_order_is_stored(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    sent = place(monkeypatch, None, stored_after=3)
    smoke.smoke("dev", say=said.append)
    assert len(sent) == 1
    assert said[0] == "the order service answered in 12 ms"
    assert said[1].startswith("an order was stored ")


def test_no_order_is_sent_where_orders_are_customers(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    sent = place(monkeypatch, None, stored_after=0)
    smoke.smoke("prod", say=said.append)
    assert sent == []
    assert said[1] == "no order was sent: those of stage prod are customers'"


def test_a_refused_order_fails(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    place(monkeypatch, "403: Forbidden", stored_after=0)
    with pytest.raises(smoke.SmokeError, match="was refused: 403: Forbidden"):
        smoke.smoke("dev", say=said.append)


def test_an_order_that_is_never_stored_fails(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    place(monkeypatch, None, stored_after=1_000_000)
    with pytest.raises(smoke.SmokeError, match="accepted but not stored within 0 s: orders trace"):
        smoke.smoke("dev", say=said.append, patience=0)
