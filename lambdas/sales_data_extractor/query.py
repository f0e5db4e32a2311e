"""What was sold between two moments, by product: one query, answered from one index."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypedDict

from shared.database import Connection

_SALES: Final = """
SET STATEMENT max_statement_time = %s FOR
SELECT product_group.product_group_number, product_group.product_group_name,
       product.id, product.product_name, sold.quantity
FROM (
    SELECT product_id, SUM(quantity) AS quantity
    FROM order_item
    WHERE order_date >= %s AND order_date < %s
    GROUP BY product_id
) AS sold
JOIN product ON product.id = sold.product_id
JOIN product_group ON product_group.product_group_number = product.product_group
ORDER BY product_group.product_group_number, product.id
"""
"""Adds up first, in the index `sales_by_date`, which has all three columns; so only as many rows are joined as there
are products. The bounds are compared with the column as it is: a function around it would lose the range."""


class ProductSales(TypedDict):
    """How much of a product was sold."""

    product_group_number: int
    product_group_name: str
    product_id: int
    product_name: str
    quantity: int


def read_sales(connection: Connection, start: datetime, end: datetime, *, seconds: float) -> list[ProductSales]:
    """What was sold from `start` to before `end` (UTC), by group number and then product id; `seconds` at the most.

    Raises:
        pymysql.MySQLError: the query fails, or takes longer.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SALES, (seconds, start, end))
        rows: Iterable[tuple[int, str, int, str, int]] = cursor.fetchall()
    return [
        {
            "product_group_number": group_number,
            "product_group_name": group_name,
            "product_id": product_id,
            "product_name": product_name,
            "quantity": int(quantity),
        }
        for group_number, group_name, product_id, product_name, quantity in rows
    ]
