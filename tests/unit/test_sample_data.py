"""The sample's catalogue against what the order simulator sells. Its loading is tested on a real MariaDB."""

from decimal import Decimal

from database_migrator import sample_data
from order_simulator import handler as simulator


def test_the_catalogue_has_what_the_simulator_sells_at_its_prices() -> None:
    prices = {name: price for name, _, price in sample_data._products()}
    assert prices == {name: Decimal(cents) / 100 for name, cents in simulator._PRODUCTS.items()}


def test_no_group_is_the_one_for_unknown_products() -> None:
    numbers = [number for number, _ in sample_data._CATALOGUE]
    assert len(set(numbers)) == len(numbers) >= 3
    assert max(numbers) < 9999
