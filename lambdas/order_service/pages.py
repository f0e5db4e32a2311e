"""Lists of items, page by page, each small enough for an answer of Lambda's."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from order_service.contract import DEFAULT_PAGE, LARGEST_PAGE
from order_service.documents import encode
from order_service.http import fits
from order_service.items import from_item
from order_service.problems import refuse, shown
from order_service.store import Expression, Item, Table, scan

_NONE: Final = Expression()


def read_limit(value: Any, place: str) -> int:
    """A page's size; raises Problem unless it is a whole number from 1 to 1,000."""
    is_whole = isinstance(value, Decimal) and value == value.to_integral_value()
    if not is_whole or not 1 <= value <= LARGEST_PAGE:
        raise refuse(place, f"is not a whole number from 1 to {LARGEST_PAGE}", shown(value))
    return int(value)


def read_page(
    table: Table,
    limit: int = DEFAULT_PAGE,
    start: Item | None = None,
    conditions: Mapping[str, str] | None = None,
    placeholders: Expression = _NONE,
) -> tuple[list[msgspec.Raw], dict[str, Any] | None]:
    """The items of one page as JSON texts, and the key to go on from, None at the end of the table.

    A page that would be too large for an answer is read again with fewer items.
    """
    while True:
        page = scan(table, limit, start, conditions or {}, placeholders)
        texts = [encode(from_item(item)) for item in page.items]
        if len(texts) <= 1 or fits(sum(map(len, texts)) + len(texts)):
            return [msgspec.Raw(text) for text in texts], from_item(page.last_key) if page.last_key else None
        limit = max(1, len(texts) // 2)
