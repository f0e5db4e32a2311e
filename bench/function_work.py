"""What the functions' runs cost: CPU time and log bytes of each, for the cost model (`python -m shop cost`).

    PYTHONPATH=lambdas python -m bench.function_work [--write]

Each function runs in fresh processes. AWS's answers are made up inside botocore, where it would send: what is measured
is the function with the SDK, without sockets and TLS. The sales recorder works on a MariaDB of its own. `--write` keeps
the figures in bench/measured/durations.json. Waiting for AWS cannot be measured here; it is assumed, in this file.
"""

import argparse
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from bench.fresh_process import FUNCTION_ENVIRONMENT, ROOT, cpu_milliseconds, image_environment, run

FILE: Final = ROOT / "bench" / "measured" / "durations.json"
_PROCESSES: Final = 5
_RUNS: Final = 60
_BATCH: Final = 10
_MEGAPIXEL_SIDES: Final = (4_000, 3_000)
_TABLE: Final = "orders"
_TOPIC: Final = "arn:aws:sns:us-east-1:111122223333:orders"
_BUCKET: Final = "images"
_ORIGINAL: Final = "ingest/photo.jpg"
_REQUEST_ID: Final = "8f9c1a53-0c1e-4b1c-9a83-3a2f31d5e6b7"

WAITS_MS: Final[Mapping[str, float]] = {
    # One call of DynamoDB ("single-digit millisecond performance", as in docs/order-service-memory.md), of SNS.
    "order_processor": 6,
    "order_notifier": 15,
    "order_service": 4,
    "sales_recorder": 8,
    # HEAD, GET of some megabytes and PUT of Amazon S3.
    "thumbnail": 150,
    "mobile": 150,
    # Parameter Store, the extractor, two objects and a message; the query itself (bench/sales_query.py: 9 ms).
    "sales_report": 400,
    "sales_data_extractor": 150,
    "sales_report_watch": 40,
}
"""Milliseconds that a run waits for other services: assumed."""
_COLD_ONLY: Final = ("sales_report", "sales_data_extractor", "sales_report_watch")
"""Run so seldom that each run is a cold start, of which the import is nearly all."""
_COLD_ONLY_CPU_MS: Final = 5.0
"""What the rest of such a run takes: assumed."""


class _Raw(BytesIO):
    """A body as urllib3 gives it."""

    def stream(self) -> Iterable[bytes]:
        """Give all of it."""
        yield self.read()


def _answer(request: Any) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body that AWS answers a request with."""
    if request.headers.get("X-Amz-Target", b"").endswith(b"BatchExecuteStatement"):
        statements = len(json.loads(request.body)["Statements"])
        return 200, {}, json.dumps({"Responses": [{"TableName": _TABLE}] * statements}).encode()
    if "sns" in request.url:
        count = str(request.body).count(".Message'") or str(request.body).count(".Message=")
        members = "".join(f"<member><Id>{at}</Id><MessageId>m</MessageId></member>" for at in range(count))
        body = f"<PublishBatchResponse><PublishBatchResult><Successful>{members}</Successful><Failed/>"
        return 200, {}, f"{body}</PublishBatchResult></PublishBatchResponse>".encode()
    if request.method == "HEAD":
        return 404, {}, b""
    if request.method == "GET":
        content = Path(os.environ["BENCHMARK_IMAGE"]).read_bytes()
        return 200, {"content-length": str(len(content)), "x-amz-version-id": "1"}, content
    return 200, {}, b""


def _send(_session: object, request: Any) -> Any:
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415 (after the clock of a cold start has begun)

    status, headers, body = _answer(request)
    make: Any = AWSResponse  # its stub wants headers of http.client, it takes any mapping
    return make(request.url, status, headers, _Raw(body))


class _Logged(logging.Handler):
    """Counts bytes as Lambda's JSON formatter writes them: its own members and those of `extra`."""

    _OWN: Final = frozenset(logging.makeLogRecord({}).__dict__)

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one line."""
        line = {
            "timestamp": "2026-11-26T09:15:00Z",
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": _REQUEST_ID,
            **{name: value for name, value in record.__dict__.items() if name not in self._OWN},
        }
        self.bytes += len(json.dumps(line).encode()) + 1


class Context:
    """What the functions ask of Lambda's context."""

    def get_remaining_time_in_millis(self) -> int:
        """Give what a run needs and more."""
        return 30_000


def _order(number: int) -> dict[str, Any]:
    return {
        "orderID": f"A-{number:08d}",
        "customer_id": f"C-{number % 500}",
        "product": "Caffè Latte",
        "quantity": 2,
        "price_per_item": 3.5,
        "order_date": "2026-11-26T09:15:00Z",
    }


def _queue_event(bodies: Iterable[str]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"00000000-0000-4000-8000-{at:012d}",
                "body": body,
                "attributes": {"SentTimestamp": "1764148500123", "ApproximateReceiveCount": "1"},
                "messageAttributes": {"request_id": {"stringValue": _REQUEST_ID, "dataType": "String"}},
            }
            for at, body in enumerate(bodies)
        ]
    }


def orders_event(size: int, start: int) -> dict[str, Any]:
    """A batch of SQS messages with orders, numbered from `start`."""
    return _queue_event(json.dumps(_order(start + at)) for at in range(size))


def stream_event(size: int, start: int) -> dict[str, Any]:
    """A batch of the table's stream records of new orders, numbered from `start`."""

    def image(number: int) -> dict[str, Any]:
        numbers = {"quantity": {"N": "2"}, "price_per_item": {"N": "3.5"}}
        texts = {name: {"S": value} for name, value in _order(number).items() if isinstance(value, str)}
        return {**texts, **numbers, "received_at": {"S": "2026-11-26T09:15:00.123Z"}, "message_id": {"S": _REQUEST_ID}}

    return {
        "Records": [
            {"eventName": "INSERT", "dynamodb": {"SequenceNumber": str(start + at), "NewImage": image(start + at)}}
            for at in range(size)
        ]
    }


def _image_event(_size: int, start: int) -> dict[str, Any]:
    subject = {"key": _ORIGINAL, "versionId": "1", "sequencer": f"{start:016X}"}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": _BUCKET}, "object": subject},
    }
    return _queue_event([json.dumps({"Records": [record]})])


_EVENTS: Final[Mapping[str, Callable[[int, int], dict[str, Any]]]] = {
    "order_processor": orders_event,
    "order_notifier": stream_event,
    "image_resizer": _image_event,
}


def measure_here(folder: str) -> dict[str, float]:
    """Measure a function in this process, which must have imported nothing of it; CPU in milliseconds."""
    started = time.process_time()
    module = __import__(f"{folder}.handler", fromlist=["handler"])
    # The function has imported it, which is most of its cold start.
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415

    setattr(URLLib3Session, "send", _send)  # noqa: B010 (its own type says nothing of made-up answers)
    make = _EVENTS[folder]
    module.handler(make(1, 0), Context())
    cold = time.process_time() - started
    logged = _Logged()
    module.logger.addHandler(logged)
    module.logger.setLevel(logging.INFO)
    module.logger.propagate = False
    runs = 4 if folder == "image_resizer" else _RUNS
    figures = {"cold_cpu_ms": cold * 1_000}
    for size in (1, _BATCH):
        logged.bytes = 0
        times = [_timed(module.handler, make(size, 1_000 + size * at)) for at in range(runs)]
        figures[f"cpu_ms_{size}"] = statistics.median(times)
        figures[f"log_bytes_{size}"] = logged.bytes / runs
    return figures


def _timed(handler: Callable[[Any, Any], object], event: Mapping[str, Any]) -> float:
    started = time.process_time()
    answer = handler(event, Context())
    taken = time.process_time() - started
    if answer != {"batchItemFailures": []}:
        raise AssertionError(f"the function failed: {answer}")
    return taken * 1_000


def _work(samples: list[dict[str, float]], wait_ms: float) -> dict[str, float]:
    """Medians, with a batch's cost split into what a run and what each item takes."""
    median = {name: statistics.median(sample[name] for sample in samples) for name in samples[0]}

    def split(what: str) -> tuple[float, float]:
        item = max(0.0, (median[f"{what}_{_BATCH}"] - median[f"{what}_1"]) / (_BATCH - 1))
        return median[f"{what}_1"] - item, item

    (run_ms, item_ms), (run_bytes, item_bytes) = split("cpu_ms"), split("log_bytes")
    return {
        "cold_cpu_ms": round(median["cold_cpu_ms"], 1),
        "cpu_ms": round(run_ms, 3),
        "item_cpu_ms": round(item_ms, 3),
        "wait_ms": wait_ms,
        "log_bytes": round(run_bytes),
        "item_log_bytes": round(item_bytes),
    }


def _in_fresh_processes(folder: str, environment: Mapping[str, str]) -> list[dict[str, float]]:
    code = f"import json; from bench.function_work import measure_here; print(json.dumps(measure_here({folder!r})))"
    both = {**FUNCTION_ENVIRONMENT, "PYTHONPATH": str(_package(folder)), **environment}
    return [json.loads(run("-c", code, environment=both)) for _ in range(_PROCESSES + 1)][1:]


def _images(folder: Path) -> dict[str, dict[str, float]]:
    """The two sizes that ship, of a photo of 12 megapixels."""
    from PIL import Image  # noqa: PLC0415 (only here)

    photo = folder / "photo.jpg"
    width, height = _MEGAPIXEL_SIDES
    noise = Image.effect_noise((width // 4, height // 4), 60).resize((width, height), Image.Resampling.BICUBIC)
    Image.merge("RGB", [noise, noise.rotate(180), noise]).save(photo, quality=90)
    return {
        name: _work(
            _in_fresh_processes(
                "image_resizer",
                image_environment(name, side, bucket=_BUCKET, originals="ingest/") | {"BENCHMARK_IMAGE": str(photo)},
            ),
            WAITS_MS[name],
        )
        for name, side in (("thumbnail", 128), ("mobile", 640))
    }


def _recorder() -> dict[str, float]:
    """Single sales and batches of ten, on a MariaDB; its log line is as the notifier's without request ids."""
    from bench.sales_database import sales_database  # noqa: PLC0415
    from bench.sales_recorder import _RootConnection, _sales  # noqa: PLC0415
    from sales_recorder.store import record_sales  # noqa: PLC0415

    sales = _sales()
    figures: dict[str, float] = {"cold_cpu_ms": _import_ms("sales_recorder"), "log_bytes_1": 420, "log_bytes_10": 1_500}
    with sales_database() as connect:
        database = _RootConnection(connect)
        for size in (1, _BATCH):
            times = []
            for _ in range(_RUNS):
                batch = [next(sales) for _ in range(size)]
                started = time.process_time()
                record_sales(batch, database, lambda: 30_000)
                times.append((time.process_time() - started) * 1_000)
            figures[f"cpu_ms_{size}"] = statistics.median(times)
        database.drop()
    return _work([figures], WAITS_MS["sales_recorder"])


def _import_ms(folder: str) -> float:
    return cpu_milliseconds(f"import {folder}.handler", before="", rounds=_PROCESSES, package=_package(folder))


def _package(folder: str) -> Path:
    """What a function is measured from: only its package has what the SDK is spared (decision 0025)."""
    from stacks.constructs.packages import build, host_target  # noqa: PLC0415 (not in the processes that are measured)

    return build(folder, host_target()).folder


def _seldom(folder: str) -> dict[str, float]:
    return {
        "cold_cpu_ms": round(_import_ms(folder), 1),
        "cpu_ms": _COLD_ONLY_CPU_MS,
        "item_cpu_ms": 0.0,
        "wait_ms": WAITS_MS[folder],
        "log_bytes": 400,
        "item_log_bytes": 0,
    }


def _service() -> dict[str, float]:
    """As docs/order-service-memory.md has it, by the benchmark of its own."""
    figures = json.loads((ROOT / "docs" / "order-service-memory.json").read_text(encoding="utf-8"))
    one = statistics.mean(ms for name, ms in figures["cpu_ms"].items() if name != "list")
    return {
        "cold_cpu_ms": figures["cold_cpu_ms"],
        "cpu_ms": round(one, 3),
        "item_cpu_ms": 0.0,
        "wait_ms": WAITS_MS["order_service"],
        "log_bytes": 330,
        "item_log_bytes": 0,
    }


def measure(folder: Path) -> dict[str, Any]:
    """Return the figures of all functions; `folder` is for scratch files."""
    work = {
        name: _work(_in_fresh_processes(name, environment), WAITS_MS[name])
        for name, environment in (
            ("order_processor", {"DYNAMODB_ORDERS_TABLE": _TABLE, "SHOP_STAGE": "bench"}),
            ("order_notifier", {"ORDER_TOPIC_ARN": _TOPIC, "SHOP_STAGE": "bench"}),
        )
    }
    return {
        "taken_at": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()} with {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}",
        "functions": {
            **work,
            "order_service": _service(),
            "sales_recorder": _recorder(),
            **_images(folder),
            **{name: _seldom(name) for name in _COLD_ONLY},
        },
    }


def main() -> None:
    """Measure, print, and keep the figures where asked to."""
    import tempfile  # noqa: PLC0415

    parser = argparse.ArgumentParser(description="Measure what a run of each function costs.")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {FILE.relative_to(ROOT)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="function-work-") as folder:
        figures = measure(Path(folder))
    text = json.dumps(figures, indent=2) + "\n"
    print(text, end="")
    if options.write:
        FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
