"""The server's side of as much of MariaDB's protocol as a function needs to sign in and run statements.

Anybody may sign in with anything: what is measured is the caller. MariaDB Documentation, "Client/Server Protocol".
"""

import asyncio
import ssl
import struct
from collections.abc import Sequence
from typing import Final

Row = Sequence[str]

_PROTOCOL: Final = 10
_VERSION: Final = b"10.11.8-MariaDB\0"
_PLUGIN: Final = b"mysql_native_password\0"
_CHARACTER_SET: Final = 45
_IN_TRANSACTION: Final = 2
_CAPABILITIES: Final = 0x00FF_FFFF & ~0x0100_0000 & ~0x20  # all up to bit 23, but compression
_TLS: Final = 0x800
_TLS_REQUEST_BYTES: Final = 32
_OK: Final = b"\0\0\0" + struct.pack("<HH", _IN_TRANSACTION, 0)
_END: Final = b"\xfe" + struct.pack("<HH", 0, _IN_TRANSACTION)
_QUIT, _QUERY, _PING, _SET_OPTION = 1, 3, 14, 27
_VARIABLE_STRING: Final = 253
_LONGEST_SHORT_TEXT: Final = 250


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext, answer: tuple[Row, Sequence[Row]]
) -> None:
    """Serves one connection; every SELECT gets the answer's rows, whose first member names the columns."""
    try:
        _send(writer, 0, _greeting())
        number, body = await _read(reader)
        if len(body) == _TLS_REQUEST_BYTES and struct.unpack_from("<I", body)[0] & _TLS:
            await writer.start_tls(tls)
            number, _ = await _read(reader)
        _send(writer, number + 1, _OK)
        while (await _run(reader, writer, answer)) != _QUIT:
            pass
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the caller has gone
    finally:
        writer.close()


async def _run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: tuple[Row, Sequence[Row]]) -> int:
    number, body = await _read(reader)
    command = body[0]
    if command == _QUERY and b"SELECT" in body:
        _send_rows(writer, number, *answer)
    elif command != _QUIT:
        _send(writer, number + 1, _OK)
    return command


def _greeting() -> bytes:
    lower, upper = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
    head = bytes([_PROTOCOL]) + _VERSION + struct.pack("<I", 1) + b"8bytes!!\0"
    middle = struct.pack("<HBHHB", lower, _CHARACTER_SET, _IN_TRANSACTION, upper, 21) + bytes(10)
    return head + middle + b"twelve bytes\0" + _PLUGIN


def _send_rows(writer: asyncio.StreamWriter, number: int, columns: Row, rows: Sequence[Row]) -> None:
    packets = [
        bytes([len(columns)]),
        *map(_column, columns),
        _END,
        *(b"".join(map(_text, each)) for each in rows),
        _END,
    ]
    for place, packet in enumerate(packets, number + 1):
        _send(writer, place, packet)


def _column(name: str) -> bytes:
    texts = b"".join(map(_text, ("def", "bench", "", "", name, name)))
    return texts + struct.pack("<BHIBHBH", 12, _CHARACTER_SET, 800, _VARIABLE_STRING, 0, 0, 0)


def _text(text: str) -> bytes:
    content = text.encode()
    if len(content) > _LONGEST_SHORT_TEXT:
        raise ValueError(f"{text[:20]!r}…: has more than {_LONGEST_SHORT_TEXT} bytes")
    return bytes([len(content)]) + content


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readexactly(4)
    return head[3], await reader.readexactly(int.from_bytes(head[:3], "little"))


def _send(writer: asyncio.StreamWriter, number: int, body: bytes) -> None:
    writer.write(len(body).to_bytes(3, "little") + bytes([number & 0xFF]) + body)
