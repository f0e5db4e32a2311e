"""What it costs to record orders: the recorder's batches of ten against one order a transaction.

    PYTHONPATH=lambdas python -m bench.sales_recorder [--orders 1000] [--rounds 7] [--json FILE]

Records new orders of known products in a MariaDB of its own, which writes each commit to the disk as one on RDS does,
and prints the orders a second of both.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from bench import harness
from bench.harness import Sample
from bench.sales_database import sales_database
from sales_recorder.connection import KeptConnection
from sales_recorder.sale import Sale
from sales_recorder.store import record_sales
from shared.database import Connection

_BATCH = 10
_PRODUCTS = 20
_TIME_LEFT_MS = 60_000


class _RootConnection(KeptConnection):
    """The recorder's connection, signed in as the benchmark's root."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        super().__init__()
        self._connect = connect

    def _sign_in(self, *_: object) -> Connection:
        return self._connect()


def _sales() -> Iterator[Sale]:
    start = datetime(2026, 1, 1)
    for number in itertools.count():
        moment = start + timedelta(seconds=number)
        yield Sale(f"B-{number}", moment, f"C-{number % 500}", f"Product {number % _PRODUCTS}", 2, Decimal("3.5"))


def _orders_a_second(sales: list[Sale], size: int, database: KeptConnection) -> float:
    start = time.perf_counter()
    for at in range(0, len(sales), size):
        batch = sales[at : at + size]
        if len(record_sales(batch, database, lambda: _TIME_LEFT_MS).written) != len(batch):
            raise AssertionError("an order was not recorded")
    return len(sales) / (time.perf_counter() - start)


def main() -> None:
    """Measures both in turn, so that both see the same machine and the same table, and hands the table in."""
    parser = argparse.ArgumentParser(description="Compare batches of ten with single orders.")
    parser.add_argument("--orders", type=int, default=1_000, help="orders a round")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured")
    harness.add_options(parser)
    options = parser.parse_args()
    sales = _sales()
    single, batched = [], []
    with sales_database() as connect:
        with connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        database = _RootConnection(connect)
        _orders_a_second(list(itertools.islice(sales, _PRODUCTS)), _BATCH, database)
        for _ in range(options.rounds):
            single.append(_orders_a_second(list(itertools.islice(sales, options.orders)), 1, database))
            batched.append(_orders_a_second(list(itertools.islice(sales, options.orders)), _BATCH, database))
        database.drop()
    one, ten = Sample(tuple(single)), Sample(tuple(batched))
    rows = [
        harness.row("one order a transaction", one, one, "orders/s"),
        harness.row("ten, as the recorder does", ten, one, "orders/s"),
    ]
    note = "More is better here."
    harness.hand_in(
        "sales_recorder", [harness.Table("Recording sales", "one a transaction", rows, (note,))], options.json
    )


if __name__ == "__main__":
    main()
