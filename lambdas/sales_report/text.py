"""The sales report as the plain text of a mail.

Columns are counted as a mail client shows them in a font of fixed width, by wcwidth: an accent takes no column, a
Chinese character or an emoji two. A name that does not fit its column goes on below, its quantity stays on the first
line. What would break the lines or turn their direction is shown as its escape; the CSV has every name as it is.

wcwidth takes a tenth of a cold start, so it is imported when a name needs it: one too long for its line, or one that
has a character that does not take one column each time.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Final

from sales_report.sales import Sale

SUBJECT: Final = "Daily Sales Analysis Report"
LARGEST_BYTES: Final = 262_144 - len(SUBJECT)
"""What SNS takes in one message as UTF-8 (Amazon SNS API Reference, "Publish"), less what the subject takes of it."""

_NO_ORDERS: Final = "There were no orders today."
_NAME_COLUMNS: Final = 48
"""With its indentation, the gap and the quantities a line stays below the 78 characters of RFC 5322, section 2.1.1."""
_INDENT: Final = "  "
_CONTINUED: Final = "    "
_GAP: Final = "  "
_PRODUCT, _QUANTITY = "Product", "Quantity"

_WIDTHS_DIFFER_FROM: Final = "\u0300"
"""The first combining character. Before it are the letters of European languages in one piece; what takes no column
there (control characters and the soft hyphen) is escaped."""
_LINE_BREAKING: Final = frozenset({"Cc", "Zl", "Zp", "Cs"})
"""Unicode categories: control characters, line and paragraph separators, halves of surrogate pairs."""
_FORMAT: Final = "Cf"
_HARMLESS_FORMAT: Final = frozenset("\u200c\u200d\u200e\u200f\u061c") | {chr(tag) for tag in range(0xE0020, 0xE0080)}
"""Format characters that names are written with: joiners (in scripts and emoji), direction marks, tags (of flags)."""
_NONCHARACTERS: Final = frozenset("\ufffe\uffff")
"""Not in XML 1.0 (section 2.2), so SNS refuses them; the others that it refuses are control characters."""
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
"""Bidirectional classes whose characters may move what stands beside them (Unicode Standard Annex 9, table 4)."""
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"


@dataclass(frozen=True)
class Source:
    """What a report is of, and where else it is."""

    day: date
    zone: str
    """IANA name of the time zone whose day it is."""
    csv_key: str
    command: str
    """What fetches the CSV on the command line."""


def report_text(sales: Sequence[Sale], source: Source) -> str:
    """The report of a day: its products by group, with the totals of each group and of all.

    Groups come in the order of their numbers, products as they are given. A text that is too long for SNS has the first
    groups only and says how many are left out; the last total is that of all groups all the same.
    """
    groups = _by_group(sales)
    columns = _quantity_columns(groups)
    head = f"{SUBJECT}\nDay: {source.day.isoformat()} (time zone {source.zone})\n"
    end = f"\nThis report as CSV: {source.csv_key}\nFetch it with: {source.command}\n"
    if not groups:
        return f"{head}\n{_NO_ORDERS}\n{end}"
    head += f"\n{_quantity_line(_PRODUCT, _QUANTITY, columns)}\n"
    end = f"\n{_quantity_line('Total of all groups', str(_total(sales)), columns)}\n{end}"
    return head + _groups_text(groups, columns, LARGEST_BYTES - _size(head + end)) + end


def _by_group(sales: Sequence[Sale]) -> list[list[Sale]]:
    number = attrgetter("product_group_number")
    return [list(group) for _, group in groupby(sorted(sales, key=number), key=number)]


def _total(sales: Iterable[Sale]) -> int:
    return sum(sale.quantity for sale in sales)


def _quantity_columns(groups: Sequence[Sequence[Sale]]) -> int:
    numbers = [sale.quantity for group in groups for sale in group] + [_total(group) for group in groups]
    return max(len(text) for text in [_QUANTITY, str(sum(map(_total, groups))), *map(str, numbers)])


def _groups_text(groups: Sequence[Sequence[Sale]], columns: int, room: int) -> str:
    """All groups or, where there is no room for them, the first ones and a line that says how many are left out."""
    # A generator, because most of the time goes into what would not fit.
    blocks = ("\n" + "\n".join(_group_lines(group, columns)) + "\n" for group in groups)
    kept = list(_fitting(blocks, room))
    if len(kept) == len(groups):
        return "".join(kept)
    kept = list(_fitting(kept, room - _size(_left_out(len(groups), len(groups)))))
    return "".join([*kept, _left_out(len(groups) - len(kept), len(groups))])


def _fitting(blocks: Iterable[str], room: int) -> Iterator[str]:
    for block in blocks:
        room -= _size(block)
        if room < 0:
            return
        yield block


def _left_out(count: int, of: int) -> str:
    return f"\nToo long for a mail: {count} of {of} product groups are left out. The CSV has them all.\n"


def _size(text: str) -> int:
    return len(text.encode())


def _group_lines(group: Sequence[Sale], columns: int) -> Iterator[str]:
    first, *others = _name_lines(group[0].product_group_name)
    yield f"Group {group[0].product_group_number}: {first}"
    yield from (_CONTINUED + line for line in others)
    for sale in group:
        first, *others = _name_lines(sale.product_name)
        yield _quantity_line(first, str(sale.quantity), columns)
        yield from (_CONTINUED + line for line in others)
    yield _quantity_line("Total of the group", str(_total(group)), columns)


def _quantity_line(name: str, quantity: str, columns: int) -> str:
    start = _INDENT + name
    # Measured as a whole, because a name may begin with a character that joins the one before it.
    padding = " " * (len(_INDENT) + _NAME_COLUMNS - _columns(start))
    return start + padding + _GAP + quantity.rjust(columns)


def _columns(text: str) -> int:
    """The columns that a text takes in which all is harmless."""
    if _is_of_single_columns(text):
        return len(text)
    from wcwidth import width  # noqa: PLC0415 (see above)

    return width(text)


def _wrapped(text: str) -> list[str]:
    if len(text) <= _NAME_COLUMNS and _is_of_single_columns(text):
        return [text]
    from wcwidth import wrap  # noqa: PLC0415 (see above)

    return wrap(text, _NAME_COLUMNS)


def _is_of_single_columns(text: str) -> bool:
    return max(text) < _WIDTHS_DIFFER_FROM


def _name_lines(name: str) -> list[str]:
    return [_isolated(line) for line in _wrapped(harmless(name))]


def _isolated(line: str) -> str:
    if not any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in line):
        return line
    return _FIRST_STRONG_ISOLATE + line + _POP_ISOLATE


def harmless(name: str) -> str:
    r"""The name with what a mail cannot show, or would obey, as its escape (`\n`, `\u202e`).

    So is a space at an end, which nobody would see, although it makes another product.
    """
    shown = "".join(_escape(character) if _is_harmful(character) else character for character in name)
    body = shown.strip()
    if not body:
        return "".join(map(_escape, shown)) or '""'
    start = shown.index(body)
    return "".join([*map(_escape, shown[:start]), body, *map(_escape, shown[start + len(body) :])])


def _is_harmful(character: str) -> bool:
    category = unicodedata.category(character)
    if category == _FORMAT:
        return character not in _HARMLESS_FORMAT
    return category in _LINE_BREAKING or character in _NONCHARACTERS


def _escape(character: str) -> str:
    if character == " ":
        return r"\x20"
    return character.encode("unicode_escape").decode("ascii")
