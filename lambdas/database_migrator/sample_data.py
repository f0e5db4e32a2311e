"""The café's catalogue, and orders of the last days, for stages that people try things in.

The catalogue has what the order simulator sells. A day's orders depend on the day alone, and each has a key of its
own, so loading again adds the days that are missing and changes nothing that is there.
"""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from shared.database import Connection

_DAYS: Final = 7
_FEWEST_ORDERS: Final = 50
_MOST_ORDERS: Final = 90
_CUSTOMERS: Final = 120
_OPENS: Final = time(7, 0)
_OPEN_MILLISECONDS: Final = 12 * 60 * 60 * 1000

_CATALOGUE: Final = {
    (1, "Coffee"): {
        "Espresso": "2.20",
        "Double Espresso": "2.90",
        "Caffè Latte": "3.50",
        "Cappuccino": "3.40",
        "Flat White": "3.80",
        "Café au Lait": "3.30",
    },
    (2, "Tea and Other Drinks"): {
        "Chai Latte": "4.20",
        "Hot Chocolate": "3.90",
        "Fresh Mint Tea": "3.10",
        "Orange Juice": "4.50",
    },
    (3, "Bakery"): {
        "Butter Croissant": "2.60",
        "Pain au Chocolat": "2.90",
        "Crème Brûlée": "6.20",
        "Carrot Cake": "4.80",
        "Banana Bread": "3.60",
    },
    (4, "Kitchen"): {
        "Ham & Cheese Toastie": "6.90",
        "Avocado Bagel": "7.50",
        "Granola Bowl": "6.70",
    },
}
"""Product groups by number and name, with their products and prices."""

_INSERT_GROUP: Final = (
    "INSERT INTO product_group (product_group_number, product_group_name) VALUES (%s, %s) "
    "ON DUPLICATE KEY UPDATE product_group_number = product_group_number"
)
_INSERT_PRODUCT: Final = (
    "INSERT INTO product (product_name, product_group, price) VALUES (%s, %s, %s) ON DUPLICATE KEY UPDATE id = id"
)
_INSERT_ORDER: Final = (
    "INSERT INTO orders (order_key, order_date, customer_id, product_name, quantity, price_per_item) "
    "VALUES (%s, %s, %s, %s, %s, %s) ON DUPLICATE KEY UPDATE id = id"
)
"""Each keeps the row that is there. Not INSERT IGNORE, which would keep quiet about every other error as well."""


class _Order(NamedTuple):
    order_key: str
    order_date: datetime
    customer_id: str
    product_name: str
    quantity: int
    price_per_item: Decimal


def load(connection: Connection, *, today: date, zone: ZoneInfo) -> None:
    """Fills in what is missing of the catalogue and of the orders of the seven days before `today`, and commits.

    The café is open from 7 to 19 o'clock in `zone`.

    Raises:
        pymysql.MySQLError: a statement fails; nothing was loaded.
    """
    orders = [order for ago in range(_DAYS, 0, -1) for order in _orders_of(today - timedelta(days=ago), zone)]
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT_GROUP, list(_CATALOGUE))
        cursor.executemany(_INSERT_PRODUCT, list(_products()))
        # PyMySQL makes statements of many rows of these.
        cursor.executemany(_INSERT_ORDER, orders)
    connection.commit()


def _products() -> Iterator[tuple[str, int, Decimal]]:
    for (group, _), products in _CATALOGUE.items():
        for name, price in products.items():
            yield name, group, Decimal(price)


def _orders_of(day: date, zone: ZoneInfo) -> Iterator[_Order]:
    dice = random.Random(f"{day}")  # noqa: S311 (no secret; a day must have the same orders each time)
    products = list(_products())
    opened = datetime.combine(day, _OPENS, zone).astimezone(UTC).replace(tzinfo=None)
    for number in range(dice.randint(_FEWEST_ORDERS, _MOST_ORDERS)):
        name, _, price = dice.choice(products)
        yield _Order(
            # With a character that no orderID has: else an order of that name would pass for recorded.
            order_key=f"SAMPLE/{day}/{number:03}",
            order_date=opened + timedelta(milliseconds=dice.randrange(_OPEN_MILLISECONDS)),
            customer_id=f"C-{dice.randint(1, _CUSTOMERS)}",
            product_name=name,
            quantity=dice.choices((1, 2, 3, 4, 6), weights=(50, 25, 12, 8, 5))[0],
            price_per_item=price,
        )
