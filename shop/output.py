"""How commands speak: data on stdout (a table for a person, JSON for a program), everything else on stderr.

Text that came in an order is someone else's, so nothing of it reaches a terminal as a control sequence or as markup.
"""

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 120
"""Columns when the output is no terminal; who wants every value whole and on one line takes `--json`."""
_GAP = 2
_NARROWEST = 12
"""Columns that text needs to be read with some ease."""

_DATE_TIME = re.compile(r"\A(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z\Z")
_JSON = msgspec.json.Encoder(decimal_format="number")


def printable(text: str) -> str:
    r"""Return `text` on one line, every character that a terminal would act on shown as its escape (`\x1b`, `\n`)."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def shorten(text: str, limit: int) -> str:
    """Return `text` printable and at most `limit` characters long, the cut marked with an ellipsis."""
    shown = printable(text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def moment(timestamp: str) -> str:
    """Return an RFC 3339 date-time in UTC to the second, with a space for the T (RFC 3339, 5.6) to be wrapped at."""
    return _DATE_TIME.sub(r"\1 \2Z", timestamp)


def plural(count: int, noun: str) -> str:
    """Return `1 order`, `2 orders`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def encode_json(value: Any) -> bytes:
    """Return `value` as indented UTF-8 JSON, a `Decimal` as a number with all its digits."""
    return msgspec.json.format(_JSON.encode(value), indent=2)


def encode_line(value: Any) -> bytes:
    """Return `value` as UTF-8 JSON on one line, a `Decimal` as a number with all its digits."""
    return _JSON.encode(value)


def print_json(value: Any) -> None:
    """Write `value` to stdout as JSON; UTF-8 whatever the locale is, because a program reads it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(encode_json(value) + b"\n")
    sys.stdout.flush()


def print_json_line(value: Any) -> None:
    """Write `value` to stdout as JSON on a line of its own, at once: for what has no end (JSON Lines)."""
    sys.stdout.buffer.write(encode_line(value) + b"\n")
    sys.stdout.buffer.flush()


def print_csv(data: bytes) -> None:
    """Write CSV in UTF-8 to stdout: byte for byte for a program, with control characters escaped on a terminal."""
    if sys.stdout.isatty():
        for line in data.decode("utf-8", "replace").removesuffix("\r\n").split("\r\n"):
            say(printable(line))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], give_way: Collection[str] = ()
) -> None:
    """Write a table to stdout; a column whose name ends in `#` is right-aligned and named without it.

    Where there is no room for all of it, the columns in `give_way` are wrapped, and the others at their spaces only: an
    id stays whole unless there is no room for that either.
    """
    out = console()
    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    names = [column.removesuffix("#") for column in columns]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    widths = _widths([list(column) for column in zip(names, *cells, strict=True)], give_way, out.width)
    for column, name, width in zip(columns, names, widths, strict=True):
        table.add_column(name, justify="right" if column.endswith("#") else "left", overflow="fold", width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    with out.capture() as captured:
        out.print(Text(printable(title), style="bold"), table, sep="\n")
    # A last column is padded to its longest cell, which a narrow window would show as empty lines.
    out.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _widths(columns: Sequence[Sequence[str]], give_way: Collection[str], available: int) -> list[int | None]:
    """Return the width of each column, given with its name first; None where it may take what the others leave."""
    gaps = _GAP * (len(columns) - 1)
    if sum(max(map(cell_len, column)) for column in columns) + gaps <= available:
        return [None for _ in columns]
    words = [max((cell_len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    widths = [None if column[0] in give_way else word for column, word in zip(columns, words, strict=True)]
    needed = sum(_NARROWEST if width is None else width for width in widths) + gaps
    return widths if needed <= available else [None for _ in columns]


def say(text: str = "") -> None:
    """Write a line for a person to stdout (never used with `--json`)."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Write a line to stderr: what a person should know and a program must not read."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def live_line() -> Iterator[Callable[[str], None]]:
    """Give a function that shows how things stand on stderr.

    On a terminal one line changes in place; elsewhere (a CI log) every change is a line of its own.
    """
    err = console(stderr=True)
    if err.is_terminal:
        with err.status(Text()) as status:
            yield lambda text: status.update(Text(printable(text)))
        return
    shown = ""

    def show(text: str) -> None:
        nonlocal shown
        if text != shown:
            note(text)
        shown = text

    yield show


@contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[], None]]:
    """Give a function that advances a bar on stderr by one; where stderr is no terminal nothing is drawn."""
    err = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)


def console(*, stderr: bool = False) -> Console:
    """Return a console of the stream as it is now, so that redirections made after the import are seen."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(file=stream, width=width, emoji=False)


def exact(value: Decimal) -> str:
    """Return a number in plain notation with all its digits, never with an exponent."""
    return format(value, "f")


def field_rows(item: Mapping[str, Any], first: str) -> list[tuple[str, str]]:
    """Return an item's fields for a person: the field `first` first, the others by name; numbers with all digits."""
    names = sorted(item, key=lambda name: (name != first, name))
    return [(name, field_text(item[name])) for name in names]


def field_text(value: Any) -> str:
    """Return a field's value on its own: text as it is, a number in plain notation, anything else as JSON."""
    if isinstance(value, str):
        return value
    return exact(value) if isinstance(value, Decimal) else _JSON.encode(value).decode()
