"""The sample's catalogue against what the order simulator sells. Its loading is tested on a real MariaDB."""

from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from database_migrator import sample_data
from order_simulator import handler as simulator
from shared.order_rules import InvalidOrder, check_id


def test_the_catalogue_has_what_the_simulator_sells_at_its_prices() -> None:
    prices = {name: price for name, _, price in sample_data._products()}
    assert prices == {name: Decimal(cents) / 100 for name, cents in simulator._PRODUCTS.items()}


def test_no_group_is_the_one_for_unknown_products() -> None:
    numbers = [number for number, _ in sample_data._CATALOGUE]
    assert len(set(numbers)) == len(numbers) >= 3
    assert max(numbers) < 9999


def test_no_order_of_the_pipeline_can_have_the_key_of_a_sample() -> None:
    """The recorder takes an order whose key is in the table as recorded."""
    [key, *_] = [order.order_key for order in sample_data._orders_of(date(2026, 11, 20), ZoneInfo("UTC"))]
    assert key.isascii()
    assert len(key) <= 64
    with pytest.raises(InvalidOrder):
        check_id(key)
