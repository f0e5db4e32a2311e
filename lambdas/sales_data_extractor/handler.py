"""Answers what was sold on one day of the shop, from the database that the event names."""

import json
import os
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict
from zoneinfo import ZoneInfo

from sales_data_extractor.query import ProductSales, read_sales
from shared.database import connect, errors, split_address
from shared.log import logger
from shared.shop_days import bounds, parse_day

if TYPE_CHECKING:  # it imports `random`, which nothing here needs
    from shared.times import Context

_CONNECT_SECONDS: Final = 3
_READ_RESERVE_SECONDS: Final = 2
"""By which the connection outwaits the query, so that the database ends it and says so."""
_LARGEST_ANSWER: Final = 6_291_556
"""Bytes of a function's answer (AWS Lambda quotas: 6 MB for synchronous invocations)."""


class InvalidEvent(ValueError):
    """The event is wrong; the text names the member, the value and the rule."""


class ReportTooLarge(Exception):
    """The day's sales are more than Lambda can answer with."""


class _Answer(TypedDict):
    statusCode: int
    body: list[ProductSales]


class _Request(NamedTuple):
    url: str
    name: str
    user: str
    password: str | None
    day: date


def handler(event: Mapping[str, Any], context: "Context") -> _Answer:  # noqa: ARG001 (Lambda calls it so)
    """The day's sales by product: `{"statusCode": 200, "body": [...]}`.

    The event has `dbUrl`, `dbName`, `dbUser` and `date`; with a `dbPassword` that signs in, without it IAM does. The
    environment has `SHOP_TIME_ZONE` and `QUERY_SECONDS`.

    Raises:
        InvalidEvent: the event breaks this contract.
        DatabaseError: one of its kinds says what is wrong with the database.
        ReportTooLarge: the answer would have more than 6 MB.
    """
    request = _read(event)
    start, end = bounds(request.day, ZoneInfo(os.environ["SHOP_TIME_ZONE"]))
    seconds = float(os.environ["QUERY_SECONDS"])
    connection = connect(
        request.url,
        request.name,
        request.user,
        request.password,
        connect_seconds=_CONNECT_SECONDS,
        read_seconds=seconds + _READ_RESERVE_SECONDS,
    )
    with errors(request.url), connection:
        sales = read_sales(connection, start, end, seconds=seconds)
    logger.info("sales read", extra={"date": str(request.day), "products": len(sales)})
    answer: _Answer = {"statusCode": 200, "body": sales}
    _check_size(answer, request.day)
    return answer


def _read(event: object) -> _Request:
    if not isinstance(event, Mapping):
        raise InvalidEvent("event: is not a JSON object")
    password = event.get("dbPassword")
    if password is not None and not isinstance(password, str):
        raise InvalidEvent("dbPassword: is not a string")
    url = _text(event, "dbUrl")
    try:
        split_address(url)
    except ValueError as error:
        raise InvalidEvent(f"dbUrl: {error}") from None
    try:
        day = parse_day(event.get("date"))
    except ValueError as error:
        raise InvalidEvent(str(error)) from None
    return _Request(url, _text(event, "dbName"), _text(event, "dbUser"), password, day)


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidEvent(f"{name}: {value!r} is not a string of at least one character")
    return value


def _check_size(answer: _Answer, day: date) -> None:
    """Raises ReportTooLarge for what Lambda would refuse with an error that says nothing of the report."""
    size = len(json.dumps(answer, ensure_ascii=False).encode())
    if size > _LARGEST_ANSWER:
        raise ReportTooLarge(
            f"the sales of {day} have {len(answer['body'])} products and {size} bytes; Lambda answers with"
            f" {_LARGEST_ANSWER} at the most"
        )
