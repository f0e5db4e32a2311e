"""An order as it is typed: nothing typed is changed on its way into the body, and every broken rule has its field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop.order_form import BODY, body, broken_rules
from shop.order_rules import FIELDS, InvalidOrder, decode_order

VALID = {"orderID": "A-1", "product": "Caffè Latte", "quantity": "2", "price_per_item": "3.50"}
TYPED = st.fixed_dictionaries(
    {
        "orderID": st.sampled_from(["", "A-1", "a b", "x" * 65]) | st.text(max_size=3),
        "product": st.sampled_from(["", "Tea", '"', "é" * 201]) | st.text(max_size=3),
        "quantity": st.sampled_from(["", "1", "2.0", "10001", "true", "01", " 1", "-1", "1e1"]),
        "price_per_item": st.sampled_from(["", "3.50", "1E2", "0.00001", "err", "NaN", "-1", "1000000.1", "1e999999"]),
        "customer_id": st.sampled_from(["", "C-7", "c" * 65]) | st.text(max_size=3),
        "order_date": st.sampled_from(["", "2026-11-26T09:15:00Z", "2026-02-30T00:00:00Z", "yesterday"]),
    }
)


def test_a_body_has_the_number_tokens_that_were_typed() -> None:
    assert body({**VALID, "price_per_item": "1E2"}) == (
        '{"orderID": "A-1", "product": "Caffè Latte", "quantity": 2, "price_per_item": 1E2}'
    )
    assert '"price_per_item": 3.50}' in body(VALID)
    assert body({"product": "", "quantity": "2.0"}) == '{"quantity": 2.0}'


@pytest.mark.parametrize("typed", ["err", "NaN", "01", "1.", " 1", "1, 2", '1}, {"a": 1', "٣"])
def test_what_is_no_number_is_sent_as_text(typed: str) -> None:
    assert json.loads(body({"price_per_item": typed})) == {"price_per_item": typed}


@given(typed=TYPED)
def test_rules_are_broken_exactly_where_the_processor_refuses(typed: dict[str, str]) -> None:
    refused = None
    try:
        decode_order(body(typed), "0")
    except InvalidOrder as error:
        refused = error.field
    errors = broken_rules(typed)
    assert refused in errors if refused else errors == {}


def test_each_field_has_its_own_rule() -> None:
    typed = {
        "orderID": "a b",
        "product": "",
        "quantity": "2.0",
        "price_per_item": "err",
        "customer_id": "c" * 65,
        "order_date": "2026-02-30T09:15:00Z",
    }
    errors = broken_rules(typed)
    assert set(errors) == set(FIELDS)
    assert errors["quantity"] == "2.0 is not an integer"
    assert errors["price_per_item"] == '"err" is not a number'
    assert errors["product"] == "is missing"
    assert errors["order_date"] == '"2026-02-30T09:15:00Z" is not a day of the calendar'


def test_what_no_field_is_to_blame_for_is_said_of_the_body() -> None:
    assert set(broken_rules({**VALID, "product": "\ud800"})) == {BODY}
