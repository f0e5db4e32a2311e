"""The API's model against the processor, which is the authority: what the processor takes, the model lets in."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from shared.orders import InvalidOrder, decode_order
from tests.templates.synthesis import synthesise, the_only


@pytest.fixture(scope="module")
def model() -> Draft4Validator:
    """The schema as CloudFormation gets it: the CDK translates property names on the way."""
    order = the_only(synthesise("dev").templates["dev-order-pipeline"], "AWS::ApiGateway::Model")
    return Draft4Validator(exact(json.dumps(order["Schema"])))


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


VALID = {"product": "Caffè Latte", "quantity": 2, "price_per_item": 3.5}

prices = st.one_of(
    st.integers(0, 1_000_000).map(str),
    st.decimals(0, 1_000_000, places=4, allow_nan=False).map(str),
    st.sampled_from(["0", "0.0001", "1E2", "1e-4", "3.50000", "999999.9999", "1000000.0000", "0.1", "1.15", "3.57"]),
)
ids = st.text("ABCXYZabcxyz0189._-", min_size=1, max_size=64)
dates = st.builds(
    "{}{}{}{}{}".format,
    st.dates(),
    st.sampled_from("Tt"),
    st.times().map(lambda time: time.replace(microsecond=0).isoformat()),
    st.sampled_from(["", ".5", ".123456789"]),
    st.sampled_from(["Z", "z", "+00:00", "-00:00", "+14:00", "-09:30"]),
)
products = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@given(
    product=products,
    quantity=st.integers(1, 10_000),
    price=prices,
    order_id=st.none() | ids,
    customer_id=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    order_date=st.none() | dates,
)
def test_whatever_the_processor_takes_the_model_lets_in(
    model: Draft4Validator,
    product: str,
    quantity: int,
    price: str,
    order_id: str | None,
    customer_id: str | None,
    order_date: str | None,
) -> None:
    optional = {"orderID": order_id, "customer_id": customer_id, "order_date": order_date}
    order = {"product": product, "quantity": quantity} | {name: v for name, v in optional.items() if v is not None}
    body = f'{json.dumps(order)[:-1]}, "price_per_item": {price}}}'
    decode_order(body, "an-id")
    assert list(model.iter_errors(exact(body))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"product": None}, {"product": ""}, {"product": 7}, {"product": "x" * 201},
        {"quantity": None}, {"quantity": 0}, {"quantity": 10_001}, {"quantity": "2"}, {"quantity": True},
        {"quantity": 1.5}, {"price_per_item": None}, {"price_per_item": "err"}, {"price_per_item": -0.01},
        {"price_per_item": 1_000_000.01}, {"price_per_item": 0.00001}, {"price_per_item": True}, {"price_per_item": []},
        {"orderID": ""}, {"orderID": "a b"}, {"orderID": "x" * 65}, {"orderID": 5}, {"orderID": "caffè"},
        {"customer_id": ""}, {"customer_id": "x" * 65}, {"customer_id": 1},
        {"order_date": "yesterday"}, {"order_date": "2026-11-26"}, {"order_date": "2026-11-26T09:15:00"},
        {"order_date": 1}, {"colour": "red"},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_schema_can_say_the_model_refuses_and_so_does_the_processor(
    model: Draft4Validator, change: dict[str, Any]
) -> None:
    body = json.dumps({name: value for name, value in (VALID | change).items() if value is not None})
    with pytest.raises(InvalidOrder):
        decode_order(body, "an-id")
    assert list(model.iter_errors(exact(body)))
