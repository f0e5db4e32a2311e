"""What a day's sales cost the database: the report's query against the lab's, which joins everything first.

    PYTHONPATH=lambdas python -m bench.sales_query [--items 1000000] [--rounds 9] [--json FILE]

Fills a MariaDB of its own with order items of a year (about three an order), asks for one day in turn by both
queries, whose answers must be equal. The lab's query is what one writes
down first: orders, items, products and groups joined, `DATE(order_date) = …` as the condition, added up in the end.
"""

import argparse
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from bench import harness
from bench.harness import Sample
from bench.sales_database import LONGEST_SECONDS, sales_database
from sales_data_extractor.query import read_sales
from shared.database import Connection

_FIRST_DAY = date(2026, 1, 1)
_DAYS = 365
_DAY_ASKED_FOR = date(2026, 8, 15)
_ITEMS_AN_ORDER = 3
_GROUPS = 8
_PRODUCTS = 120

_NAIVE = """
SELECT product_group.product_group_number, product_group.product_group_name,
       product.id, product.product_name, SUM(order_item.quantity)
FROM order_item
JOIN orders ON orders.id = order_item.order_id
JOIN product ON product.id = order_item.product_id
JOIN product_group ON product_group.product_group_number = product.product_group
WHERE DATE(orders.order_date) = %s
GROUP BY product_group.product_group_number, product_group.product_group_name, product.id, product.product_name
ORDER BY product_group.product_group_number, product.id
"""
_FILL = (
    # Both queries find all they read in memory, as on a server of fitting size.
    "SET GLOBAL innodb_buffer_pool_size = 1024 * 1024 * 1024",
    "SET foreign_key_checks = 0",
    "INSERT INTO product_group SELECT seq, CONCAT('Group ', seq) FROM seq_1_to_{groups}",
    "INSERT INTO product (id, product_name, product_group)"
    " SELECT seq, CONCAT('Product ', seq), 1 + seq % {groups} FROM seq_1_to_{products}",
    "INSERT INTO orders (id, order_date)"
    " SELECT seq, '{first_day}' + INTERVAL (seq - 1) * {microseconds_an_order} MICROSECOND FROM seq_1_to_{orders}",
    "INSERT INTO order_item (order_id, product_id, quantity, order_date)"
    " SELECT orders.id, 1 + CRC32(orders.id * {items_an_order} + seq) % {products}, 1 + CRC32(seq + orders.id) % 5,"
    " order_date FROM orders JOIN seq_1_to_{items_an_order} ORDER BY orders.id, seq",
    "ANALYZE TABLE product_group, product, orders, order_item",
)

_Rows = list[tuple[Any, ...]]


def _fill(connection: Connection, items: int) -> None:
    orders = -(-items // _ITEMS_AN_ORDER)
    values = {
        "groups": _GROUPS,
        "products": _PRODUCTS,
        "orders": orders,
        "items_an_order": _ITEMS_AN_ORDER,
        "first_day": _FIRST_DAY,
        "microseconds_an_order": _DAYS * 24 * 3600 * 1_000_000 // orders,
    }
    with connection.cursor() as cursor:
        for statement in _FILL:
            cursor.execute(statement.format(**values))
    connection.commit()


def _naive(connection: Connection) -> _Rows:
    with connection.cursor() as cursor:
        cursor.execute(_NAIVE, (_DAY_ASKED_FOR,))
        return [(*row[:-1], int(row[-1])) for row in cursor.fetchall()]


def _ours(connection: Connection) -> _Rows:
    start = datetime.combine(_DAY_ASKED_FOR, datetime.min.time())
    rows = read_sales(connection, start, start + timedelta(days=1), seconds=LONGEST_SECONDS)
    return [tuple(row.values()) for row in rows]


def _timed(query: Callable[[Connection], _Rows], connection: Connection) -> tuple[float, _Rows]:
    start = time.perf_counter()
    rows = query(connection)
    return (time.perf_counter() - start) * 1000, rows


def _measure(connection: Connection, rounds: int) -> tuple[Sample, Sample]:
    """The times of both in milliseconds; in turn, so that both see the same machine, after one round unmeasured."""
    naive_times, our_times = [], []
    for number in range(rounds + 1):
        naive_time, naive_rows = _timed(_naive, connection)
        our_time, our_rows = _timed(_ours, connection)
        if naive_rows != our_rows or not our_rows:
            raise AssertionError("the two queries do not agree")
        if number > 0:
            naive_times.append(naive_time)
            our_times.append(our_time)
    return Sample(tuple(naive_times)), Sample(tuple(our_times))


def main() -> None:
    """Measures, and hands the table in."""
    parser = argparse.ArgumentParser(description="Compare the report's query with the lab's.")
    parser.add_argument("--items", type=int, default=1_000_000, help="order items in the database")
    parser.add_argument("--rounds", type=int, default=9, help="how often each query is measured")
    harness.add_options(parser)
    options = parser.parse_args()
    with sales_database() as connect, connect() as connection:
        _fill(connection, options.items)
        naive, ours = _measure(connection, options.rounds)
    rows = [harness.row("the lab's query", naive, naive), harness.row("the report's query", ours, naive)]
    title = f"Sales of one day of {options.items:,} order items"
    note = "Time that the query takes on a warm MariaDB, answer included."
    harness.hand_in("sales_query", [harness.Table(title, "the lab's query", rows, (note,))], options.json)


if __name__ == "__main__":
    main()
