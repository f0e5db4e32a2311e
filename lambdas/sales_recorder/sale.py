"""Reads a sale from the announcement of an order: what the message must be, and on which moment the sale counts.

The announcement is the stored item as JSON text (`order_notifier.announcement`), so it is checked by the same rules as
an item of the orders table. Needs the standard library only.
"""

import json
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from shared.order_items import StoredOrder, from_item
from shared.order_rules import InvalidOrder

_BODY: Final = "body"
_DATE_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2}).([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_LEAP_SECOND: Final = 60
_LAST_MILLISECOND: Final = 999
_EARLIEST: Final = datetime(1000, 1, 1)
_LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, 999_000)
"""What MariaDB supports as a DATETIME(3) (MariaDB Documentation, "DATETIME")."""


class Sale(NamedTuple):
    """An order as a row of the table `orders`."""

    order_key: str
    """The order's id, by which the table knows an order that it has."""
    order_date: datetime
    """UTC without a zone, in whole milliseconds."""
    customer_id: str | None
    product_name: str
    quantity: int
    price_per_item: Decimal


class _Number(str):
    """The token of a JSON number, so that no binary float ever stands for a price."""

    __slots__ = ()


def read_sale(announcement: str) -> Sale:
    """The sale that an order's announcement tells of.

    Raises:
        InvalidOrder: the text is no stored order.
    """
    return to_sale(read_announcement(announcement))


def to_sale(stored: StoredOrder) -> Sale:
    """The sale that a stored order is; it counts on its `order_date`, else on its `received_at`."""
    order = stored.order
    return Sale(
        order_key=order.order_id,
        order_date=to_utc(order.order_date or stored.received_at),
        customer_id=order.customer_id,
        product_name=order.product,
        quantity=order.quantity,
        price_per_item=order.price_per_item,
    )


def to_utc(date_time: str) -> datetime:
    """The moment of a valid RFC 3339 date-time, in UTC without a zone, cut to whole milliseconds.

    A leap second counts as the last millisecond of its minute, because neither Python nor MariaDB has a second 60. A
    moment that MariaDB cannot hold becomes the nearest that it can: such a date is a slip of the pen that no report
    covers either way, while a refused sale would be lost to the books.
    """
    match = _DATE_TIME.fullmatch(date_time)
    if not match:
        raise ValueError(f"{date_time[:40]!r} is not an RFC 3339 date-time with an offset")
    *digits, fraction, sign, offset_hours, offset_minutes = match.groups()
    year, month, day, hour, minute, second = map(int, digits)
    milliseconds = _LAST_MILLISECOND if second == _LEAP_SECOND else int((fraction or "0")[:3].ljust(3, "0"))
    ahead = (
        timedelta(hours=int(f"{sign}{offset_hours}"), minutes=int(f"{sign}{offset_minutes}")) if sign else timedelta()
    )
    try:
        local = datetime(year, month, day, hour, minute, min(second, 59), milliseconds * 1000)
        return min(max(local - ahead, _EARLIEST), _LATEST)
    except (ValueError, OverflowError):  # the year 0, which Python has not, or an offset that leads out of its years
        return _EARLIEST if year < _EARLIEST.year else _LATEST


def read_announcement(announcement: str) -> StoredOrder:
    """The stored order that an announcement is the text of.

    Raises:
        InvalidOrder: the text is no stored order.
    """
    try:
        item = json.loads(announcement, object_pairs_hook=_to_item, parse_int=_Number, parse_float=_Number)
    except json.JSONDecodeError as error:
        raise InvalidOrder(_BODY, f"is not valid JSON: {error.msg}") from error
    except RecursionError as error:
        raise InvalidOrder(_BODY, "is nested too deeply") from error
    if not isinstance(item, dict):
        raise InvalidOrder(_BODY, "is not a JSON object")
    return from_item(item)


def _to_item(members: list[tuple[str, Any]]) -> dict[str, dict[str, str]]:
    """A JSON object in the form that items have in DynamoDB, in which the rules of stored orders are written."""
    item = {name: _to_attribute(value) for name, value in members}
    if len(item) != len(members):
        raise InvalidOrder(_BODY, "has a repeated key")
    return item


def _to_attribute(value: object) -> dict[str, str]:
    if isinstance(value, _Number):
        return {"N": str(value)}
    if not isinstance(value, str):
        return {}
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidOrder(_BODY, "holds half of a surrogate pair, which is no character") from error
    return {"S": value}
