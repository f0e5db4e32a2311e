"""A loopback HTTP server that answers like DynamoDB, at once and always the same: only the caller is measured."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

LISTED_ITEMS: Final = 100


def _item(number: int) -> dict[str, Any]:
    return {
        "id": {"S": f"benchmark-{number:04d}"},
        "price": {"N": "78.89"},
        "product": {"S": "Beautiful Jacket"},
        "order_date": {"S": "2024-11-04T10:30:00Z"},
        "_etag": {"S": "0123456789abcdef"},
    }


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode()


_ANSWERS: Final = {
    "GetItem": _encoded({"Item": _item(0)}),
    "PutItem": _encoded({}),
    "UpdateItem": _encoded({"Attributes": _item(0)}),
    "DeleteItem": _encoded({"Attributes": _item(0)}),
    "Scan": _encoded(
        {
            "Items": [_item(number) for number in range(LISTED_ITEMS)],
            "Count": LISTED_ITEMS,
            "ScannedCount": LISTED_ITEMS,
            "LastEvaluatedKey": {"id": _item(LISTED_ITEMS - 1)["id"]},
        }
    ),
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The status line and the body are two writes; without this Nagle's algorithm adds 40 ms to each answer.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer the operation that the header X-Amz-Target names."""
        self.rfile.read(int(self.headers["content-length"]))
        body = _ANSWERS[self.headers["x-amz-target"].rpartition(".")[2]]
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the benchmark's output clean."""


@contextmanager
def serving() -> Iterator[str]:
    """Serve until the block ends; gives the address. It runs in this process, so measure in another."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()
