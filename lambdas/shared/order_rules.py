"""What an order is: its fields, the rule of each, and how a broken rule is named.

Needs the standard library only. Whoever reads orders from JSON (`shared.orders`) or from the table
(`shared.order_items`) brings texts and number tokens here, so that a rule stands in one place.
"""

import re
from decimal import Decimal
from typing import Final, NamedTuple

ORDER_ID: Final = "orderID"
PRODUCT: Final = "product"
QUANTITY: Final = "quantity"
PRICE: Final = "price_per_item"
CUSTOMER_ID: Final = "customer_id"
ORDER_DATE: Final = "order_date"

FIELDS: Final = (ORDER_ID, CUSTOMER_ID, PRODUCT, QUANTITY, PRICE, ORDER_DATE)
REQUIRED_FIELDS: Final = (PRODUCT, QUANTITY, PRICE)
LONGEST_PRODUCT: Final = 200
LONGEST_CUSTOMER_ID: Final = 64
LARGEST_QUANTITY: Final = 10_000
LARGEST_PRICE: Final = 1_000_000
PRICE_DECIMALS: Final = 4
LONGEST_DATE: Final = 200_000
"""RFC 3339 sets no limit to a second's fraction, but an order must fit into its announcement, which Amazon SNS
limits to 256 KB ("Amazon SNS endpoints and quotas")."""

_SHOWN_CHARACTERS = 40
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
_PLAIN_PRICE = re.compile(r"((?:0|[1-9][0-9]{0,5})\.[0-9]{0,3}[1-9])0*|(0|[1-9][0-9]{0,5})(?:\.0+)?")
"""A price as nearly all are written: below the limit, no exponent; without its needless zeros in one of the groups."""
_DATE_TIME = re.compile(
    r"([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.[0-9]+)?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FEBRUARY = 2
_MINUTES_A_DAY = 24 * 60


class Order(NamedTuple):
    """A valid order. Two orders are equal exactly when they have the same content (3.5 and 3.50 are one price)."""

    order_id: str
    product: str
    quantity: int
    price_per_item: Decimal
    """Exact; `str` of it is plain notation with no needless zeros."""
    customer_id: str | None = None
    order_date: str | None = None
    """The RFC 3339 text that was sent."""


class InvalidOrder(ValueError):
    """An order breaks a rule. The text names the field, the value (shortened) and the rule.

    `field` and `rule` hold nothing that the sender wrote, so they may go to a log where the text may not.
    """

    def __init__(self, field: str, rule: str, value: str | None = None) -> None:
        self.field = field
        self.rule = rule
        super().__init__(f"{field}: {rule}" if value is None else f"{field}: {_shortened(value)} {rule}")


def check_id(text: str, field: str = ORDER_ID) -> str:
    """The id as it is; raises InvalidOrder unless it is 1 to 64 of the letters, digits and marks allowed."""
    if not _ID.fullmatch(text):
        raise InvalidOrder(field, "is not 1 to 64 letters, digits, '.', '_' or '-'", quoted(text))
    return text


def check_length(text: str, field: str, longest: int) -> str:
    """The text as it is; raises InvalidOrder unless it has 1 to `longest` characters (code points)."""
    if not 1 <= len(text) <= longest:
        raise InvalidOrder(field, f"is not 1 to {longest} characters long", quoted(text))
    return text


def parse_quantity(token: str) -> int:
    """The quantity that a JSON token stands for; raises InvalidOrder unless it is an integer in range."""
    if not _INTEGER.fullmatch(token):
        raise InvalidOrder(QUANTITY, "is not an integer", token)
    # The length is looked at first because Python refuses to read integers of more than 4,300 digits.
    if len(token) > len(str(LARGEST_QUANTITY)) or not 1 <= (quantity := int(token)) <= LARGEST_QUANTITY:
        raise InvalidOrder(QUANTITY, f"is not between 1 and {LARGEST_QUANTITY}", token)
    return quantity


def parse_price(token: str) -> Decimal:
    """The exact decimal that a JSON number token stands for.

    The rule is about the value, not about how it is written: `1E2`, `3.50000` and `1e-4` are fine. Works on the
    digits, in time linear in the token, because Decimal itself rounds or fails at extreme exponents.

    Raises:
        InvalidOrder: not a number (RFC 8259, section 6), out of range, or with too many decimal places.
    """
    plain = _PLAIN_PRICE.fullmatch(token)
    if plain:
        return Decimal(plain[1] or plain[2])
    number = _NUMBER.fullmatch(token)
    if not number:
        raise InvalidOrder(PRICE, "is not a number", token)
    sign, whole, fraction, exponent = number.groups(default="")
    digits = whole + fraction
    significant = digits.rstrip("0")
    place = _parse_exponent(exponent) - len(fraction) + len(digits) - len(significant)
    significant = significant.lstrip("0")
    if not significant:
        return Decimal(0)
    if not sign and place < -PRICE_DECIMALS:
        raise InvalidOrder(PRICE, f"has more than {PRICE_DECIMALS} decimal places", token)
    too_long = len(significant) + place > len(str(LARGEST_PRICE))
    if sign or too_long or (price := _plain(significant, place)) > LARGEST_PRICE:
        raise InvalidOrder(PRICE, f"is not between 0 and {LARGEST_PRICE}", token)
    return price


def _parse_exponent(text: str) -> int:
    digits = text.lstrip("+-0")
    # No message is long enough for its digits to make up for an exponent of ten figures.
    magnitude = int(digits or 0) if len(digits) < len(str(10**9)) else 10**9
    return -magnitude if text.startswith("-") else magnitude


def _plain(significant: str, place: int) -> Decimal:
    return Decimal(significant + "0" * place) if place >= 0 else Decimal(f"{significant}E{place}")


def check_date_time(text: str, field: str = ORDER_DATE) -> str:
    """The text as it is; raises InvalidOrder unless it is a date-time with an offset (RFC 3339, section 5.6).

    A second of 60 is allowed where leap seconds are: in the last minute of a day in UTC.
    """
    if len(text) > LONGEST_DATE:
        raise InvalidOrder(field, f"is longer than {LONGEST_DATE} characters", quoted(text))
    match = _DATE_TIME.fullmatch(text)
    if not match:
        raise InvalidOrder(field, "is not an RFC 3339 date-time with an offset", quoted(text))
    year, month, day, hour, minute, second, offset = match.groups()
    if day > "28" and int(day) > _days_of_month(int(year), int(month)):
        raise InvalidOrder(field, "is not a day of the calendar", quoted(text))
    if second == "60" and not _is_last_minute_of_day(int(hour), int(minute), offset):
        raise InvalidOrder(field, "has a leap second where there is none (23:59:60 UTC)", quoted(text))
    return text


def _days_of_month(year: int, month: int) -> int:
    is_leap_year = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS[month - 1] + (is_leap_year and month == _FEBRUARY)


def _is_last_minute_of_day(hour: int, minute: int, offset: str) -> bool:
    """Whether a local time is 23:59 in UTC; `offset` is what follows the time, such as `Z` or `-08:00`."""
    ahead = 0 if offset in "Zz" else int(f"{offset[0]}1") * (int(offset[1:3]) * 60 + int(offset[4:6]))
    return (hour * 60 + minute - ahead) % _MINUTES_A_DAY == _MINUTES_A_DAY - 1


def quoted(text: str) -> str:
    """The text in quotes, as it is shown in an error; long ones are cut here, before anything else copies them."""
    return f'"{text}"' if len(text) <= _SHOWN_CHARACTERS else f'"{text[:_SHOWN_CHARACTERS]}…"'


def _shortened(value: str) -> str:
    """What a person can read of it on a terminal: no control characters, no more than fits on a line."""
    longest = _SHOWN_CHARACTERS + len('"…"')
    shown = value if len(value) <= longest else value[:_SHOWN_CHARACTERS] + "…"
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)
