"""The report's text: lines that line up whatever the names are, totals that are sums, a size that SNS takes."""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import width, wrap

from sales_report.sales import Sale, read_sales, to_csv
from sales_report.text import SUBJECT, Source, _columns, _wrapped, harmless, report_text

SOURCE = Source(
    date(2026, 11, 26), "Europe/Berlin", "reports/2026-11-26.csv", "python -m shop report get 2026-11-26 --stage dev"
)
LARGEST_BYTES = 262_144 - len(SUBJECT)
QUANTITY_LINE = re.compile(r"  (?! )(.*?) +(-?[0-9]+)")
GROUP = re.compile(r"Group (-?[0-9]+): (.*)")
LEFT_OUT = re.compile(r"\nToo long for a mail: ([0-9]+) of ([0-9]+) product groups are left out\.", re.MULTILINE)
ISOLATES = re.compile("[\u2068\u2069]")
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

unusual = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(" \t\n\r\0\x1b\x85\u2028\u2029\u202e\u2066\u2069\u200b\u200d\u200f\ufe0f\ufffe\uffff"),
        st.sampled_from("שלוםمرحبا٣中文字ｗ👩🍰🏽🇩🇪é\u0301क्षि"),
    ),
    max_size=120,
)
words = st.lists(
    st.sampled_from(["Café", "au", "Lait", "中文", "שלום", "-", "half-fat", "👩‍👩‍👧", "x" * 60]), max_size=20
)
names = st.one_of(unusual, words.map(" ".join))
quantities = st.one_of(st.integers(1, 10_000), st.integers(-(10**30), 10**30))
sale = st.builds(Sale, st.integers(-5, 5), names, st.integers(), names, quantities)


@dataclass
class Group:
    """A product group as a person reads it; names are without their spaces and isolates."""

    number: int
    name: str
    products: list[tuple[str, int]] = field(default_factory=list)
    total: int | None = None


def read(text: str) -> tuple[list[Group], int]:
    """The groups of a report and its overall total, by the layout of the lines alone."""
    groups: list[Group] = []
    totals: list[int] = []
    for block in text.split("\n\n")[2:]:
        lines = block.rstrip("\n").split("\n")
        heading = GROUP.fullmatch(lines[0])
        if heading:
            groups.append(read_group(Group(int(heading[1]), plain(heading[2])), lines[1:]))
        elif match := QUANTITY_LINE.fullmatch(lines[0]):
            assert match[1] == "Total of all groups"
            totals.append(int(match[2]))
    (total,) = totals
    return groups, total


def read_group(group: Group, lines: Sequence[str]) -> Group:
    for line in lines:
        match = QUANTITY_LINE.fullmatch(line)
        if match:
            group.products.append((plain(match[1]), int(match[2])))
        elif group.products:
            name, quantity = group.products[-1]
            group.products[-1] = (name + plain(line), quantity)
        else:
            group.name += plain(line)
    label, group.total = group.products.pop()
    assert label == "Totalofthegroup"
    return group


def plain(name: str) -> str:
    """A name without its spaces, of which a reader cannot see those at a line's end, and without isolates."""
    return ISOLATES.sub("", name).replace(" ", "")


def expected(sales: Sequence[Sale]) -> list[Group]:
    groups = {number: [one for one in sales if one.product_group_number == number] for number in range(-5, 6)}
    return [
        Group(
            number,
            plain(harmless(found[0].product_group_name)),
            [(plain(harmless(one.product_name)), one.quantity) for one in found],
            sum(one.quantity for one in found),
        )
        for number, found in groups.items()
        if found
    ]


@given(st.lists(sale, min_size=1, max_size=12))
def test_everything_can_be_read_from_the_lines(sales: list[Sale]) -> None:
    groups, total = read(report_text(sales, SOURCE))
    assert groups == expected(sales)
    assert total == sum(one.quantity for one in sales)


@given(st.lists(sale, min_size=1, max_size=12))
def test_all_quantities_end_in_one_column(sales: list[Sale]) -> None:
    lines = report_text(sales, SOURCE).split("\n")[3:]
    ends = {width(line) for line in lines if QUANTITY_LINE.fullmatch(line)}
    (end,) = ends
    assert width(lines[0]) == end
    assert lines[0].endswith(" Quantity")
    continued = [line for line in lines if line.startswith("    ")]
    assert all(width(line) <= end for line in continued)


@given(names)
def test_no_name_breaks_lines_turns_them_or_is_refused(name: str) -> None:
    shown = harmless(name)
    assert shown
    assert shown == shown.strip()
    assert not NOT_XML.search(shown)
    assert shown.splitlines() == [shown]
    assert not {unicodedata.bidirectional(character) for character in shown} & {
        *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "B", "S"),
    }


@given(st.lists(sale, min_size=1, max_size=12))
def test_isolates_are_closed_on_their_line_and_hold_all_that_runs_from_right_to_left(sales: list[Sale]) -> None:
    for line in report_text(sales, SOURCE).split("\n"):
        outside = re.sub("\u2068[^\u2068\u2069]*\u2069", "", line)
        assert not ISOLATES.search(outside)
        assert not {unicodedata.bidirectional(character) for character in outside} & {"R", "AL", "AN"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Crème Brûlée", "Crème Brûlée"),
        ("Crème", "Crème"),
        ("👩‍👩‍👧 cake 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👩‍👩‍👧 cake 🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
        ("می‌خواهم", "می‌خواهم"),
        ("tea\nfree\t\x1b[31m", r"tea\nfree\t\x1b[31m"),
        ("tea\u202eeerf\u2069", r"tea\u202eeerf\u2069"),
        ("tea ", r"tea\x20"),
        ("\u00a0 tea", r"\xa0\x20tea"),
        ("two  spaces", "two  spaces"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\ufffe\ud800", r"\ufffe\ud800"),
        ("  ", r"\x20\x20"),
        ("", '""'),
    ],
)
def test_names_as_they_are_shown(name: str, shown: str) -> None:
    assert harmless(name) == shown


def test_what_is_counted_without_wcwidth_has_its_width() -> None:
    for character in map(chr, range(0x300)):
        shown = harmless(character)
        assert _columns(shown) == width(shown)


simple = st.text(st.characters(max_codepoint=0x301, exclude_categories=["Cs"]), max_size=60)


@given(st.one_of(simple, names).map(harmless))
def test_names_are_counted_and_wrapped_as_wcwidth_does(shown: str) -> None:
    assert _columns(shown) == width(shown)
    assert _wrapped(shown) == wrap(shown, 48)


def test_a_report_as_a_person_sees_it() -> None:
    sales = [
        Sale(2, "Drinks", 3, "抹茶ラテ", 12),
        Sale(1, "Pastries", 1, "Croissant", 1000),
        Sale(1, "Pastries", 2, "A crème brûlée with more sugar than anybody would think possible", 3),
        Sale(9999, "Unassigned", 4, "תה חם 5", 1),
    ]
    assert report_text(sales, SOURCE) == (
        "Daily Sales Analysis Report\n"
        "Day: 2026-11-26 (time zone Europe/Berlin)\n"
        "\n"
        "  Product                                           Quantity\n"
        "\n"
        "Group 1: Pastries\n"
        "  Croissant                                             1000\n"
        "  A crème brûlée with more sugar than anybody              3\n"
        "    would think possible\n"
        "  Total of the group                                    1003\n"
        "\n"
        "Group 2: Drinks\n"
        "  抹茶ラテ                                                12\n"
        "  Total of the group                                      12\n"
        "\n"
        "Group 9999: Unassigned\n"
        "  \u2068תה חם 5\u2069                                                  1\n"
        "  Total of the group                                       1\n"
        "\n"
        "  Total of all groups                                   1016\n"
        "\n"
        "This report as CSV: reports/2026-11-26.csv\n"
        "Fetch it with: python -m shop report get 2026-11-26 --stage dev\n"
    )


def test_an_empty_day() -> None:
    assert report_text([], SOURCE) == (
        "Daily Sales Analysis Report\n"
        "Day: 2026-11-26 (time zone Europe/Berlin)\n"
        "\n"
        "There were no orders today.\n"
        "\n"
        "This report as CSV: reports/2026-11-26.csv\n"
        "Fetch it with: python -m shop report get 2026-11-26 --stage dev\n"
    )


@pytest.mark.parametrize(("name", "per_group"), [("Tea", 100), ("中" * 90, 100), ("🍰" * 200, 7), ("Tea", 4000)])
def test_a_report_too_long_for_a_mail_is_cut_at_a_group(name: str, per_group: int) -> None:
    numbers = range(1, 6000 // per_group + 8)
    sales = [Sale(number, f"G{number}", n, f"{name} {n}", number) for number in numbers for n in range(per_group)]
    text = report_text(sales, SOURCE)
    groups, total = read(text)
    left_out = LEFT_OUT.search(text)
    assert left_out
    assert (int(left_out[1]), int(left_out[2])) == (len(numbers) - len(groups), len(numbers))
    assert [group.number for group in groups] == list(numbers)[: len(groups)]
    assert all(len(group.products) == per_group for group in groups)
    assert total == sum(one.quantity for one in sales)
    size = len(text.encode())
    assert size <= LARGEST_BYTES
    whole_group = max(len(report_text(sales[:per_group], SOURCE).encode()), 1)
    assert size > LARGEST_BYTES - whole_group - 200
    assert text.endswith("This report as CSV: reports/2026-11-26.csv\nFetch it with: " + SOURCE.command + "\n")


def test_a_first_group_too_long_leaves_the_total() -> None:
    text = report_text([Sale(1, "G", n, f"Tea {n}", 1) for n in range(6000)] + [Sale(2, "H", 1, "Tea", 1)], SOURCE)
    assert "2 of 2 product groups are left out" in text
    assert read(text) == ([], 6001)


def test_the_line_on_what_is_left_out_has_its_room_too() -> None:
    for length in range(1, 49, 8):
        # Eight letters move the cut by 16 bytes; together they move it by more than that line takes.
        sales = [Sale(number, "é" * length if number == 1 else "G", number, "Tea", 1) for number in range(1, 3000)]
        text = report_text(sales, SOURCE)
        assert LEFT_OUT.search(text)
        assert len(text.encode()) <= LARGEST_BYTES


def test_a_report_that_just_fits_is_whole_and_one_byte_more_is_cut() -> None:
    def text_of(products: int, accents: int) -> str:
        # An accented letter takes a column like a plain one, and one byte more.
        names = ["é" * min(accents, 40), "é" * max(accents - 40, 0), *["x"] * (products - 2)]
        return report_text([Sale(1, "G", number, name or "x", 1) for number, name in enumerate(names)], SOURCE)

    line = len(text_of(101, 2).encode()) - len(text_of(100, 2).encode())
    products = 100 + (LARGEST_BYTES - len(text_of(100, 2).encode())) // line
    spare = LARGEST_BYTES - len(text_of(products, 2).encode())
    assert len(text_of(products, 2 + spare).encode()) == LARGEST_BYTES
    assert "left out" not in text_of(products, 2 + spare)
    assert "1 of 1 product groups are left out" in text_of(products, 3 + spare)


@given(st.lists(sale, max_size=12))
def test_the_csv_has_every_sale_exactly(sales: list[Sale]) -> None:
    data = to_csv(sales).decode("utf-8")
    rows = list(csv.reader(io.StringIO(data, newline="")))
    assert rows[0] == ["product_group_number", "product_group_name", "product_id", "product_name", "quantity"]
    assert [Sale(int(a), b, int(c), d, int(e)) for a, b, c, d, e in rows[1:]] == sales
    assert data.endswith("\r\n")


def test_the_csv_byte_for_byte() -> None:
    assert to_csv([Sale(1, 'Say "hi", \n', 7, " Caffè ", 2)]) == (
        b"product_group_number,product_group_name,product_id,product_name,quantity\r\n"
        b'1,"Say ""hi"", \n",7, Caff\xc3\xa8 ,2\r\n'
    )


ROW = {
    "product_group_number": 1,
    "product_group_name": "G",
    "product_id": 2,
    "product_name": "Tea",
    "quantity": 10**40,
}


def test_sales_are_read_from_the_extractors_rows() -> None:
    assert read_sales([ROW, ROW | {"another": None}]) == [Sale(1, "G", 2, "Tea", 10**40)] * 2
    assert read_sales([]) == []


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (None, "body: is not a list"),
        ({}, "body: is not a list"),
        ([ROW, []], r"body\[1\]: is not an object"),
        ([ROW | {"quantity": "1"}], r"body\[0\].quantity: is not an integer"),
        ([ROW | {"quantity": 1.0}], r"body\[0\].quantity: is not an integer"),
        ([ROW | {"quantity": True}], r"body\[0\].quantity: is not an integer"),
        ([ROW | {"product_name": None}], r"body\[0\].product_name: is not a string"),
        ([{"product_group_number": 1}], r"body\[0\].product_group_name: is not a string"),
    ],
)
def test_what_is_no_sales_is_named(body: object, line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}$"):
        read_sales(body)
