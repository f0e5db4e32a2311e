"""What reaches a terminal and what reaches a program."""

import json
from decimal import Decimal

import pytest

from shop import output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Caffè 🍰", "Caffè 🍰"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\tand a tab", "two\\nlines\\tand a tab"),
        ("turned \u202e round", "turned \\u202e round"),
    ],
)
def test_nothing_of_an_order_acts_on_the_terminal(text: str, shown: str) -> None:
    assert output.printable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("", ""), ("abcd", "abcd"), ("abcde", "abc…"), ("abc\x1b[0m", "abc…"), ("\x1b\x1b", "\\x1…")]
)
def test_shortened_text_is_never_longer_than_asked(text: str, shown: str) -> None:
    assert output.shorten(text, 4) == shown


def test_json_has_every_digit_of_a_number() -> None:
    text = output.encode_json({"price": Decimal("1000000.1000"), "product": "Caffè"})
    assert b'"price": 1000000.1000' in text
    assert "Caffè".encode() in text


@pytest.mark.parametrize(("number", "text"), [("1E+3", "1000"), ("0.0001", "0.0001"), ("3.50", "3.50")])
def test_exact_numbers_have_no_exponent(number: str, text: str) -> None:
    assert output.exact(Decimal(number)) == text


def test_json_goes_to_stdout_and_notes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.note("for a person")
    output.print_json([1])
    captured = capsys.readouterr()
    assert json.loads(captured.out) == [1]
    assert captured.err == "for a person\n"


def test_a_table_shows_markup_and_escapes_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table("T", ("a", "n#"), [("[red]x[/red] \x1b[2J", 7), (None, 12)])
    shown = capsys.readouterr().out
    assert "[red]x[/red] \\x1b[2J" in shown
    assert "\x1b" not in shown
    assert "n#" not in shown


def test_a_piped_table_has_a_sane_width_and_no_padding(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    reason = "because " * 40
    output.print_table("T", ("id", "reason"), [("A-1", reason), ("A-2", "x")], give_way=("reason",))
    lines = capsys.readouterr().out.splitlines()
    assert 100 < max(map(len, lines)) <= 120
    assert lines == [line.rstrip() for line in lines]
    assert sum(line.count("because") for line in lines) == 40


ORDER_ID = "SIM-0123456789abcdef-00019"
REASON = 'invalid: price_per_item: "err" is not a number, as the contract of orders has it'


def rows_at(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    columns = ("orderID", "reason", "sent at", "receives#")
    output.print_table("T", columns, [(ORDER_ID, REASON, "2026-11-26 09:15:00Z", 3)], give_way=("reason",))
    return capsys.readouterr().out.splitlines()[3:]


def test_a_table_that_fits_has_one_line_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rows_at(160, capsys, monkeypatch) == [f"{ORDER_ID}  {REASON}  2026-11-26 09:15:00Z         3"]


def test_in_a_narrow_table_reasons_are_wrapped_and_ids_are_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = rows_at(80, capsys, monkeypatch)
    assert max(map(len, lines)) <= 80
    assert (lines[0][:28], lines[0][60:]) == (f"{ORDER_ID}  ", "2026-11-26         3")
    assert lines[1][60:] == "09:15:00Z"
    assert " ".join(" ".join(line[28:58].split()) for line in lines) == REASON


def test_in_a_table_too_narrow_for_ids_no_character_is_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = rows_at(40, capsys, monkeypatch)
    assert max(map(len, lines)) <= 40
    assert sorted("".join("".join(lines).split())) == sorted("".join(f"{ORDER_ID}{REASON}2026-11-2609:15:00Z3".split()))


def test_off_a_terminal_each_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with output.live_line() as show:
        for text in ("a", "a", "b", "b", "a"):
            show(text)
    assert capsys.readouterr().err == "a\nb\na\n"


@pytest.mark.parametrize(
    ("timestamp", "shown"),
    [
        ("2026-11-26T09:15:00.123Z", "2026-11-26 09:15:00Z"),
        ("2026-11-26T09:15:00Z", "2026-11-26 09:15:00Z"),
        ("2026-11-26T09:15:00+01:00", "2026-11-26T09:15:00+01:00"),
        ("soon", "soon"),
    ],
)
def test_times_are_shown_to_the_second(timestamp: str, shown: str) -> None:
    assert output.moment(timestamp) == shown


@pytest.mark.parametrize(("count", "text"), [(0, "0 orders"), (1, "1 order"), (2000, "2,000 orders")])
def test_plural(count: int, text: str) -> None:
    assert output.plural(count, "order") == text
