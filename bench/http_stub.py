"""A loopback HTTP server in a process of its own that answers like DynamoDB, SNS and SQS, at once and always the same.

    python -m bench.http_stub      (prints its address, serves until its standard input ends)

It stands where AWS would, so that all the CPU time of a caller's process is the caller's: the function, the SDK and
its side of the connection. Bodies have the form and the length of the services' own, and DynamoDB's the checksum that
the SDK verifies. No TLS: what a kept connection costs to encrypt is the same for every caller.
"""

import asyncio
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

from bench.fresh_process import ROOT

LISTED_ITEMS: Final = 100
"""How many items a Scan or a Query finds."""

_REQUEST_ID: Final = "9c2f1c1e-6d1f-4f53-9d0c-3f6f6f0c2a11"
_MD5: Final = "0123456789abcdef0123456789abcdef"
_TABLE: Final = "stub"
_JSON: Final = "application/x-amz-json-1.0"


def _item(number: int) -> dict[str, Any]:
    return {
        "id": {"S": f"benchmark-{number:04d}"},
        "price": {"N": "78.89"},
        "product": {"S": "Beautiful Jacket"},
        "order_date": {"S": "2024-11-04T10:30:00Z"},
        "_etag": {"S": "0123456789abcdef"},
    }


_PAGE: Final = {
    "Items": [_item(number) for number in range(LISTED_ITEMS)],
    "Count": LISTED_ITEMS,
    "ScannedCount": LISTED_ITEMS,
    "LastEvaluatedKey": {"id": _item(LISTED_ITEMS - 1)["id"]},
}


def _nothing(_: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _changed(_: Mapping[str, Any]) -> dict[str, Any]:
    return {"Attributes": _item(0)}


def _page(_: Mapping[str, Any]) -> dict[str, Any]:
    return _PAGE


def _statements(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"Responses": [{"TableName": _TABLE}] * len(request["Statements"])}


def _items(request: Mapping[str, Any]) -> dict[str, Any]:
    """No item has any of the keys: as for orders that are new."""
    return {"Responses": {table: [] for table in request["RequestItems"]}, "UnprocessedKeys": {}}


def _sent(request: Mapping[str, Any]) -> dict[str, Any]:
    """Every entry of a SendMessageBatch is taken."""
    return {
        "Successful": [
            {"Id": entry["Id"], "MessageId": _REQUEST_ID, "MD5OfMessageBody": _MD5} for entry in request["Entries"]
        ]
    }


_ANSWERS: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "GetItem": lambda _: {"Item": _item(0)},
    "PutItem": _nothing,
    "UpdateItem": _changed,
    "DeleteItem": _changed,
    "Scan": _page,
    "Query": _page,
    "BatchExecuteStatement": _statements,
    "BatchGetItem": _items,
    "SendMessage": lambda _: {"MessageId": _REQUEST_ID, "MD5OfMessageBody": _MD5},
    "SendMessageBatch": _sent,
}
"""By operation, of the services that speak JSON."""


def answer(headers: Mapping[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """The headers and body that a service answers a request with; the request's header names are in lower case.

    Raises:
        KeyError: the operation is none of those that the functions use.
    """
    target = headers.get("x-amz-target")
    if target is None:
        content = _query_answer(dict(parse_qsl(body.decode())))
        return {"content-type": "text/xml", "x-amzn-requestid": _REQUEST_ID}, content
    content = json.dumps(_ANSWERS[target.rpartition(".")[2]](json.loads(body))).encode()
    answered = {"content-type": _JSON, "x-amzn-requestid": _REQUEST_ID}
    if target.startswith("DynamoDB"):
        answered["x-amz-crc32"] = str(zlib.crc32(content))
    return answered, content


def _query_answer(parameters: Mapping[str, str]) -> bytes:
    """What SNS, which speaks the query protocol, answers."""
    action = parameters["Action"]
    if action == "Publish":
        result = f"<MessageId>{_REQUEST_ID}</MessageId>"
    elif action == "PublishBatch":
        names = [text for name, text in parameters.items() if name.endswith(".Id")]
        members = "".join(f"<member><Id>{name}</Id><MessageId>{_REQUEST_ID}</MessageId></member>" for name in names)
        result = f"<Failed/><Successful>{members}</Successful>"
    else:
        raise KeyError(action)
    return (
        f'<{action}Response xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>{_REQUEST_ID}</RequestId></ResponseMetadata></{action}Response>"
    ).encode()


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the requests of one connection until the caller ends it."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = (line.partition(":") for line in head.split("\r\n")[1:])
            headers = {name.lower(): value.strip() for name, _, value in lines}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            answered, content = answer(headers, body)
            lengths = {**answered, "content-length": str(len(content))}
            text = "".join(f"{name}: {value}\r\n" for name, value in lengths.items())
            writer.write(f"HTTP/1.1 200 OK\r\n{text}\r\n".encode() + content)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        pass  # the caller has gone
    finally:
        writer.close()


async def _serve() -> None:
    server = await asyncio.start_server(_converse, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    # Without waiting for connections that callers keep open.
    server.close()
    os._exit(0)


@contextmanager
def serving() -> Iterator[str]:
    """Serves in another process until the block ends; gives the address."""
    command = [sys.executable, "-m", "bench.http_stub"]
    with subprocess.Popen(  # noqa: S603 (our own interpreter, our own code)
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin  # noqa: S101 (both are pipes; for the type checker)
        assert process.stdout  # noqa: S101
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError("bench.http_stub did not start; its own error is above")
            yield address
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve())
