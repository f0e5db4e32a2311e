"""What the recorder reads from announcements, what it writes, and what it reports when the database fails."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from pymysql import InterfaceError, OperationalError
from pymysql.err import DataError, IntegrityError

from order_notifier.announcement import to_json
from sales_recorder import connection as recorder_connection
from sales_recorder import handler as recorder
from sales_recorder.connection import KeptConnection
from sales_recorder.sale import Sale, read_sale, to_utc
from shared.database import DatabaseAccessDenied, DatabaseError, DatabaseUnreachable
from shared.order_items import StoredOrder
from shared.order_rules import InvalidOrder, Order
from shared.times import Context
from tests.embedded_metrics import counts
from tests.unit.fakes import Clock, client_error

RECEIVED_AT = "2026-11-26T09:15:00.123Z"
FULL = StoredOrder(Order("A-1001", "Caffè Latte", 2, Decimal("3.5"), "C-7", "2026-11-26T10:15:00.5+01:00"), RECEIVED_AT)
Fault = Callable[["FakeConnection"], None]


class FakeDatabase:
    """The table `orders` with transactions; each call of a connection meets the next fault of its kind, if any."""

    def __init__(self, clock: Clock) -> None:
        self.rows: dict[str, Sale] = {}
        self.transactions: list[list[str]] = []
        self.passwords: list[str | None] = []
        self.connections: list[FakeConnection] = []
        self.connect_faults: list[Exception | None] = []
        self.insert_faults: list[Fault | None] = []
        self.commit_faults: list[Fault | None] = []
        self.refused: dict[str, Exception] = {}
        """Errors of rows that the database never takes, by order key."""
        self.valid_password: str | None = None
        self._clock = clock

    def connect(
        self,
        url: str,
        name: str,
        user: str,
        password: str | None,
        *,
        connect_seconds: float,
        read_seconds: float,
    ) -> "FakeConnection":
        assert all((url, name, user))
        self._clock.seconds_left -= 0.01
        assert connect_seconds + read_seconds <= 3
        self.passwords.append(password)
        if fault := self.connect_faults.pop(0) if self.connect_faults else None:
            raise fault
        if password != self.valid_password:
            raise DatabaseAccessDenied("database db:3306: access denied (1045)")
        self.connections.append(FakeConnection(self, self._clock))
        return self.connections[-1]


class FakeConnection:
    """A connection whose rows are in the table once it commits."""

    def __init__(self, database: FakeDatabase, clock: Clock) -> None:
        self.open = True
        self.uncommitted: list[Sale] = []
        self.settings: list[str] = []
        self._database = database
        self._clock = clock

    def cursor(self) -> "FakeConnection":
        return self

    def __enter__(self) -> "FakeConnection":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def execute(self, statement: str) -> None:
        self.settings.append(statement)

    def executemany(self, statement: str, sales: Sequence[Sale]) -> None:
        columns = statement.partition("(")[2].partition(")")[0].split(", ")
        assert columns == list(Sale._fields)
        self._spend(self._database.insert_faults)
        for sale in sales:
            if error := self._database.refused.get(sale.order_key):
                raise error
            if sale.order_key in self._database.rows or sale.order_key in [row.order_key for row in self.uncommitted]:
                raise duplicate(sale.order_key)
            self.uncommitted.append(sale)

    def commit(self) -> None:
        self._spend(self._database.commit_faults)
        self.write()

    def write(self) -> None:
        self._database.transactions.append([sale.order_key for sale in self.uncommitted])
        self._database.rows |= {sale.order_key: sale for sale in self.uncommitted}
        self.uncommitted = []

    def rollback(self) -> None:
        self._spend([])
        self.uncommitted = []

    def close(self) -> None:
        self.open, self.uncommitted = False, []

    def _spend(self, faults: list[Fault | None]) -> None:
        self._clock.seconds_left -= 0.01
        if not self.open:
            raise InterfaceError(0, "")
        if fault := faults.pop(0) if faults else None:
            fault(self)


def duplicate(order_key: str, index: str = "order_key") -> IntegrityError:
    return IntegrityError(1062, f"Duplicate entry '{order_key}' for key '{index}'")


def failing(error: BaseException) -> Fault:
    """The statement fails; the connection is still there, and so is its transaction."""

    def fail(_: FakeConnection) -> None:
        raise error

    return fail


def losing(code: int, *, written: bool = False) -> Fault:
    """The connection breaks, before or after the database has done what it was asked."""

    def lose(connection: FakeConnection) -> None:
        if written:
            connection.write()
        connection.close()
        raise OperationalError(code, "Lost connection")

    return lose


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> FakeDatabase:
    database = FakeDatabase(clock)
    monkeypatch.setattr(recorder_connection, "connect", database.connect)
    monkeypatch.setattr(recorder, "_database", KeptConnection())
    monkeypatch.delenv("DB_SECRET_ARN", raising=False)
    for name, value in {"DB_URL": "db:3306", "DB_NAME": "cafe", "DB_USER": "sales_recorder"}.items():
        monkeypatch.setenv(name, value)
    return database


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch, database: FakeDatabase) -> Iterator[Callable[[str], None]]:
    """The recorder's secret; call it to change the password in it and in the database."""
    with mock_aws():
        secrets = boto3.client("secretsmanager")
        arn = secrets.create_secret(Name="recorder", SecretString="{}")["ARN"]
        monkeypatch.setenv("DB_SECRET_ARN", arn)
        monkeypatch.setattr(recorder_connection, "_secrets", lambda: secrets)

        def change(password: str) -> None:
            text = json.dumps({"username": "sales_recorder", "password": password})
            secrets.put_secret_value(SecretId=arn, SecretString=text)
            database.valid_password = password

        change("first")
        yield change


def stored(order_id: str, **changes: Any) -> StoredOrder:
    return StoredOrder(FULL.order._replace(order_id=order_id, **changes), RECEIVED_AT)


def message(order: StoredOrder | str, message_id: str | None = None) -> dict[str, str]:
    if isinstance(order, str):
        return {"messageId": message_id or order, "body": order}
    return {"messageId": message_id or f"m-{order.order.order_id}", "body": to_json(order)}


def run(clock: Context, *messages: dict[str, str]) -> list[str]:
    """Runs the handler; the ids of the messages that it reports as failed."""
    failures = recorder.handler({"Records": list(messages)}, clock)["batchItemFailures"]
    return [failure["itemIdentifier"] for failure in failures]


def batch(*order_ids: str) -> list[dict[str, str]]:
    return [message(stored(order_id)) for order_id in order_ids]


# What an announcement says


def test_an_announcement_is_read_with_its_exact_numbers() -> None:
    assert read_sale(to_json(FULL)) == Sale(
        "A-1001", datetime(2026, 11, 26, 9, 15, 0, 500_000), "C-7", "Caffè Latte", 2, Decimal("3.5")
    )


def test_without_an_order_date_it_counts_when_it_was_received() -> None:
    sale = read_sale(to_json(stored("A-1", order_date=None, customer_id=None)))
    assert (sale.order_date, sale.customer_id) == (datetime(2026, 11, 26, 9, 15, 0, 123_000), None)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    st.integers(0, 10_000_000_000),
    st.integers(1, 10_000),
)
def test_every_announcement_can_be_read(product: str, units: int, quantity: int) -> None:
    price = Decimal(units).scaleb(-4)
    sale = read_sale(to_json(stored("A-1", product=product, price_per_item=price, quantity=quantity)))
    assert (sale.product_name, sale.price_per_item, sale.quantity) == (product, price, quantity)


ANNOUNCEMENT = json.loads(to_json(FULL))


@pytest.mark.parametrize(
    ("body", "field", "rule"),
    [
        ("", "body", "is not valid JSON"),
        ("{", "body", "is not valid JSON"),
        ("[]", "body", "is not a JSON object"),
        ("1", "body", "is not a JSON object"),
        ("null", "body", "is not a JSON object"),
        ('"{}"', "body", "is not a JSON object"),
        ("[" * 100_000, "body", "is nested too deeply"),
        ("{}", "orderID", "is missing"),
        ('{"orderID": "A", "orderID": "A"}', "body", "has a repeated key"),
        (json.dumps(ANNOUNCEMENT | {"quantity": "2"}), "quantity", "is not of the DynamoDB type N"),
        (json.dumps(ANNOUNCEMENT | {"quantity": 2.0}), "quantity", "is not an integer"),
        (json.dumps(ANNOUNCEMENT | {"quantity": True}), "quantity", "is not of the DynamoDB type N"),
        (json.dumps(ANNOUNCEMENT | {"quantity": float("nan")}), "quantity", "is not of the DynamoDB type N"),
        (json.dumps(ANNOUNCEMENT | {"price_per_item": 1e-5}), "price_per_item", "has more than 4 decimal places"),
        (json.dumps(ANNOUNCEMENT | {"product": {"S": "Tea"}}), "product", "is not of the DynamoDB type S"),
        (json.dumps(ANNOUNCEMENT | {"product": "\ud800"}), "body", "half of a surrogate pair"),
        (json.dumps(ANNOUNCEMENT | {"order_date": "2026-02-30T00:00:00Z"}), "order_date", "is not a day"),
        (json.dumps(ANNOUNCEMENT | {"received_at": "today"}), "received_at", "is not an RFC 3339 date-time"),
    ],
)
def test_what_is_no_stored_order_is_refused_by_its_rule(body: str, field: str, rule: str) -> None:
    with pytest.raises(InvalidOrder) as refusal:
        read_sale(body)
    assert refusal.value.field == field
    assert rule in refusal.value.rule


@pytest.mark.parametrize("more", ["x", 1, None, [1, {}], {"quantity": 0}])
def test_what_another_version_announced_beside_an_order_is_left_alone(more: Any) -> None:
    assert read_sale(json.dumps(ANNOUNCEMENT | {"more": more})) == read_sale(json.dumps(ANNOUNCEMENT))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-26T09:15:00Z", datetime(2026, 11, 26, 9, 15)),
        ("2026-11-26t09:15:00.9999999z", datetime(2026, 11, 26, 9, 15, 0, 999_000)),
        ("2026-11-26T09:15:00.07+05:45", datetime(2026, 11, 26, 3, 30, 0, 70_000)),
        ("2026-11-26T20:15:00-09:30", datetime(2026, 11, 27, 5, 45)),
        ("2026-01-01T00:00:00+00:01", datetime(2025, 12, 31, 23, 59)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, 999_000)),
        ("2017-01-01T08:59:60.25+09:00", datetime(2016, 12, 31, 23, 59, 59, 999_000)),
        ("2026-11-26T09:15:00." + "9" * 199_000 + "Z", datetime(2026, 11, 26, 9, 15, 0, 999_000)),
        ("0000-01-01T00:00:00Z", datetime(1000, 1, 1)),
        ("0000-12-31T23:59:59-00:01", datetime(1000, 1, 1)),
        ("0001-01-01T00:00:00+00:01", datetime(1000, 1, 1)),
        ("0999-12-31T23:59:59.999Z", datetime(1000, 1, 1)),
        ("1000-01-01T00:00:00.001Z", datetime(1000, 1, 1, 0, 0, 0, 1000)),
        ("9999-12-31T23:59:59.9999Z", datetime(9999, 12, 31, 23, 59, 59, 999_000)),
        ("9999-12-31T23:59:00-00:01", datetime(9999, 12, 31, 23, 59, 59, 999_000)),
    ],
)
def test_a_date_time_becomes_a_moment_that_the_database_can_hold(text: str, moment: datetime) -> None:
    assert to_utc(text) == moment


@given(
    st.datetimes(datetime(1001, 1, 1), datetime(9998, 12, 31)),
    st.integers(-1439, 1439),
)
def test_a_moment_is_the_same_whatever_its_offset(moment: datetime, minutes: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    local = (moment + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")
    assert to_utc(f"{local}{sign}{hours:02}:{rest:02}") == moment
    assert to_utc(moment.replace(tzinfo=UTC).isoformat()) == moment


# What is written and reported


def test_a_batch_is_one_transaction(clock: Clock, database: FakeDatabase) -> None:
    assert run(clock, *batch("A-1", "A-2", "A-3")) == []
    assert database.transactions == [["A-1", "A-2", "A-3"]]
    assert database.rows["A-1"] == read_sale(to_json(stored("A-1")))


def test_what_is_recorded_is_named_and_counted_and_nothing_else(
    clock: Clock, database: FakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shop")
    assert not database.rows
    first = message(FULL._replace(message_id="m-7"), "n-1")
    assert run(clock, first, message(stored("A-2"), "n-2"), message("no order", "n-3")) == ["n-3"]
    ids = [{"message_id": "m-7", "order_id": "A-1001"}, {"order_id": "A-2"}]
    assert vars(caplog.records[-1])["orders"] == ids
    assert counts(caplog.records) == {"SalesRecorded": 2}


@pytest.mark.usefixtures("database")
def test_a_sale_is_counted_when_it_is_written_and_not_when_it_comes_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shop")
    run(clock, *batch("A-1"))
    run(clock, *batch("A-1"))
    run(clock, *batch("A-1", "A-2"))
    assert counts(caplog.records) == {"SalesRecorded": 2}
    assert [len(vars(record)["orders"]) for record in caplog.records if record.msg == "batch done"] == [1, 1, 2]


def test_the_connection_is_kept(clock: Clock, database: FakeDatabase) -> None:
    run(clock, *batch("A-1"))
    run(clock, *batch("A-2"))
    (connection,) = database.connections
    assert "SET SESSION innodb_lock_wait_timeout = 1" in connection.settings
    assert len(set(connection.settings)) == len(connection.settings)


def test_an_empty_batch_needs_no_database(clock: Clock, database: FakeDatabase) -> None:
    assert run(clock) == run(clock, message("no order", "m-1"))[1:] == []
    assert database.passwords == []


def test_delivered_again_it_is_in_the_table_once(clock: Clock, database: FakeDatabase) -> None:
    assert run(clock, *batch("A-1", "A-2")) == []
    first = dict(database.rows)
    assert run(clock, *batch("A-2", "A-3", "A-1")) == []
    assert database.rows == first | {"A-3": database.rows["A-3"]}
    assert [order_id for transaction in database.transactions for order_id in transaction] == ["A-1", "A-2", "A-3"]


def test_twice_in_one_batch_it_is_written_once(clock: Clock, database: FakeDatabase) -> None:
    other = stored("A-1", quantity=9)
    assert run(clock, message(stored("A-1"), "m-1"), message(other, "m-2"), *batch("A-2")) == []
    assert database.transactions == [["A-1", "A-2"]]
    assert database.rows["A-1"].quantity == 2


def test_what_is_no_order_fails_alone_and_its_rule_is_logged(
    clock: Clock, database: FakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bad = json.dumps(ANNOUNCEMENT | {"product": "secret" * 40})
    assert run(clock, message(stored("A-1")), message(bad, "m-bad"), *batch("A-2")) == ["m-bad"]
    assert list(database.rows) == ["A-1", "A-2"]
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert (line.message_id, line.field, line.rule) == ("m-bad", "product", "is not 1 to 200 characters long")  # type: ignore[attr-defined]
    assert "secret" not in str([vars(record) for record in caplog.records])


def test_a_message_without_a_text_fails_alone(clock: Clock, database: FakeDatabase) -> None:
    broken: Any = {"messageId": "m-bad", "body": None}
    assert run(clock, broken, *batch("A-1")) == ["m-bad"]
    assert list(database.rows) == ["A-1"]


@pytest.mark.parametrize(
    "error",
    [
        DataError(1406, "Data too long for column 'product_name' at row 1"),
        OperationalError(1048, "made up"),
        duplicate("Tea", "product_name"),
    ],
    ids=repr,
)
def test_a_row_that_the_database_refuses_fails_alone(clock: Clock, database: FakeDatabase, error: Exception) -> None:
    database.refused["A-2"] = error
    assert run(clock, *batch("A-1", "A-2", "A-3")) == ["m-A-2"]
    assert sorted(database.rows) == ["A-1", "A-3"]


def test_no_word_of_the_database_is_logged(
    clock: Clock, database: FakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    database.refused["A-1"] = DataError(1366, "Incorrect string value: 'whispered'")
    run(clock, *batch("A-1", "A-2"))
    lines = [vars(record) for record in caplog.records]
    assert any(line.get("error_code") == 1366 and line.get("order_id") == "A-1" for line in lines)
    assert "whispered" not in str(lines)


@pytest.mark.parametrize("code", [1213, 1020])
def test_after_a_conflict_the_batch_is_written_again(clock: Clock, database: FakeDatabase, code: int) -> None:
    database.insert_faults = [failing(OperationalError(code, "made up"))] * 3
    assert run(clock, *batch("A-1", "A-2")) == []
    assert database.transactions == [["A-1", "A-2"]]
    assert len(database.connections) == 1
    assert len(clock.pauses) == 3


def test_a_sale_that_somebody_else_holds_fails_alone(clock: Clock, database: FakeDatabase) -> None:
    database.refused["A-1"] = OperationalError(1205, "Lock wait timeout exceeded")
    assert run(clock, *batch("A-1", "A-2", "A-3")) == ["m-A-1"]
    assert sorted(database.rows) == ["A-2", "A-3"]
    assert clock.seconds_left > 0.5


def test_a_sale_that_somebody_else_held_for_a_while_is_written(clock: Clock, database: FakeDatabase) -> None:
    locked = failing(OperationalError(1205, "Lock wait timeout exceeded"))
    database.insert_faults = [locked, locked, None, locked]
    assert run(clock, *batch("A-1", "A-2")) == []
    assert database.transactions == [["A-2"], ["A-1"]]


def test_a_deadlock_among_single_sales_is_tried_again(clock: Clock, database: FakeDatabase) -> None:
    run(clock, *batch("A-2"))
    database.insert_faults = [None, None, failing(OperationalError(1213, "Deadlock found"))]
    assert run(clock, *batch("A-1", "A-2", "A-3")) == []
    assert sorted(database.rows) == ["A-1", "A-2", "A-3"]


@pytest.mark.parametrize("code", [2006, 2013, 1053, 1927, 1290])
def test_a_lost_connection_is_made_anew(clock: Clock, database: FakeDatabase, code: int) -> None:
    run(clock, *batch("A-1"))
    database.insert_faults = [losing(code)]
    assert run(clock, *batch("A-2")) == []
    assert list(database.rows) == ["A-1", "A-2"]
    assert len(database.connections) == 2


def test_a_connection_found_closed_is_made_anew(clock: Clock, database: FakeDatabase) -> None:
    run(clock, *batch("A-1"))
    database.connections[0].close()
    assert run(clock, *batch("A-2")) == []
    assert len(database.connections) == 2


@pytest.mark.parametrize("written", [True, False])
def test_the_answer_to_a_commit_is_lost(clock: Clock, database: FakeDatabase, written: bool) -> None:
    database.commit_faults = [losing(2013, written=written)]
    assert run(clock, *batch("A-1", "A-2")) == []
    assert sorted(database.rows) == ["A-1", "A-2"]


def test_a_commit_that_fails_is_not_done(clock: Clock, database: FakeDatabase) -> None:
    database.commit_faults = [failing(OperationalError(1180, "Got error 28 during COMMIT"))] * 3
    assert run(clock, *batch("A-1", "A-2")) == ["m-A-1", "m-A-2"]
    assert database.rows == {}


def test_a_roll_back_that_fails_costs_the_connection(clock: Clock, database: FakeDatabase) -> None:
    def fail(connection: FakeConnection) -> None:
        connection.open = False
        raise OperationalError(1213, "Deadlock found")

    database.insert_faults = [fail]
    assert run(clock, *batch("A-1")) == []
    assert database.transactions == [["A-1"]]
    assert len(database.connections) == 2


def test_rows_left_open_by_a_crash_are_not_taken_for_duplicates(clock: Clock, database: FakeDatabase) -> None:
    database.commit_faults = [failing(MemoryError())]
    with pytest.raises(MemoryError):
        run(clock, *batch("A-1"))
    assert run(clock, *batch("A-1")) == []
    assert database.transactions == [["A-1"]]


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        (failing(OperationalError(1213, "Deadlock found")), 5),
        (losing(2013), 5),
    ],
)
def test_a_lasting_failure_ends_in_time(clock: Clock, database: FakeDatabase, fault: Fault, attempts: int) -> None:
    faults = database.insert_faults = [fault] * 1000
    assert run(clock, *batch("A-1", "A-2")) == ["m-A-1", "m-A-2"]
    assert len(faults) < 1000 - attempts
    assert clock.seconds_left > 0.5


def test_single_sales_that_there_is_no_time_for_are_reported(clock: Clock, database: FakeDatabase) -> None:
    run(clock, *batch("A-1"))
    clock.seconds_left = 0.8
    order_ids = [f"A-{number}" for number in range(1, 9)]
    failed = run(clock, *batch(*order_ids))
    assert 0 < len(failed) < len(order_ids)
    assert sorted(f"m-{name}" for name in order_ids if name not in database.rows) == sorted(failed)


@pytest.mark.parametrize("error", [DatabaseUnreachable("database db:3306: refused (2003)")])
def test_a_database_that_is_down_for_a_moment_is_waited_for(
    clock: Clock, database: FakeDatabase, error: DatabaseError
) -> None:
    database.connect_faults = [error, error]
    assert run(clock, *batch("A-1")) == []


def test_a_database_that_stays_down_fails_all_in_time(clock: Clock, database: FakeDatabase) -> None:
    database.connect_faults = [DatabaseUnreachable("database db:3306: refused (2003)")] * 1000
    assert run(clock, *batch("A-1", "A-2")) == ["m-A-1", "m-A-2"]
    assert clock.seconds_left > 0.5


# How it signs in


def test_without_a_secret_it_signs_in_by_token(clock: Clock, database: FakeDatabase) -> None:
    run(clock, *batch("A-1"))
    assert database.passwords == [None]


def test_the_password_is_read_once(clock: Clock, database: FakeDatabase, secret: Callable[[str], None]) -> None:
    secret("first")
    run(clock, *batch("A-1"))
    calls: list[str] = []
    secret_client = recorder_connection._secrets()
    secret_client.meta.events.register("before-call.secretsmanager", lambda **_: calls.append("read"))
    database.connections[-1].close()
    assert run(clock, *batch("A-2")) == []
    assert database.passwords == ["first", "first"]
    assert calls == []


def test_a_changed_password_is_read_again(clock: Clock, database: FakeDatabase, secret: Callable[[str], None]) -> None:
    run(clock, *batch("A-1"))
    secret("second")
    database.connections[-1].close()
    assert run(clock, *batch("A-2")) == []
    assert database.passwords == ["first", "first", "second"]


def test_a_wrong_password_fails_all_after_one_sign_in(
    clock: Clock, database: FakeDatabase, secret: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    secret("first")
    database.valid_password = "another"  # noqa: S105
    assert run(clock, *batch("A-1", "A-2")) == ["m-A-1", "m-A-2"]
    assert database.passwords == ["first"]
    assert "first" not in str([vars(record) for record in caplog.records])


class _Secrets:
    """Secrets Manager that fails before it answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def get_secret_value(self, **_: object) -> dict[str, str]:
        if self.errors:
            raise self.errors.pop(0)
        return {"SecretString": '{"username": "sales_recorder", "password": "first"}'}


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (client_error("InternalServiceError", 500), []),
        (client_error("ThrottlingException"), []),
        (client_error("AccessDeniedException"), ["m-A-1"]),
    ],
    ids=repr,
)
def test_a_secret_that_cannot_be_read(
    clock: Clock, database: FakeDatabase, monkeypatch: pytest.MonkeyPatch, error: Exception, failed: list[str]
) -> None:
    database.valid_password = "first"  # noqa: S105
    monkeypatch.setenv("DB_SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:recorder")
    secrets = _Secrets(error)
    monkeypatch.setattr(recorder_connection, "_secrets", lambda: secrets)
    assert run(clock, *batch("A-1")) == failed


# Whatever happens

faults = st.sampled_from(
    [
        None,
        failing(OperationalError(1213, "made up")),
        failing(OperationalError(1205, "made up")),
        losing(2013),
        losing(2006, written=True),
    ]
)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.sets(st.integers(0, 5)),
    st.sets(st.integers(0, 5)),
    st.lists(faults, max_size=6),
    st.lists(faults, max_size=6),
)
def test_what_is_reported_done_is_committed_once(
    delivered: list[int],
    known: set[int],
    refused: set[int],
    insert_faults: list[Fault | None],
    commit_faults: list[Fault | None],
) -> None:
    clock = Clock()
    database = FakeDatabase(clock)
    database.rows = {f"A-{n}": read_sale(to_json(stored(f"A-{n}"))) for n in known}
    database.refused = {f"A-{n}": DataError(1406, "made up") for n in refused - known}
    database.insert_faults, database.commit_faults = list(insert_faults), list(commit_faults)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", clock.sleep)
        patch.setattr(recorder_connection, "connect", database.connect)
        patch.setattr(recorder, "_database", KeptConnection())
        patch.delenv("DB_SECRET_ARN", raising=False)
        for name in ("DB_URL", "DB_NAME", "DB_USER"):
            patch.setenv(name, "made-up")
        messages = [message(stored(f"A-{n}"), f"m-{place}") for place, n in enumerate(delivered)]
        failed = run(clock, *messages)
    assert failed == [f"m-{place}" for place, n in enumerate(delivered) if n in refused - known]
    written = [order_id for transaction in database.transactions for order_id in transaction]
    assert len(written) == len(set(written))
    assert set(written) == {f"A-{n}" for n in set(delivered) - known - refused}
