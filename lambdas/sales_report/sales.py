"""A day's sales as the extractor answers them, and the file that holds them for programs."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_type_hints


class Sale(NamedTuple):
    """How many pieces of one product were sold that day; the names are the extractor's and the CSV's."""

    product_group_number: int
    product_group_name: str
    product_id: int
    product_name: str
    quantity: int


_FIELDS = get_type_hints(Sale)


def read_sales(body: object) -> list[Sale]:
    """The sales in the `body` of the extractor's answer.

    Raises:
        ValueError: it is not of that form; the text names the place.
    """
    if not isinstance(body, list):
        raise ValueError("body: is not a list")  # noqa: TRY004 (the data is wrong, not the call)
    return [_read_sale(row, f"body[{place}]") for place, row in enumerate(body)]


def _read_sale(row: object, place: str) -> Sale:
    if not isinstance(row, Mapping):
        raise ValueError(f"{place}: is not an object")  # noqa: TRY004 (the same)
    return Sale(**{name: _read_field(row, name, kind, place) for name, kind in _FIELDS.items()})


def _read_field(row: Mapping[str, Any], name: str, kind: type, place: str) -> Any:
    value = row.get(name)
    if type(value) is not kind:
        raise ValueError(f"{place}.{name}: is not {'an integer' if kind is int else 'a string'}")
    return value


def to_csv(sales: Iterable[Sale]) -> bytes:
    """The sales as CSV (RFC 4180) in UTF-8 with a header; names are exactly the database's."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(Sale._fields)
    writer.writerows(sales)
    return text.getvalue().encode()
