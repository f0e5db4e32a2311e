"""What is an order: tables of texts with the reason each is refused, and properties over random texts."""

import json
import random
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.order_items import StoredOrder, from_item, to_item
from shared.order_rules import InvalidOrder, Order, check_date_time, check_id, parse_price, parse_quantity
from shared.orders import decode_order

MESSAGE_ID = "3f0b6f1e-3c5a-4a52-9d7e-1d4c5f1f0a11"
FULL = (
    '{"orderID": "A-1001", "customer_id": "C-7", "product": "Caffè Latte", "quantity": 2, '
    '"price_per_item": 3.50, "order_date": "2026-11-26T09:15:00Z"}'
)


def body(**changes: Any) -> str:
    """The text of an order; values are JSON texts, None leaves the field out."""
    fields = {"product": '"Espresso"', "quantity": "1", "price_per_item": "2.20"} | changes
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items() if value is not None) + "}"


def reason(text: str | bytes, fallback_id: str = MESSAGE_ID) -> str:
    with pytest.raises(InvalidOrder) as caught:
        decode_order(text, fallback_id)
    return str(caught.value)


def test_a_full_order_keeps_every_value() -> None:
    expected = Order("A-1001", "Caffè Latte", 2, Decimal("3.5"), "C-7", "2026-11-26T09:15:00Z")
    assert decode_order(FULL, MESSAGE_ID) == expected
    assert decode_order(FULL.encode(), MESSAGE_ID) == expected


def test_the_fallback_id_stands_in_only_where_there_is_none() -> None:
    assert decode_order(body(), MESSAGE_ID).order_id == MESSAGE_ID
    assert decode_order(body(orderID='"A-1"'), "not an id!").order_id == "A-1"
    assert reason(body(), "not an id!") == (
        "original_message_id: \"not an id!\" is not 1 to 64 letters, digits, '.', '_' or '-'"
    )


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.00e7", "0"),
        ("0e400", "0"),
        ("0e-99999999999999999999", "0"),
        ("3.50", "3.5"),
        ("3.50000", "3.5"),
        ("3.5" + "0" * 200_000, "3.5"),
        ("0.0001", "0.0001"),
        ("1e-4", "0.0001"),
        ("1E2", "100"),
        ("1e+2", "100"),
        ("1e0002", "100"),
        ("10", "10"),
        ("100", "100"),
        ("0.1", "0.1"),
        ("1000000", "1000000"),
        ("1000000.0000", "1000000"),
        ("999999.9999", "999999.9999"),
        ("0.001e9", "1000000"),
        ("1" + "0" * 5000 + "e-5000", "1"),
        ("0." + "0" * 4999 + "1e5000", "1"),
        ("78.8900", "78.89"),
    ],
)
def test_prices_are_exact_by_value(token: str, value: str) -> None:
    price = decode_order(body(price_per_item=token), MESSAGE_ID).price_per_item
    assert str(price) == value, "plain notation, no needless zeros"


@pytest.mark.parametrize(
    ("token", "rule"),
    [
        ("0.00001", "has more than 4 decimal places"),
        ("1e-5", "has more than 4 decimal places"),
        ("3.50001", "has more than 4 decimal places"),
        ("1e-99999999999999999999", "has more than 4 decimal places"),
        ("-1", "is not between 0 and 1000000"),
        ("-0.00001", "is not between 0 and 1000000"),
        ("1000000.0001", "is not between 0 and 1000000"),
        ("1000001", "is not between 0 and 1000000"),
        ("10000000", "is not between 0 and 1000000"),
        ("1e400", "is not between 0 and 1000000"),
        ("1e99999999999999999999", "is not between 0 and 1000000"),
        ('"err"', "is not a number"),
        ('"3.50"', "is not a number"),
        ("null", "is not a number"),
        ("true", "is not a number"),
        ("[1]", "is not a number"),
        ('{"a": 1}', "is not a number"),
    ],
)
def test_a_wrong_price_is_named(token: str, rule: str) -> None:
    assert reason(body(price_per_item=token)) == f"price_per_item: {token} {rule}"


@pytest.mark.parametrize(("token", "value"), [("1", 1), ("10", 10), ("10000", 10_000)])
def test_quantities(token: str, value: int) -> None:
    assert decode_order(body(quantity=token), MESSAGE_ID).quantity == value


@pytest.mark.parametrize(
    ("token", "rule"),
    [
        ("2.0", "is not an integer"),
        ("1e1", "is not an integer"),
        ("true", "is not an integer"),
        ('"2"', "is not an integer"),
        ("null", "is not an integer"),
        ("0", "is not between 1 and 10000"),
        ("-0", "is not between 1 and 10000"),
        ("-5", "is not between 1 and 10000"),
        ("10001", "is not between 1 and 10000"),
        ("123456789", "is not between 1 and 10000"),
    ],
)
def test_a_wrong_quantity_is_named(token: str, rule: str) -> None:
    assert reason(body(quantity=token)) == f"quantity: {token} {rule}"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-26T09:15:00Z",
        "2026-11-26t09:15:00z",
        "2026-11-26T09:15:00+05:30",
        "2026-11-26T09:15:00-00:00",
        "2026-11-26T09:15:00." + "123456789" * 20 + "Z",
        "2024-02-29T00:00:00Z",
        "2000-02-29T00:00:00Z",
        "0000-02-29T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2016-12-31T23:59:60Z",
        "2016-12-31T15:59:60-08:00",
        "2017-01-01T05:29:60.5+05:30",
        "2026-04-30T00:00:00+23:59",
    ],
)
def test_dates_are_kept_as_sent(text: str) -> None:
    assert decode_order(body(order_date=f'"{text}"'), MESSAGE_ID).order_date == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("2026-02-30T09:15:00Z", "is not a day of the calendar"),
        ("2026-04-31T09:15:00Z", "is not a day of the calendar"),
        ("2023-02-29T09:15:00Z", "is not a day of the calendar"),
        ("1900-02-29T09:15:00Z", "is not a day of the calendar"),
        ("2016-12-31T23:58:60Z", "has a leap second where there is none (23:59:60 UTC)"),
        ("2016-12-31T23:59:60+01:00", "has a leap second where there is none (23:59:60 UTC)"),
        ("2017-01-01T05:29:60-05:30", "has a leap second where there is none (23:59:60 UTC)"),
        *(
            (text, "is not an RFC 3339 date-time with an offset")
            for text in (
                "",
                "2026-11-26",
                "2026-11-26T09:15:00",
                "2026-11-26 09:15:00Z",
                "2026-11-26T09:15Z",
                "2026-11-26T09:15:00.Z",
                "2026-11-26T09:15:00,5Z",
                "2026-11-26T24:00:00Z",
                "2026-11-26T09:60:00Z",
                "2026-11-26T09:15:61Z",
                "2026-11-26T09:15:00+24:00",
                "2026-11-26T09:15:00+05:60",
                "2026-11-26T09:15:00+0530",
                "2026-13-01T09:15:00Z",
                "2026-00-01T09:15:00Z",
                "2026-01-00T09:15:00Z",
                "2026-01-32T09:15:00Z",
                "26-01-01T09:15:00Z",
                "\N{FULLWIDTH DIGIT TWO}026-11-26T09:15:00Z",
                " 2026-11-26T09:15:00Z",
            )
        ),
    ],
)
def test_a_wrong_date_is_named(text: str, rule: str) -> None:
    assert reason(body(order_date=f'"{text}"')) == f'order_date: "{text}" {rule}'


def test_a_date_must_end_where_it_ends() -> None:
    assert "RFC 3339" in reason(body(order_date=r'"2026-11-26T09:15:00Z\n"'))


def test_a_date_fits_into_an_announcement() -> None:
    fraction = "1" * 150_000
    assert decode_order(body(order_date=f'"2026-11-26T09:15:00.{fraction}Z"'), MESSAGE_ID).order_date
    assert "is longer than 200000 characters" in reason(body(order_date=f'"2026-11-26T09:15:00.{fraction * 2}Z"'))


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("product", '""', "is not 1 to 200 characters long"),
        ("product", f'"{"é" * 201}"', "is not 1 to 200 characters long"),
        ("customer_id", '""', "is not 1 to 64 characters long"),
        ("customer_id", f'"{"c" * 65}"', "is not 1 to 64 characters long"),
        ("orderID", '""', "is not 1 to 64 letters"),
        ("orderID", f'"{"a" * 65}"', "is not 1 to 64 letters"),
        ("orderID", '"A 1"', "is not 1 to 64 letters"),
        ("orderID", r'"A-1\n"', "is not 1 to 64 letters"),
        ("orderID", '"Ä-1"', "is not 1 to 64 letters"),
        ("orderID", '"A-\N{ARABIC-INDIC DIGIT ONE}"', "is not 1 to 64 letters"),
        *((name, "null", "null is not a string") for name in ("orderID", "product", "customer_id", "order_date")),
        *((name, "7", "7 is not a string") for name in ("orderID", "product", "customer_id", "order_date")),
        ("product", '["Espresso"]', '["Espresso"] is not a string'),
    ],
)
def test_a_wrong_text_is_named(field: str, value: str, shown: str) -> None:
    text = reason(body(**{field: value}))
    assert text.startswith(f"{field}: ")
    assert shown in text
    assert len(text) < 200


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("product", f'"{"😀" * 200}"', "😀" * 200),
        ("product", r'"\u0000\ud83d\ude00\"\\"', '\0😀"\\'),
        ("product", '" "', " "),
        ("product", r'"a\": \"quantity\": 1"', 'a": "quantity": 1'),
        ("product", r'"\\"', "\\"),
        ("product", r'"\\\""', '\\"'),
        ("customer_id", f'"{"字" * 64}"', "字" * 64),
    ],
)
def test_texts_are_counted_in_characters_and_kept(field: str, value: str, kept: str) -> None:
    assert getattr(decode_order(body(**{field: value}), MESSAGE_ID), field) == kept


@pytest.mark.parametrize("field", ["product", "quantity", "price_per_item"])
def test_a_missing_field_is_named(field: str) -> None:
    assert reason(body(**{field: None})) == f"{field}: is missing"


def test_an_unknown_field_is_named_but_not_logged() -> None:
    with pytest.raises(InvalidOrder) as caught:
        decode_order(body(card_number="4111"), MESSAGE_ID)
    assert str(caught.value) == 'body: "card_number" is not a field of an order'
    assert "card" not in caught.value.field + caught.value.rule


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (body()[:-1] + ', "quantity": 1}', "quantity"),
        (body()[:-1] + ', "quantity": 2}', "quantity"),
        (body()[:-1] + r', "pro\u0064uct": "Espresso"}', "product"),
        (r'{"product": "a\"b\\", ' + body()[1:], "product"),
        ('{"quantity": "1", ' + body()[1:], "quantity"),
        ('{"quantity": {"quantity": 2}, ' + body()[1:], "quantity"),
        ('{"quantity": ' + "1" * 5000 + ", " + body()[1:], "quantity"),
        ('{"price_per_item": [], ' + body()[1:], "price_per_item"),
        (b'{"quantity": "\xff", ' + body()[1:].encode(), "quantity"),
        (body(orderID='"A"')[:-1] + ', "orderID": "A"}', "orderID"),
        (body(order_date='"2026-11-26T09:15:00Z"')[:-1] + ', "order_date": "2026-11-26T09:15:00Z"}', "order_date"),
    ],
)
def test_a_repeated_key_is_named(text: str | bytes, field: str) -> None:
    assert reason(text) == f"{field}: is given more than once"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "is not valid JSON"),
        (" ", "is not valid JSON"),
        ("hello", 'body: "hello" is not valid JSON'),
        ("{", "is not valid JSON"),
        (FULL[:-1], "is not valid JSON"),
        (FULL + " x", "is not valid JSON"),
        (FULL + FULL, "is not valid JSON"),
        (body(price_per_item="NaN"), "is not valid JSON"),
        (body(price_per_item="-Infinity"), "is not valid JSON"),
        (body(price_per_item="01"), "is not valid JSON"),
        (body(price_per_item="1."), "is not valid JSON"),
        (body(price_per_item=".5"), "is not valid JSON"),
        (body(price_per_item="+1"), "is not valid JSON"),
        (body(price_per_item="0x10"), "is not valid JSON"),
        (body(product=r'"\ud800"'), "is not valid JSON"),
        (body(product=r'"\udc00\ud800"'), "is not valid JSON"),
        (body(product='"a\nb"'), "is not valid JSON"),
        (body()[:-1] + ",}", "is not valid JSON"),
        ("\ufeff" + FULL, "is not valid JSON"),
        ("[]", "is not a JSON object"),
        (f"[{FULL}]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ("3", "is not a JSON object"),
        ('"order"', "is not a JSON object"),
        ("{}", "product: is missing"),
        (body(product='"\ud800"'), "half of a surrogate pair"),
        (body(product='"?"').encode().replace(b"?", b"\xff"), "product: "),
        (body(product='"?"').encode().replace(b"?", b"\xed\xa0\x80"), "product: "),
        ("product=Espresso&quantity=1".encode("utf-16"), "is not valid JSON"),
        ("[" * 200_000, "is not a JSON object"),
        (body(price_per_item="[" * 200_000), "is nested too deeply"),
        (body(quantity='{"a":' * 100_000 + "1" + "}" * 100_000), "is nested too deeply"),
    ],
)
def test_what_is_no_order_at_all(text: str | bytes, shown: str) -> None:
    text_of_error = reason(text)
    assert shown in text_of_error
    assert len(text_of_error) < 250
    assert text_of_error.isprintable()


def test_an_error_cannot_write_to_the_terminal() -> None:
    assert "\x1b" not in reason(body(orderID='"\u009b31m\x7f"'))
    assert reason(body(orderID='"\u009b\x7f"')).isprintable()


@pytest.mark.parametrize(
    "token",
    ["1" * 200_000, "0." + "0" * 200_000 + "1", "1e" + "9" * 200_000, "1e-" + "9" * 200_000, "9" * 100_000 + "e-99999"],
)
def test_a_huge_number_costs_little(token: str) -> None:
    started = time.process_time()
    for field in ("price_per_item", "quantity"):
        assert len(reason(body(**{field: token}))) < 200
    assert time.process_time() - started < 0.5, "quadratic work on 200 KB takes seconds"


# What follows decodes by other means, slowly, and is compared with the decoder on random texts.


def slow_order(text: str) -> dict[str, Any] | None:
    """The fields of a valid order with prices as fractions of 10000; None for anything else. Uses no project code."""
    try:
        text.encode()
        pairs = json.loads(
            text,
            object_pairs_hook=lambda pairs: ("object", pairs),
            parse_int=lambda token: ("int", token),
            parse_float=lambda token: ("float", token),
            parse_constant=lambda token: ("constant", token),
        )
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, tuple) or pairs[0] != "object":
        return None
    fields = dict(pairs[1])
    known = {"orderID", "customer_id", "product", "quantity", "price_per_item", "order_date"}
    if len(fields) != len(pairs[1]) or not fields.keys() <= known:
        return None
    if not {"product", "quantity", "price_per_item"} <= fields.keys():
        return None
    return fields if all(slow_check(name, value) for name, value in fields.items()) else None


def slow_check(name: str, value: Any) -> bool:
    if name == "quantity":
        return isinstance(value, tuple) and value[0] == "int" and 1 <= int(value[1]) <= 10_000
    if name == "price_per_item":
        is_number = isinstance(value, tuple) and value[0] in {"int", "float"}
        return is_number and 0 <= (price := Decimal(value[1])) <= 1_000_000 and price * 10_000 == int(price * 10_000)
    if not isinstance(value, str) or re.search("[\ud800-\udfff]", value):
        return False
    if name == "order_date":
        return value in DATES
    if name == "orderID" and not all(c.isascii() and (c.isalnum() or c in "._-") for c in value):
        return False
    return 1 <= len(value) <= (200 if name == "product" else 64)


DATES = ["2026-11-26T09:15:00Z", "2024-02-29T23:59:59.25+01:00"]
TOKENS = [
    *("1", "2.0", "0", "-1", "10000", "10001", "3.50", "1e2", "1E-4", "0.00001", "1000000", "1000000.1", "1e6", "1e7"),
    *(
        "NaN",
        "null",
        "true",
        "[]",
        '{"a": 1}',
        '"err"',
        '""',
        '"Espresso"',
        '"\\""',
        '"\\u0041"',
        '"\\ud800"',
        '"\\\\"',
    ),
    *(f'"{letter * count}"' for letter, count in (("x", 64), ("x", 65), ("é", 200), ("é", 201))),
    *(f'"{date}"' for date in DATES),
]
KEYS = ["orderID", "customer_id", "product", "quantity", "price_per_item", "order_date"]


def mutated_order(dice: random.Random) -> str:
    """A text near the border between valid and invalid."""
    pairs = [("product", '"Espresso"'), ("quantity", "1"), ("price_per_item", "2.20")]
    for _ in range(dice.randrange(3)):
        key = dice.choice(KEYS) if dice.random() < 0.95 else dice.choice(["extra", "pro\\u0064uct", "Product"])
        pairs = [pair for pair in pairs if pair[0] != key or dice.random() < 0.15]
        pairs.append((key, dice.choice(TOKENS)))
    dice.shuffle(pairs)
    text = "{" + dice.choice([",", " , ", ",\n"]).join(f'"{key}":{value}' for key, value in pairs) + "}"
    if dice.random() < 0.2:
        place = dice.randrange(len(text))
        text = (
            text[:place]
            + dice.choice(["", "{", "}", '"', ",", ":", "\\", "\0", " ", "1", "e", "\ud800"])
            + text[place + 1 :]
        )
    return text


def test_the_decoder_agrees_with_a_slow_one() -> None:
    dice = random.Random(2)  # noqa: S311
    counts = {True: 0, False: 0}
    for _ in range(20_000):
        text = mutated_order(dice)
        expected = slow_order(text)
        counts[expected is not None] += 1
        if expected is None:
            with pytest.raises(InvalidOrder):
                decode_order(text, MESSAGE_ID)
            continue
        order = decode_order(text, MESSAGE_ID)
        assert order.price_per_item == Decimal(expected["price_per_item"][1]), text
        assert order.quantity == int(expected["quantity"][1])
        assert order[4:] == (expected.get("customer_id"), expected.get("order_date"))
        assert (order.order_id, order.product) == (expected.get("orderID", MESSAGE_ID), expected["product"])
    assert min(counts.values()) > 2_000, "both kinds must be well represented"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=6),
    max_leaves=8,
)


@given(JSON_VALUES.map(json.dumps) | st.text() | st.binary())
def test_nothing_but_invalid_order_is_ever_raised(text: str | bytes) -> None:
    try:
        order = decode_order(text, MESSAGE_ID)
    except InvalidOrder:
        return
    assert from_item(to_item(StoredOrder(order, "2026-11-26T09:15:00.123Z"))).order == order


PRICES = st.builds(lambda units: Decimal(units).scaleb(-4), st.integers(0, 10_000_000_000))
ORDERS = st.builds(
    Order,
    order_id=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    product=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    quantity=st.integers(1, 10_000),
    price_per_item=PRICES,
    customer_id=st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    order_date=st.none() | st.sampled_from(DATES),
)


def to_text(order: Order, price: str, *, ascii_only: bool) -> str:
    texts = {"orderID": order.order_id, "customer_id": order.customer_id, "product": order.product,
             "order_date": order.order_date}  # fmt: skip
    members = [
        f'"{key}":{json.dumps(value, ensure_ascii=ascii_only)}' for key, value in texts.items() if value is not None
    ]
    return "{" + ",".join([*members, f'"quantity":{order.quantity}', f'"price_per_item":{price}']) + "}"


@given(ORDERS, st.sampled_from(["{:f}", "{:f}000", "{:E}", "{:e}"]), st.booleans())
def test_a_valid_text_gives_back_every_value(order: Order, notation: str, ascii_only: bool) -> None:
    price = notation.format(order.price_per_item)
    decoded = decode_order(to_text(order, price, ascii_only=ascii_only), MESSAGE_ID)
    assert decoded == order
    assert "E" not in str(decoded.price_per_item)


def plain(price: Decimal) -> str:
    """The shortest plain notation, made from digits only."""
    text = f"{price:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@given(ORDERS)
def test_an_item_gives_back_the_order(order: Order) -> None:
    decoded = decode_order(to_text(order, f"{order.price_per_item:f}", ascii_only=False), MESSAGE_ID)
    stored = StoredOrder(decoded, "2026-11-26T09:15:00.123Z")
    item = to_item(stored)
    assert from_item(item) == stored
    assert item["price_per_item"] == {"N": plain(order.price_per_item)}


@settings(max_examples=300)
@given(st.from_regex(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_every_number_is_judged_by_its_value(token: str) -> None:
    value = Decimal(token)
    is_valid = 0 <= value <= 1_000_000 and value % Decimal("0.0001") == 0
    if is_valid:
        assert parse_price(token) == value
    else:
        with pytest.raises(InvalidOrder):
            parse_price(token)


@pytest.mark.parametrize(
    "token",
    ["3.5.0", "1.", "", "01", "1e", "\N{ARABIC-INDIC DIGIT ONE}", "1_000", " 1", "1 ", "1\n", "inf", "1000000.0.0"],
)
def test_what_is_no_number(token: str) -> None:
    with pytest.raises(InvalidOrder):
        parse_price(token)
    with pytest.raises(InvalidOrder):
        parse_quantity(token)


ITEM = to_item(StoredOrder(Order("A-1", "Espresso", 1, Decimal("2.2")), "2026-11-26T09:15:00.123Z"))


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ITEM.items() if key != name}


@pytest.mark.parametrize(
    ("item", "field"),
    [
        *((without(name), name) for name in ITEM),
        ({**ITEM, "quantity": {"S": "1"}}, "quantity"),
        ({**ITEM, "quantity": {"N": "0"}}, "quantity"),
        ({**ITEM, "price_per_item": {"N": "0.00001"}}, "price_per_item"),
        ({**ITEM, "product": {"S": ""}}, "product"),
        ({**ITEM, "customer_id": {"NULL": True}}, "customer_id"),
        ({**ITEM, "order_date": {"S": "soon"}}, "order_date"),
        ({**ITEM, "received_at": {"S": "now"}}, "received_at"),
        ({**ITEM, "orderID": {"S": "no id"}}, "orderID"),
    ],
)
def test_an_item_that_is_no_order_is_refused(item: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidOrder) as caught:
        from_item(item)
    assert caught.value.field == field


@pytest.mark.parametrize("more", [{"S": "new"}, {"M": {"quantity": {"N": "0"}}}, {"NULL": True}])
def test_what_another_version_wrote_beside_an_order_is_left_alone(more: dict[str, Any]) -> None:
    assert from_item({**ITEM, "status": more}) == from_item(ITEM)


def test_absent_fields_are_absent_from_the_item() -> None:
    assert set(ITEM) == {"orderID", "product", "quantity", "price_per_item", "received_at"}
    full = to_item(StoredOrder(decode_order(FULL, MESSAGE_ID), "2026-11-26T09:15:00.123Z"))
    assert full["price_per_item"] == {"N": "3.5"}
    assert full["customer_id"] == {"S": "C-7"}


def test_checks_name_the_field_they_are_given() -> None:
    with pytest.raises(InvalidOrder, match=r"^received_at: "):
        check_date_time("x", "received_at")
    with pytest.raises(InvalidOrder, match=r"^original_message_id: "):
        check_id("", "original_message_id")
