"""Stands in for AWS, over TLS, and for the database while a function starts: in a process of its own.

    python -m bench.cold_stub FOLDER     (prints two ports, serves until its standard input ends)

`FOLDER` has the certificates of `shop.local.tls` and the image `original.jpg`. What `bench.http_stub` answers is
answered by it; here are the services that it leaves out.
"""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench import http_stub, mysql_packets
from bench.fresh_process import ROOT
from shop.local import tls

ORIGINAL: Final = "original.jpg"
ORIGINALS_PREFIX: Final = "ingest/"
SALES: Final = [
    {
        "product_group_number": 1 + number // 10,
        "product_group_name": f"Group {1 + number // 10}",
        "product_id": number,
        "product_name": f"Product {number}",
        "quantity": 3 + number,
    }
    for number in range(40)
]
_PARAMETERS: Final = {"dbUrl": "127.0.0.1", "dbName": "cafe", "dbUser": "sales_reader", "dbPassword": "stub"}
_ROWS: Final = [[str(value) for value in sale.values()] for sale in SALES]


class Ports(NamedTuple):
    """Where the stub listens on the loopback address."""

    https: int
    database: int


class _Request(NamedTuple):
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


_Answer = tuple[int, Mapping[str, str], bytes]


def answer(request: _Request, original: bytes) -> _Answer:
    """Status, headers and body for a request; `original` is what S3 has under every key of an original."""
    target = request.headers.get("x-amz-target", "")
    if target.startswith(("AmazonSSM", "secretsmanager")):
        document = _configuration(target.rpartition(".")[2], json.loads(request.body))
        return 200, {"content-type": "application/x-amz-json-1.1"}, json.dumps(document).encode()
    if request.path.endswith("/invocations"):
        return 200, {"content-type": "application/json"}, json.dumps({"statusCode": 200, "body": SALES}).encode()
    if target or request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return 200, *http_stub.answer(request.headers, request.body)
    return _object(request, original)


def _configuration(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Of Parameter Store and Secrets Manager."""
    if operation == "GetSecretValue":
        return {"Name": "stub", "SecretString": json.dumps({"password": "stub"})}
    parameters = {
        name: {"Name": f"/bench/cafe/{name}", "Type": "String", "Value": value} for name, value in _PARAMETERS.items()
    }
    if operation == "GetParametersByPath":
        return {"Parameters": list(parameters.values())}
    return {"Parameter": parameters[request["Name"].rpartition("/")[2]]}


def _object(request: _Request, original: bytes) -> _Answer:
    """Of S3: every original is there, and nothing else."""
    if request.method == "PUT":
        return 200, {"etag": '"0"', "x-amz-version-id": "1"}, b""
    if f"/{ORIGINALS_PREFIX}" not in request.path:
        return 404, {}, b""
    headers = {"etag": '"0"', "x-amz-version-id": "1", "last-modified": "Sat, 21 Nov 2026 12:00:00 GMT"}
    return 200, {**headers, "content-type": "image/jpeg"}, original


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, original: bytes) -> None:
    try:
        while True:
            request = await _read(reader, writer)
            status, headers, body = answer(request, original)
            lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "content-length": len(body)}.items())
            head = f"HTTP/1.1 {status} Stub\r\n{lines}\r\n".encode()
            writer.write(head if request.method == "HEAD" else head + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the caller has gone
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Request:
    head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("expect") == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding") == "chunked":
        return _Request(method, path, headers, await _read_chunks(reader))
    return _Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


async def _serve(folder: Path) -> None:
    _, certificate, key = tls.ensure_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    original = (folder / ORIGINAL).read_bytes()

    async def https(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _converse(reader, writer, original)

    server = await asyncio.start_server(https, "127.0.0.1", 0, ssl=context)
    database = mysql_packets.Server(context, list(SALES[0]), _ROWS)
    threading.Thread(target=database.serve_forever, daemon=True).start()
    print(server.sockets[0].getsockname()[1], database.server_address[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    # Without waiting for connections that callers keep open.
    os._exit(0)


@contextmanager
def serving(folder: Path) -> Iterator[Ports]:
    """Serves in another process until the block ends."""
    with subprocess.Popen(  # noqa: S603 (our own interpreter, our own code)
        [sys.executable, "-m", "bench.cold_stub", str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin  # noqa: S101 - for the type checker: it is a pipe
        assert process.stdout  # noqa: S101 - and so is this
        try:
            ports = process.stdout.readline().split()
            if not ports:
                raise RuntimeError("bench.cold_stub did not start; its own error is above")
            yield Ports(*map(int, ports))
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
