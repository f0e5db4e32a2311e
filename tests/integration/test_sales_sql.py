"""The sales' SQL on a real MariaDB: what the recorder writes, what its user may, and what the extractor reads."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pymysql
import pytest

from database_migrator import sample_data, users
from order_notifier.announcement import to_json
from sales_data_extractor import query
from sales_recorder import connection as recorder_connection
from sales_recorder import handler as recorder
from sales_recorder.connection import KeptConnection
from sales_recorder.sale import Sale, read_sale
from sales_recorder.store import record_sales
from shared.order_items import StoredOrder
from shared.order_rules import Order
from shared.shop_days import bounds
from tests.mariadb import USER_PASSWORD
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shared.database import Connection
    from tests.mariadb import Database

MOMENT = datetime(2026, 11, 26, 9, 15)
SECONDS = 10.0


class Deadline:
    """Lambda's context of a function with so much time."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._end - time.monotonic()) * 1000)


@pytest.fixture
def database(sales_database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database that the recorder finds in its environment, and its password in its secret."""
    monkeypatch.setenv("DB_URL", sales_database.url)
    monkeypatch.setenv("DB_NAME", sales_database.name)
    monkeypatch.setenv("DB_USER", users.RECORDER)
    monkeypatch.setenv("DB_SECRET_ARN", "the recorder's secret")
    monkeypatch.setattr(recorder_connection, "_read_password", lambda _: USER_PASSWORD)
    return sales_database


@pytest.fixture
def kept(database: Database) -> Iterator[KeptConnection]:  # noqa: ARG001 (its environment is needed)
    kept = KeptConnection()
    yield kept
    kept.drop()


def sale(order_key: str, product: str = "Tea", **changes: Any) -> Sale:
    return Sale(order_key, MOMENT, "C-7", product, 2, Decimal("3.5"))._replace(**changes)


def record(sales: Iterable[Sale], kept: KeptConnection, seconds: float = SECONDS) -> set[str]:
    return record_sales(list(sales), kept, Deadline(seconds).get_remaining_time_in_millis).known


def items(database: Database) -> Counter[tuple[str, int]]:
    """How many items of each product there are, and of which quantity."""
    rows = database.query("SELECT product_name, quantity FROM order_item JOIN product ON product.id = product_id")
    return Counter((str(name), int(quantity)) for name, quantity in rows)


# The recorder


def test_an_announced_order_becomes_an_order_with_its_item(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_database", KeptConnection())
    full = Order("A-1", "Caffè Latte", 3, Decimal("1234.5678"), "C-7 é", "2026-11-26T10:15:00.5009+01:00")
    bare = Order("A-2", "Caffè Latte", 1, Decimal(0))
    messages = [
        {"messageId": order.order_id, "body": to_json(StoredOrder(order, "2026-11-26T23:59:59.999Z"))}
        for order in (full, bare)
    ]
    event = {"Records": [*messages, {"messageId": "bad", "body": "{}"}]}
    assert recorder.handler(event, Deadline()) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert database.query(
        "SELECT order_key, orders.order_date, customer_id, orders.product_name, orders.quantity, orders.price_per_item,"
        " order_item.order_date, order_item.quantity, order_item.price_per_item, product.product_name, product_group"
        " FROM orders JOIN order_item ON order_id = orders.id JOIN product ON product.id = product_id ORDER BY 1"
    ) == [
        ("A-1", first := datetime(2026, 11, 26, 9, 15, 0, 500_000), "C-7 é", "Caffè Latte", 3, Decimal("1234.5678"),
         first, 3, Decimal("1234.5678"), "Caffè Latte", 9999),
        ("A-2", last := datetime(2026, 11, 26, 23, 59, 59, 999_000), None, "Caffè Latte", 1, Decimal(0),
         last, 1, Decimal(0), "Caffè Latte", 9999),
    ]  # fmt: skip


def test_delivered_twice_it_is_there_once(database: Database, kept: KeptConnection) -> None:
    sales = [sale(f"A-{number}") for number in range(10)]
    assert record(sales, kept) == record(sales, kept) == {one.order_key for one in sales}
    more = [sale("A-3", quantity=99), sale("A-10", "Mocha")]
    assert record(more, kept) == {"A-3", "A-10"}
    assert items(database) == {("Tea", 2): 10, ("Mocha", 2): 1}
    assert database.query("SELECT COUNT(*) FROM orders") == [(11,)]


def test_keys_that_differ_in_case_are_two_orders(database: Database, kept: KeptConnection) -> None:
    assert record([sale("a-1"), sale("A-1")], kept) == {"a-1", "A-1"}
    assert items(database) == {("Tea", 2): 2}


NAMES = [
    "Tea", "Tea ", "Tea  ", " Tea", "tea", "TEA", "Thé", "The", "The\u0301", "Tea\t", "Tea\n", "Tea\0", "ß", "ss",
    "☕️🍰", "☕🍰", "🍰" * 200, "é" * 200, " " * 200, "Tee'; DROP TABLE orders; --", 'a"b', "a\\b", "a\\\\b", "100 %s",
    "%(name)s", "شاي", "1", "NULL", "",
]  # fmt: skip


def test_an_unknown_product_keeps_its_exact_name(database: Database, kept: KeptConnection) -> None:
    names = [name for name in NAMES if name]
    sales = [sale(f"A-{number}", name) for number, name in enumerate(names + names)]
    assert len(record(sales, kept)) == len(sales)
    assert items(database) == Counter({(name, 2): 2 for name in names})
    assert database.query("SELECT DISTINCT product_group FROM product") == [(9999,)]


def test_a_known_product_is_taken(database: Database, kept: KeptConnection) -> None:
    database.query("INSERT INTO product_group VALUES (1, 'Hot')")
    database.query("INSERT INTO product (product_name, product_group) VALUES ('Tea', 1)")
    record([sale("A-1"), sale("A-2", "Tea ")], kept)
    assert database.query("SELECT product_name, product_group FROM product ORDER BY 1") == [("Tea", 1), ("Tea ", 9999)]


@pytest.mark.parametrize("moment", ["0000-01-01T00:00:00Z", "9999-12-31T23:59:60-00:00", "2016-12-31T23:59:60.5Z"])
def test_every_date_of_an_order_can_be_stored(database: Database, kept: KeptConnection, moment: str) -> None:
    stored = StoredOrder(Order("A-1", "Tea", 1, Decimal(1), None, moment), "2026-11-26T09:15:00.000Z")
    one = read_sale(to_json(stored))
    assert record([one], kept) == {"A-1"}
    assert database.query("SELECT order_date FROM order_item") == [(one.order_date,)]


def test_concurrent_recorders_write_each_order_once(database: Database) -> None:
    """Eight at the same time, each order delivered to two or three of them, every product new."""
    dice = random.Random(7)  # noqa: S311
    sales = [sale(f"A-{number}", f"New {number % 40}") for number in range(200)]
    deliveries = sales * 2 + dice.sample(sales, 100)
    dice.shuffle(deliveries)
    batches = [{one.order_key: one for one in deliveries[at : at + 10]} for at in range(0, len(deliveries), 10)]
    start = threading.Barrier(8)

    def work(worker: int) -> list[bool]:
        kept = KeptConnection()
        try:
            start.wait(SECONDS)
            return [record(batch.values(), kept, 60) == set(batch) for batch in batches[worker::8]]
        finally:
            kept.drop()

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(itertools.chain.from_iterable(pool.map(work, range(8))))
    assert all(outcomes)
    assert len(outcomes) == len(batches)
    assert items(database) == {(f"New {number}", 2): 5 for number in range(40)}
    assert database.query("SELECT COUNT(*) FROM orders") == [(200,)]


def test_a_duplicate_of_what_is_not_committed_is_not_done(database: Database, kept: KeptConnection) -> None:
    """It waits for the other transaction, fails when that takes too long, and holds up no other sale."""
    insert = "INSERT INTO orders (order_key, order_date, product_name, quantity) VALUES ('A-1', NOW(), 'Ale', 1)"
    sales = [sale("A-1", "Ale"), sale("A-2", "Mocha"), sale("A-3")]
    with database.connect() as other, other.cursor() as cursor:
        for statement in recorder_connection._SETTINGS:
            cursor.execute(statement)
        cursor.execute(insert)
        assert record(sales, kept, seconds=3) == {"A-2", "A-3"}
        other.rollback()
    assert record(sales, kept) == {"A-1", "A-2", "A-3"}
    assert items(database) == {("Ale", 2): 1, ("Mocha", 2): 1, ("Tea", 2): 1}


def test_the_victim_of_a_deadlock_tries_again(
    database: Database, kept: KeptConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """InnoDB ends the transaction that has changed less, so the other one changes more first."""
    insert = "INSERT INTO orders (order_key, order_date, product_name, quantity) VALUES (%s, NOW(), NULL, NULL)"
    kept.get()
    with database.connect() as other, other.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.executemany(insert, [("A-2",), *((f"B-{number}",) for number in range(200))])
        recorded = pool.submit(record, [sale("A-1"), sale("A-2")], kept)
        eventually(lambda: database.query("SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"))
        cursor.execute(insert, ("A-1",))
        other.rollback()
        assert recorded.result() == {"A-1", "A-2"}
    assert 1213 in [getattr(line, "error_code", None) for line in caplog.records]
    assert items(database) == {("Tea", 2): 2}


def test_a_killed_connection_is_made_anew(database: Database, kept: KeptConnection) -> None:
    record([sale("A-1")], kept)
    number = kept.get().thread_id()  # type: ignore[no-untyped-call]
    database.query(f"KILL CONNECTION {number}")
    eventually(
        lambda: not database.query("SELECT 1 FROM information_schema.processlist WHERE id = %s", (number,)), timeout=10
    )
    assert record([sale("A-2")], kept) == {"A-2"}
    assert items(database) == {("Tea", 2): 2}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM orders",
        "SELECT order_key FROM orders",
        "UPDATE orders SET quantity = 1",
        "DELETE FROM orders",
        "TRUNCATE orders",
        "DROP TABLE orders",
        "DROP TRIGGER orders_make_their_item",
        "CREATE TABLE mine (id INT)",
        "SELECT * FROM product",
        "INSERT INTO product (product_name) VALUES ('mine')",
        "INSERT INTO product_group VALUES (1, 'mine')",
        "INSERT INTO order_item (order_id, product_id, quantity, order_date) VALUES (1, 1, 1, NOW())",
        "SELECT * FROM schema_migration",
        "SELECT * FROM mysql.global_priv",
        "GRANT SELECT ON orders TO sales_recorder@'%'",
        "CREATE USER mine",
        "INSERT INTO orders (order_key, order_date) VALUES ('A-1', NOW()) ON DUPLICATE KEY UPDATE quantity = 1",
        "REPLACE INTO orders (order_key, order_date) VALUES ('A-1', NOW())",
    ],
)
def test_the_recorder_may_insert_orders_and_nothing_else(
    database: Database, kept: KeptConnection, statement: str
) -> None:
    record([sale("A-1")], kept)
    with (
        database.connect(users.RECORDER) as connection,
        connection.cursor() as cursor,
        pytest.raises(pymysql.err.OperationalError, match="denied"),
    ):
        cursor.execute(statement)
    assert items(database) == {("Tea", 2): 1}


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO orders (order_date) VALUES (NOW())", "DELETE FROM order_item", "UPDATE product SET id = 1"],
)
def test_the_reader_may_only_read(database: Database, statement: str) -> None:
    with (
        database.connect(users.READER) as connection,
        connection.cursor() as cursor,
        pytest.raises(pymysql.err.OperationalError, match="denied"),
    ):
        cursor.execute(statement)


# The extractor's query

ZONED_DAYS = [
    ("UTC", date(2026, 11, 26)),
    ("UTC", date(2024, 2, 29)),
    ("Europe/Berlin", date(2026, 3, 29)),  # 23 hours
    ("Europe/Berlin", date(2026, 10, 25)),  # 25 hours
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Asia/Kolkata", date(2026, 6, 15)),
    ("Asia/Kathmandu", date(2026, 6, 15)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # clocks change by half an hour
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("America/Sao_Paulo", date(2018, 11, 4)),  # no midnight
    ("Africa/Cairo", date(2026, 10, 29)),  # clocks go back at midnight
    ("Pacific/Kiritimati", date(2026, 12, 31)),
    ("Pacific/Apia", date(2011, 12, 29)),  # the next day was skipped
]
GROUPS = [(3, "Late"), (1, "Early"), (2, "é 🍰"), (10, "Ten")]


def moments_around(day: date, dice: random.Random) -> list[datetime]:
    """UTC, in milliseconds: anywhere in the days around, and close to each hour and half hour, where days begin."""
    start = datetime.combine(day, datetime.min.time()) - timedelta(hours=20)
    anywhere = [start + timedelta(milliseconds=dice.randrange(64 * 3_600_000)) for _ in range(60)]
    borders = [start + timedelta(minutes=15 * dice.randrange(64 * 4)) for _ in range(60)]
    return anywhere + [border + timedelta(milliseconds=dice.choice((-1, 0, 1))) for border in borders]


def fill(connection: Connection, seed: int) -> list[tuple[datetime, int, int]]:
    """Products of some groups and sales of them; the sales as moment, product id and quantity."""
    dice = random.Random(seed)  # noqa: S311
    group_of = {product_id: dice.choice(GROUPS)[0] for product_id in range(1, 13)}
    moments = {moment for _, day in ZONED_DAYS for moment in moments_around(day, dice)}
    for zone, day in ZONED_DAYS:
        for border in bounds(day, ZoneInfo(zone)):
            moments |= {border + timedelta(milliseconds=milliseconds) for milliseconds in (-1, 0, 1)}
    sales = [(moment, dice.randint(1, 12), dice.randint(1, 10_000)) for moment in sorted(moments) for _ in range(2)]
    dice.shuffle(sales)
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO product_group VALUES (%s, %s)", GROUPS)
        cursor.executemany(
            "INSERT INTO product (id, product_name, product_group) VALUES (%s, %s, %s)",
            [(product_id, f"Product {99 - product_id}", group) for product_id, group in group_of.items()],
        )
        cursor.executemany(
            "INSERT INTO orders (order_date, product_name, quantity) VALUES (%s, %s, %s)",
            [(moment, f"Product {99 - product_id}", quantity) for moment, product_id, quantity in sales],
        )
    connection.commit()
    return sales


def expected(
    sales: list[tuple[datetime, int, int]], group_of: dict[int, tuple[int, str]], day: date, zone: ZoneInfo
) -> list[dict[str, object]]:
    """The answer, computed order by order from the day that a clock on the shop's wall showed."""
    sold: Counter[int] = Counter()
    for moment, product_id, quantity in sales:
        if moment.replace(tzinfo=UTC).astimezone(zone).date() == day:
            sold[product_id] += quantity
    rows = sorted((*group_of[product_id], product_id, quantity) for product_id, quantity in sold.items())
    return [
        {
            "product_group_number": number,
            "product_group_name": name,
            "product_id": product_id,
            "product_name": f"Product {99 - product_id}",
            "quantity": quantity,
        }
        for number, name, product_id, quantity in rows
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_query_agrees_with_a_computation_of_its_own(sales_database: Database, seed: int) -> None:
    with sales_database.connect() as connection:
        sales = fill(connection, seed)
    rows = sales_database.query(
        "SELECT id, product_group_number, product_group_name FROM product"
        " JOIN product_group ON product_group_number = product_group"
    )
    group_of = {product_id: (number, name) for product_id, number, name in rows}
    with sales_database.connect(users.READER) as connection:
        for name, day in ZONED_DAYS:
            zone = ZoneInfo(name)
            answer = query.read_sales(connection, *bounds(day, zone), seconds=SECONDS)
            assert answer == expected(sales, group_of, day, zone), f"{name} {day}"
            assert json.loads(json.dumps(answer)) == answer
            assert len(answer) > 5


def test_a_day_without_orders_has_no_rows(sales_database: Database) -> None:
    with sales_database.connect(users.READER) as connection:
        assert query.read_sales(connection, MOMENT, MOMENT + timedelta(days=1), seconds=SECONDS) == []


def test_the_query_reads_a_range_of_the_covering_index(sales_database: Database) -> None:
    with sales_database.connect() as connection:
        fill(connection, seed=1)
    sales_database.query("ANALYZE TABLE order_item")
    explain = query._SALES.replace(" FOR\n", " FOR EXPLAIN\n", 1)
    assert explain != query._SALES
    start, end = bounds(date(2026, 11, 26), ZoneInfo("UTC"))
    with (
        sales_database.connect(users.READER) as connection,
        connection.cursor(pymysql.cursors.DictCursor) as cursor,
    ):
        cursor.execute(explain, (SECONDS, start, end))
        (step,) = [row for row in cursor.fetchall() if row["table"] == "order_item"]
    assert (step["type"], step["key"]) == ("range", "sales_by_date")
    assert "Using index" in step["Extra"].split("; ")


# The sample data


def load(database: Database, today: date, zone: str) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        sample_data.load(connection, today=today, zone=ZoneInfo(zone))
    return database.query("SELECT order_key, order_date, product_name, quantity FROM orders ORDER BY order_key")


def test_the_sample_fills_the_seven_days_before_and_no_other(sales_database: Database) -> None:
    zone, today = "America/New_York", date(2026, 11, 4)
    orders = load(sales_database, today, zone)
    days = Counter(moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date() for _, moment, *_ in orders)
    assert set(days) == {today - timedelta(days=ago) for ago in range(1, 8)}
    assert min(days.values()) >= 50
    hours = {moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).hour for _, moment, *_ in orders}
    assert hours == set(range(7, 19))
    assert sum(items(sales_database).values()) == len(orders)


def test_loaded_again_the_sample_changes_nothing_and_adds_what_is_missing(sales_database: Database) -> None:
    today = date(2026, 11, 26)
    first = load(sales_database, today, "UTC")
    assert load(sales_database, today, "UTC") == first
    assert sum(items(sales_database).values()) == len(first)
    later = load(sales_database, today + timedelta(days=1), "UTC")
    assert set(first) < set(later)
    assert {moment.date() for _, moment, *_ in set(later) - set(first)} == {today}
    assert sum(items(sales_database).values()) == len(later)


def test_the_sample_keeps_what_the_shop_has_entered(sales_database: Database) -> None:
    sales_database.query("INSERT INTO product_group VALUES (1, 'Ours')")
    sales_database.query("INSERT INTO product (product_name, product_group, price) VALUES ('Espresso', 9999, 9)")
    load(sales_database, date(2026, 11, 26), "UTC")
    assert sales_database.query("SELECT product_group_name FROM product_group WHERE product_group_number = 1") == [
        ("Ours",)
    ]
    assert sales_database.query("SELECT product_group, price FROM product WHERE product_name = 'Espresso'") == [
        (9999, Decimal(9))
    ]
