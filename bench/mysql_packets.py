"""The server's side of as much of MariaDB's protocol as a function needs to sign in and run statements.

Anybody may sign in with anything: what is measured is the caller. MariaDB Documentation, "Client/Server Protocol".
"""

import contextlib
import socket
import socketserver
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
_QUIT, _QUERY = 1, 3
_VARIABLE_STRING: Final = 253
_LONGEST_SHORT_TEXT: Final = 250


class Server(socketserver.ThreadingTCPServer):
    """Every SELECT gets the same rows, everything else is done.

    With blocking sockets, because a stream that reads ahead would take in the start of TLS with what comes before it.
    """

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext, columns: Row, rows: Sequence[Row]) -> None:
        """Listens on a free port of the loopback address."""
        super().__init__(("127.0.0.1", 0), _Connection)
        self.tls, self.columns, self.rows = tls, columns, rows


class _Connection(socketserver.BaseRequestHandler):
    server: Server
    request: socket.socket

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the caller has gone
            self._converse()

    def _converse(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send(0, _greeting())
        number, body = self._read()
        if len(body) == _TLS_REQUEST_BYTES and struct.unpack_from("<I", body)[0] & _TLS:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
            number, _ = self._read()
        self._send(number + 1, _OK)
        while True:
            number, body = self._read()
            if body[0] == _QUIT:
                return
            packets = self._rows() if body[0] == _QUERY and b"SELECT" in body else [_OK]
            for place, packet in enumerate(packets, number + 1):
                self._send(place, packet)

    def _rows(self) -> list[bytes]:
        columns, rows = self.server.columns, self.server.rows
        texts = (b"".join(map(_text, row)) for row in rows)
        return [bytes([len(columns)]), *map(_column, columns), _END, *texts, _END]

    def _read(self) -> tuple[int, bytes]:
        head = self._exactly(4)
        return head[3], self._exactly(int.from_bytes(head[:3], "little"))

    def _exactly(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            piece = self.request.recv(size - len(content))
            if not piece:
                raise ConnectionResetError
            content += piece
        return content

    def _send(self, number: int, body: bytes) -> None:
        self.request.sendall(len(body).to_bytes(3, "little") + bytes([number & 0xFF]) + body)


def _greeting() -> bytes:
    lower, upper = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
    head = bytes([_PROTOCOL]) + _VERSION + struct.pack("<I", 1) + b"8bytes!!\0"
    middle = struct.pack("<HBHHB", lower, _CHARACTER_SET, _IN_TRANSACTION, upper, 21) + bytes(10)
    return head + middle + b"twelve bytes\0" + _PLUGIN


def _column(name: str) -> bytes:
    texts = b"".join(map(_text, ("def", "bench", "", "", name, name)))
    return texts + struct.pack("<BHIBHBH", 12, _CHARACTER_SET, 800, _VARIABLE_STRING, 0, 0, 0)


def _text(text: str) -> bytes:
    content = text.encode()
    if len(content) > _LONGEST_SHORT_TEXT:
        raise ValueError(f"{text[:20]!r}…: has more than {_LONGEST_SHORT_TEXT} bytes")
    return bytes([len(content)]) + content
