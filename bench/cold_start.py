"""What a cold start costs: import and first call of each function, from its built package, against the plain lab's.

    PYTHONPATH=lambdas python -m bench.cold_start [--function order_processor] [--quick] [--json FILE]

Each start is a fresh process that has the package and, behind it, the SDK of the runtime, and nothing else of this
environment. `bench.cold_stub` stands in for AWS and the database in another process. Measured in turn: ours and the
plain lab's (`bench.baselines`), with byte-code and without, then each at the processor's share that 128, 512 and
1,769 MB of memory give. `--quick` leaves out all but CPU time with byte-code.
"""

import argparse
import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from PIL import Image

from bench import cold_stub, harness
from bench.cpu_share import limited
from bench.fresh_process import FUNCTION_ENVIRONMENT, ROOT, image_environment
from bench.harness import Row, Sample, Table
from bench.lambda_model import MEGABYTES_OF_ONE_VCPU, cpu_share
from shared.rds_certificates import CERTIFICATES
from shop.local import tls
from stacks.constructs import authorities
from stacks.constructs.packages import LAMBDAS, build, host_target

_BASELINES: Final = ROOT / "bench" / "baselines"
_SIZES_MB: Final[Mapping[int, int]] = {128: 7, 512: 9, MEGABYTES_OF_ONE_VCPU: 9}
"""Rounds by memory size: where a start takes seconds, they differ less."""
_ROUNDS: Final = 7
_IMAGE_SIZE: Final = (1_600, 1_200)
_OURS, _LAB = "ours", "plain lab"

_PROGRAM: Final = """
import decimal, importlib, json, logging, os, sys, time, traceback
package, sdk, module, event, group = sys.argv[1:]
sys.path[:0] = [package, sdk]
class Context:
    aws_request_id = "00000000-0000-4000-8000-000000000000"
    def get_remaining_time_in_millis(self):
        return 60_000
if group:
    with open(group, "w") as processes:
        processes.write(str(os.getpid()))
event = json.loads(event)
wall, cpu = time.perf_counter(), time.process_time()
answer = importlib.import_module(module).handler(event, Context())
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print()
print(json.dumps({"cpu": cpu, "wall": wall, "answer": answer}))
"""
"""Imports before the clock starts what Lambda's runtime client has imported when it comes to a function."""


@dataclass(frozen=True)
class _Function:
    """A function of ours, the plain lab's counterpart, and what both are called with."""

    folder: str
    event: Mapping[str, Any]
    environment: Mapping[str, str]
    baseline: str = ""
    """Where it is not named like ours."""


@dataclass(frozen=True)
class _Start:
    """All that a start needs."""

    package: Path
    sdk: Path
    module: str
    event: str
    environment: Mapping[str, str]

    def measure(self, group: Path | None = None) -> dict[str, float]:
        """CPU and wall time of one start in milliseconds.

        Raises:
            AssertionError: the function did not do its work.
            subprocess.CalledProcessError: it raised; its own error is on stderr.
        """
        arguments = (str(self.package), str(self.sdk), self.module, self.event, str(group or ""))
        done = subprocess.run(  # noqa: S603 (our own interpreter, our own code)
            # -B: what has no byte-code gets none by being measured. -S: without this environment's packages.
            [sys.executable, "-I", "-S", "-B", "-c", _PROGRAM, *arguments],
            env={"PATH": os.defpath, **self.environment},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        result = json.loads(done.stdout.splitlines()[-1])
        _check(self.module, result["answer"])
        return {what: result[what] * 1_000 for what in ("cpu", "wall")}


def _check(module: str, answer: Any) -> None:
    if not isinstance(answer, dict) or answer.get("batchItemFailures") or answer.get("statusCode", 200) >= 300:  # noqa: PLR2004 (HTTP)
        raise AssertionError(f"{module}: the function failed: {answer}")


def _queue_event(*bodies: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"00000000-0000-4000-8000-{at:012d}",
                "body": json.dumps(body),
                "attributes": {"SentTimestamp": "1764148500123", "ApproximateReceiveCount": "1"},
                "messageAttributes": {},
            }
            for at, body in enumerate(bodies)
        ]
    }


_ORDER: Final = {
    "orderID": "A-1001",
    "customer_id": "C-7",
    "product": "Caffè Latte",
    "quantity": 2,
    "price_per_item": 3.5,
    "order_date": "2026-11-26T09:15:00Z",
}
_STORED: Final = {**_ORDER, "received_at": "2026-11-26T09:15:00.123Z"}
_STREAM_EVENT: Final = {
    "Records": [
        {
            "eventName": "INSERT",
            "dynamodb": {
                "SequenceNumber": "1",
                "NewImage": {
                    name: {"S": value} if isinstance(value, str) else {"N": str(value)}
                    for name, value in _STORED.items()
                },
            },
        }
    ]
}
_REQUEST: Final = {
    "resource": "/order",
    "path": "/order",
    "httpMethod": "POST",
    "headers": {"Content-Type": "application/json"},
    "multiValueHeaders": {"Content-Type": ["application/json"]},
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "pathParameters": None,
    "requestContext": {"requestId": "00000000-0000-4000-8000-000000000001"},
    "body": json.dumps({"operation": "create", "payload": {"Item": {"id": "1", "price": 78.89, "product": "Jacket"}}}),
    "isBase64Encoded": False,
}
_IMAGE_EVENT: Final = _queue_event(
    {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": "images"},
                    "object": {
                        "key": f"{cold_stub.ORIGINALS_PREFIX}photo.jpg",
                        "versionId": "1",
                        "sequencer": "0061",
                    },
                },
            }
        ]
    }
)


def _image(name: str, side: int) -> _Function:
    environment = image_environment(name, side, bucket="images", originals=cold_stub.ORIGINALS_PREFIX)
    return _Function("image_resizer", _IMAGE_EVENT, environment, f"create_{name}")


def _functions(database: str) -> dict[str, _Function]:
    """What is measured, by name; `database` is its address."""
    zone = {"SHOP_TIME_ZONE": "Europe/Berlin"}
    signed_in = {"dbUrl": database, "dbName": "cafe", "dbUser": "sales_reader", "date": "2026-11-26"}
    report = {
        **zone,
        "SALES_REPORT_TOPIC_ARN": "arn:aws:sns:us-east-1:111122223333:report",
        "DB_PARAMETER_PATH": "/bench/cafe/",
        "EXTRACTOR_FUNCTION_NAME": "extractor",
        "SALES_REPORTS_BUCKET": "reports",
    }
    recorder = {"DB_URL": database, "DB_NAME": "cafe", "DB_USER": "sales_recorder"}
    topic = {"ORDER_TOPIC_ARN": "arn:aws:sns:us-east-1:111122223333:orders"}
    queue = {"ORDERS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/111122223333/orders"}
    one_batch = {"count": 10, "seed": 7, "error_rate": 0}
    return {
        "order_processor": _Function("order_processor", _queue_event(_ORDER), {"DYNAMODB_ORDERS_TABLE": "orders"}),
        "order_notifier": _Function("order_notifier", _STREAM_EVENT, topic),
        "order_simulator": _Function("order_simulator", one_batch, queue),
        "order_service": _Function("order_service", _REQUEST, {"ORDER_SERVICE_TABLE": "orders"}),
        "sales_report": _Function("sales_report", {"date": "2026-11-26"}, report),
        "sales_data_extractor": _Function("sales_data_extractor", signed_in, {**zone, "QUERY_SECONDS": "30"}),
        "sales_recorder": _Function("sales_recorder", _queue_event(_STORED), recorder),
        "create_thumbnail": _image("thumbnail", 128),
        "create_mobile": _image("mobile", 640),
    }


def _for_baseline(function: _Function) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Event and environment of the plain lab's: the same, with passwords where ours sign in by IAM."""
    event = {**function.event, "dbPassword": "stub"} if "dbUrl" in function.event else function.event
    return event, {**function.environment, "DB_SECRET_ARN": "stub"}


@contextmanager
def _prepared() -> Iterator[tuple[Path, Mapping[str, str], dict[str, _Function]]]:
    """A folder with the SDK in it, the environment that leads to the running stub, and the functions."""
    with tempfile.TemporaryDirectory(prefix="cold-start-") as scratch:
        folder = Path(scratch)
        Image.effect_noise(_IMAGE_SIZE, 60).convert("RGB").save(folder / cold_stub.ORIGINAL, quality=90)
        authority = tls.ensure_certificates(folder)[0].read_text()
        # With the authorities that are trusted on AWS, because to read them takes its time.
        (folder / "database.pem").write_text(f"{CERTIFICATES['eu-west-1']}\n{authority}")
        _put_sdk(folder / "sdk", authority)
        with cold_stub.serving(folder) as ports:
            environment = {
                **FUNCTION_ENVIRONMENT,
                "DB_CA_BUNDLE": str(folder / "database.pem"),
                "AWS_ENDPOINT_URL": f"https://127.0.0.1:{ports.https}",
                "SHOP_STAGE": "bench",
            }
            yield folder, environment, _functions(f"127.0.0.1:{ports.database}")


def _put_sdk(folder: Path, authority: str) -> None:
    """boto3 and what it needs, with byte-code, as Lambda's runtime has them; they are this environment's.

    The SDK trusts the stub's authority beside its own, because a bundle of the user's would be read in their place.
    """
    folder.mkdir()
    for name in _with_requirements("boto3"):
        for file in metadata.files(name) or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                place = folder / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), place)
    with _sdk_list(folder).open("a") as bundle:
        bundle.write(authority)
    compileall.compile_dir(folder, quiet=1)


def _sdk_list(sdk: Path) -> Path:
    return sdk / "botocore" / "cacert.pem"


def _trusting_the_stub(package: Path, folder: Path) -> Path:
    """A copy of a package that has all authorities of the SDK in the folder; the package itself where it has none."""
    if not (package / authorities.FOLDER).is_dir():
        return package
    place = folder / "trusting" / package.name
    if not place.is_dir():
        shutil.copytree(package, place, ignore=shutil.ignore_patterns(authorities.FOLDER))
        authorities.write(_sdk_list(folder / "sdk"), place / authorities.FOLDER)
    return place


def _with_requirements(name: str) -> set[str]:
    """A distribution and all that it needs without extras."""
    needed = (Requirement(text) for text in metadata.requires(name) or ())
    names = [each.name for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    return {name}.union(*map(_with_requirements, names))


def _without_byte_code(package: Path, folder: Path) -> Path:
    """A copy of a package without its byte-code."""
    place = folder / "without-byte-code" / package.name
    if not place.is_dir():
        shutil.copytree(package, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


def _starts(function: _Function, name: str, folder: Path, environment: Mapping[str, str]) -> dict[str, _Start]:
    """Ours and the plain lab's, both with byte-code."""
    event, baseline_environment = _for_baseline(function)
    baseline = function.baseline or name
    package = build(function.folder, host_target(), lambdas=LAMBDAS)
    ours = _trusting_the_stub(package.folder, folder)
    lab = build(baseline, host_target(), lambdas=_BASELINES).folder
    sdk = folder / "sdk"
    return {
        _OURS: _Start(
            ours,
            sdk,
            f"{function.folder}.handler",
            json.dumps(function.event),
            {**environment, **function.environment, **package.zones_at(str(ours))},
        ),
        _LAB: _Start(lab, sdk, f"{baseline}.handler", json.dumps(event), {**environment, **baseline_environment}),
    }


def _cpu(start: _Start) -> float:
    return start.measure()["cpu"]


def _wall(start: _Start, group: Path) -> float:
    return start.measure(group)["wall"]


def _rows(samples: Mapping[str, Mapping[str, Sample]]) -> list[Row]:
    return [
        harness.row(f"{name}{'' if which == _OURS else f', {which}'}", sample, of_function[_LAB])
        for name, of_function in samples.items()
        for which, sample in of_function.items()
    ]


def _in_turn(
    starts: Mapping[str, Mapping[str, _Start]], read: Callable[[_Start], float], rounds: int, *, warmup: int = 0
) -> dict[str, dict[str, Sample]]:
    """Ours and the plain lab's in turn; what is read from the disk is in memory once CPU time has been measured."""
    return {
        name: harness.interleave(
            {which: partial(read, start) for which, start in both.items()}, repeat=rounds, warmup=warmup
        )
        for name, both in starts.items()
    }


def _cpu_table(starts: Mapping[str, Mapping[str, _Start]], title: str, rounds: int) -> Table:
    notes = (
        "CPU time from the import on to the end of the first call; the interpreter's own start is left out, and so is "
        "what Lambda's runtime imports itself (json, logging, decimal, traceback).",
        "Ours sign in to the database by an IAM token over verified TLS. The plain lab's have a password and verify no "
        "certificate: the extractor gets the password in its event, the recorder from Secrets Manager.",
    )
    return Table(
        title, "the plain lab's version of the same function", _rows(_in_turn(starts, _cpu, rounds, warmup=1)), notes
    )


def _memory_table(starts: Mapping[str, Mapping[str, _Start]], size_mb: int, rounds: int) -> Table:
    """Wall time at the share of a processor that a memory size gives, or what CPU time says that it would be."""
    share = cpu_share(size_mb)
    with limited(share) as group:
        if group is None:
            samples = _in_turn(starts, lambda start: _computed(start, share), rounds)
            note = "Computed from CPU time, because this machine does not let us limit a process: CPU time / share."
        else:
            samples = _in_turn(starts, lambda start: _wall(start, group), rounds)
            note = (
                "Wall time of a process that a control group holds to the share, a slice every 20 ms. Less exact than "
                "CPU time: it has what the machine does meanwhile, which weighs most in the shortest starts."
            )
    share_note = f"{size_mb:,} MB have {share:.2f} of a processor (AWS Lambda Developer Guide, memory / 1,769 MB)."
    title = f"Cold start with {size_mb:,} MB of memory"
    return Table(title, "the plain lab's version of the same function", _rows(samples), (share_note, note))


def _computed(start: _Start, share: float) -> float:
    taken = start.measure()
    return max(taken["wall"], taken["cpu"] / share)


def _size_table(starts: Mapping[str, Mapping[str, _Start]]) -> Table:
    sizes = {
        name: {which: Sample((_zipped_kilobytes(start.package),)) for which, start in both.items()}
        for name, both in starts.items()
    }
    rows = [
        harness.row(f"{name}{'' if which == _OURS else f', {which}'}", size, both[_LAB], "kB")
        for name, both in sizes.items()
        for which, size in both.items()
    ]
    note = "Zipped as for Lambda, with byte-code, built for this machine."
    return Table("Packages", "the plain lab's version of the same function", rows, (note,))


def _zipped_kilobytes(folder: Path) -> float:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
        return file.tell() / 1_000


def tables(names: Sequence[str], *, quick: bool) -> list[Table]:
    """Measures the named functions, or all where none is named."""
    with _prepared() as (folder, environment, functions):
        chosen = names or list(functions)
        starts = {name: _starts(functions[name], name, folder, environment) for name in chosen}
        measured = [_cpu_table(starts, "Cold start, CPU time", _ROUNDS)]
        if quick:
            return measured
        bare = {
            name: {
                which: _Start(
                    _without_byte_code(start.package, folder), start.sdk, start.module, start.event, start.environment
                )
                for which, start in both.items()
            }
            for name, both in starts.items()
        }
        measured.append(_cpu_table(bare, "Cold start without byte-code in the package, CPU time", _ROUNDS // 2))
        measured += [_memory_table(starts, size, rounds) for size, rounds in _SIZES_MB.items()]
        return [*measured, _size_table(starts)]


def main() -> None:
    """Measures, and hands the tables in."""
    parser = argparse.ArgumentParser(description="Measure cold starts against the plain lab's.")
    parser.add_argument("--function", action="append", default=[], choices=list(_functions("")), help="only this one")
    parser.add_argument("--quick", action="store_true", help="CPU time with byte-code only")
    harness.add_options(parser)
    options = parser.parse_args()
    harness.hand_in("cold_start", tables(options.function, quick=options.quick), options.json)


if __name__ == "__main__":
    main()
