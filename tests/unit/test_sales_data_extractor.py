"""The extractor's event and answer; its query is tested on a real database (tests/integration/test_sales_sql.py)."""

import json
import logging
from datetime import datetime
from decimal import Decimal
from typing import Any

import pymysql
import pytest
from pymysql.constants import ER

from sales_data_extractor import handler as extractor
from shared import database
from tests.unit.fakes import Clock

_EVENT = {"dbUrl": "db.example.com:3307", "dbName": "cafe", "dbUser": "sales_reader", "date": "2026-11-21"}


class _Cursor:
    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection

    def __enter__(self) -> "_Cursor":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str, values: tuple[object, ...]) -> None:
        self._connection.executed.append((statement, values))
        if self._connection.error:
            raise self._connection.error

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._connection.rows


class _Connection:
    """A connection that gives rows or an error."""

    def __init__(self) -> None:
        self.arguments: dict[str, Any] = {}
        self.executed: list[tuple[str, tuple[object, ...]]] = []
        self.rows: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.closed = False

    def cursor(self) -> _Cursor:
        return _Cursor(self)

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> _Connection:
    monkeypatch.setenv("SHOP_TIME_ZONE", "Europe/Rome")
    monkeypatch.setenv("QUERY_SECONDS", "20")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    found = _Connection()

    def connect(**arguments: Any) -> _Connection:
        found.arguments = arguments
        return found

    monkeypatch.setattr(pymysql, "connect", connect)
    return found


def test_a_days_sales_are_answered(connection: _Connection) -> None:
    connection.rows = [(1, "Pastries", 7, "Croissant", Decimal(12)), (2, "Drinks", 3, "Caffè Latte", Decimal(5))]
    answer = extractor.handler({**_EVENT, "dbPassword": "secret", "ignored": 1}, Clock())

    assert answer == {
        "statusCode": 200,
        "body": [
            {
                "product_group_number": 1,
                "product_group_name": "Pastries",
                "product_id": 7,
                "product_name": "Croissant",
                "quantity": 12,
            },
            {
                "product_group_number": 2,
                "product_group_name": "Drinks",
                "product_id": 3,
                "product_name": "Caffè Latte",
                "quantity": 5,
            },
        ],
    }
    json.dumps(answer)
    [(_, values)] = connection.executed
    assert values == (20.0, datetime(2026, 11, 20, 23), datetime(2026, 11, 21, 23))
    assert connection.closed


def test_the_event_says_where_and_how_to_sign_in(connection: _Connection) -> None:
    extractor.handler({**_EVENT, "dbPassword": "secret"}, Clock())

    chosen = {name: connection.arguments[name] for name in ("host", "port", "database", "user", "password")}
    assert chosen == {
        "host": "db.example.com",
        "port": 3307,
        "database": "cafe",
        "user": "sales_reader",
        "password": b"secret",
    }
    assert connection.arguments["connect_timeout"] == 3
    assert connection.arguments["read_timeout"] == 22


def test_without_a_password_a_token_signs_in(connection: _Connection) -> None:
    extractor.handler(_EVENT, Clock())

    assert connection.arguments["password"].startswith(b"db.example.com:3307/?Action=connect&DBUser=sales_reader&")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dbUrl": None}, "dbUrl: None is not a string of at least one character"),
        ({"dbUrl": "a b"}, "dbUrl: 'a b' is not a host, or a host and a port as in db.example.com:3306"),
        ({"dbName": ""}, "dbName: '' is not a string of at least one character"),
        ({"dbUser": 7}, "dbUser: 7 is not a string of at least one character"),
        ({"dbPassword": 1234}, "dbPassword: is not a string"),
        ({"date": None}, "date: None is not of the form YYYY-MM-DD"),
        ({"date": "2026-02-30"}, "date: '2026-02-30' is not a day of the calendar"),
    ],
)
def test_a_wrong_event_is_refused_by_name(change: dict[str, object], message: str, connection: _Connection) -> None:
    with pytest.raises(extractor.InvalidEvent) as refusal:
        extractor.handler({**_EVENT, **change}, Clock())
    assert str(refusal.value) == message
    assert connection.arguments == {}


@pytest.mark.parametrize("event", [None, [], "x", 5])
def test_an_event_that_is_no_object_is_refused_by_name(event: Any, connection: _Connection) -> None:
    with pytest.raises(extractor.InvalidEvent, match=r"^event: is not a JSON object$"):
        extractor.handler(event, Clock())
    assert connection.arguments == {}


def test_a_failing_query_has_a_name_and_closes_the_connection(connection: _Connection) -> None:
    connection.error = pymysql.ProgrammingError(ER.NO_SUCH_TABLE, "Table 'cafe.order_item' doesn't exist")
    with pytest.raises(database.DatabaseObjectMissing, match=r"cafe\.order_item"):
        extractor.handler({**_EVENT, "dbPassword": "secret"}, Clock())
    assert connection.closed


def test_more_than_lambda_can_answer_has_a_name(connection: _Connection) -> None:
    connection.rows = [(1, "€" * 200, number, "€" * 200, Decimal(1)) for number in range(5_000)]
    with pytest.raises(extractor.ReportTooLarge, match="the sales of 2026-11-21 have 5000 products and"):
        extractor.handler({**_EVENT, "dbPassword": "secret"}, Clock())


def test_what_just_fits_is_answered(connection: _Connection) -> None:
    connection.rows = [(1, "€" * 200, number, "€" * 200, Decimal(1)) for number in range(4_700)]
    answer = extractor.handler({**_EVENT, "dbPassword": "secret"}, Clock())
    assert len(answer["body"]) == 4_700


def test_the_password_is_never_logged(connection: _Connection, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    extractor.handler({**_EVENT, "dbPassword": "Hunter-2"}, Clock())
    connection.error = pymysql.OperationalError(ER.ACCESS_DENIED_ERROR, "Access denied (using password: YES)")
    with pytest.raises(database.DatabaseAccessDenied):
        extractor.handler({**_EVENT, "dbPassword": "Hunter-2"}, Clock())

    assert caplog.records
    assert "Hunter-2" not in " ".join(str(record.__dict__) for record in caplog.records)
