"""The plain lab design of the same shop as usages, for `shop.cost`: what a tutorial builds, to compare with.

It does less: nothing watches it, nothing is traced or encrypted by a key of its own, one bad order fails its batch, and
sales are not recorded in the database. What is assumed of it is `ASSUMED`, word for word on the page and in the output.
"""

from collections.abc import Iterator
from typing import Final

from bench import lambda_model
from shop import cost_formulas as aws
from shop.cost import (
    ANSWER_BYTES,
    BY_IMAGES,
    BY_ORDERS,
    BY_REPORTS,
    BY_REQUESTS,
    IDLE,
    ITEM_BYTES,
    ORDER_BYTES,
    ORIGINAL_BYTES,
    SMALL_IMAGE_BYTES,
    Load,
    Usage,
)
from shop.cost_stage import Stage
from shop.target import IMAGE_FANOUT, ORDER_PIPELINE, ORDER_SERVICE, SALES_REPORT

ASSUMED: Final = (
    "x86 functions of 128 MB, those of images 512 MB; log lines as text, with the whole event in them, kept for ever",
    "boto3's resource interface: 290 ms of CPU to start, 0.9 ms and a wait of 4 ms for each put_item, one by one",
    "naive Pillow: 165 and 173 ms of CPU for the two sizes of a photo of 12 megapixels (docs/decisions/0015)",
    "the same REST APIs and the same batches of ten from the queue, announced one by one, by mail to the same people",
    "provisioned tables, five times the mean load but no less than the console's 5 units of each, no backups",
    "a NAT gateway for the function in the VPC, and a db.t3.micro with 20 GB",
    "no traces, alarms, dashboard, keys of its own or metrics of its own; sales are not recorded",
)

_SMALL_MB: Final = 128
_IMAGE_MB: Final = 512
_X86: Final = "x86_64"
_BATCH: Final = 10
_COLD_CPU_MS: Final = 290
_PUT_CPU_MS: Final = 0.9
_PUBLISH_CPU_MS: Final = 0.9
_DYNAMODB_MS: Final = 4
_SNS_MS: Final = 15
_S3_MS: Final = 150
_REPORT_MS: Final = 400
_RESIZE_CPU_MS: Final = (165, 173)
"""Of a photo of 12 megapixels at 128 and 640 pixels."""
_EVENT_BYTES: Final = 1_500
"""Of a printed event of one order, and about as much of one record of a stream."""
_PLATFORM_BYTES: Final = 350
"""Of Lambda's three lines of a run as text: START, END, REPORT."""
_LEAST_UNITS: Final = 5
_TIMES_THE_MEAN: Final = 5
_STORAGE_GB: Final = 20


def usages(load: Load, stage: Stage) -> Iterator[Usage]:
    """What the plain lab design uses at the load, mailing to as many people as the stage."""
    emails = {name: system.emails for name, system in stage.systems.items()}
    yield from _orders(load, emails[ORDER_PIPELINE])
    yield from _service(load)
    yield from _images(load, emails[IMAGE_FANOUT])
    yield from _reports(load, emails[SALES_REPORT])
    yield from _standing()


def _orders(load: Load, emails: int) -> Iterator[Usage]:
    orders, months = load.orders, load.months
    batch = aws.mean_batch(orders, _BATCH, 0, load.spike_share)
    runs = orders / batch
    for found in (
        aws.rest_api(orders),
        aws.transfer(orders, ANSWER_BYTES),
        aws.sqs(orders, runs, ORDER_BYTES, batch),
        _runs(runs, batch * _PUT_CPU_MS, batch * _DYNAMODB_MS),
        _runs(runs, batch * _PUBLISH_CPU_MS, batch * _SNS_MS),
        # One line an order of the processor and one of the notifier.
        aws.logs(2 * orders, _EVENT_BYTES, months),
        aws.logs(2 * runs, _PLATFORM_BYTES, months),
        _table(orders, 0),
        aws.table_storage(orders * months, ITEM_BYTES, restorable=False),
        aws.sns(orders, orders * emails),
    ):
        yield Usage(ORDER_PIPELINE, BY_ORDERS, found)


def _service(load: Load) -> Iterator[Usage]:
    requests = load.service_requests
    if not requests:
        return
    for found in (
        aws.rest_api(requests),
        aws.transfer(requests, ANSWER_BYTES),
        _runs(requests, _PUT_CPU_MS, _DYNAMODB_MS),
        aws.logs(requests, _EVENT_BYTES + _PLATFORM_BYTES, load.months),
        _table(requests / 2, requests / 2),
        aws.table_storage(requests / 2 * load.months, ITEM_BYTES, restorable=False),
    ):
        yield Usage(ORDER_SERVICE, BY_REQUESTS, found)


def _images(load: Load, emails: int) -> Iterator[Usage]:
    images, sizes = load.images, len(_RESIZE_CPU_MS)
    if not images:
        return
    kept = images * load.months * (ORIGINAL_BYTES + sizes * SMALL_IMAGE_BYTES)
    for found in (
        aws.s3(images * (1 + sizes), images * sizes, kept),
        aws.sns(images, images * emails),
        aws.sqs(0, images * sizes),
        aws.logs(images * sizes, _EVENT_BYTES + _PLATFORM_BYTES, load.months),
        *(_runs(images, cpu_ms, _S3_MS, _IMAGE_MB) for cpu_ms in _RESIZE_CPU_MS),
    ):
        yield Usage(IMAGE_FANOUT, BY_IMAGES, found)


def _reports(load: Load, emails: int) -> Iterator[Usage]:
    reports = load.reports
    if not reports:
        return
    # The report waits for the extractor, which is another run.
    for found in (
        *(_runs(reports, _PUT_CPU_MS, _REPORT_MS, always_cold=True) for _ in range(2)),
        aws.logs(2 * reports, _EVENT_BYTES + _PLATFORM_BYTES, load.months),
        aws.sns(reports, reports * emails),
    ):
        yield Usage(SALES_REPORT, BY_REPORTS, found)


def _standing() -> Iterator[Usage]:
    yield Usage(ORDER_PIPELINE, IDLE, aws.idle_polling(1))
    yield Usage(ORDER_PIPELINE, IDLE, aws.provisioned(_LEAST_UNITS, _LEAST_UNITS))
    yield Usage(ORDER_SERVICE, IDLE, aws.provisioned(_LEAST_UNITS, _LEAST_UNITS))
    yield Usage(IMAGE_FANOUT, IDLE, aws.idle_polling(len(_RESIZE_CPU_MS)))
    yield Usage(SALES_REPORT, IDLE, aws.nat_gateway())
    yield Usage(SALES_REPORT, IDLE, aws.database("db.t3.micro", _STORAGE_GB, multi_az=False))


def _runs(
    runs: float, cpu_ms: float, wait_ms: float, memory_mb: int = _SMALL_MB, *, always_cold: bool = False
) -> aws.Quantities:
    run = lambda_model.duration_ms(lambda_model.Work(cpu_ms, wait_ms), memory_mb)
    cold = lambda_model.duration_ms(lambda_model.Work(_COLD_CPU_MS, 0), memory_mb)
    return aws.lambda_runs(runs, run, cold, memory_mb, _X86, always_cold=always_cold)


def _table(writes: float, reads: float) -> aws.Quantities:
    """Capacity beyond the least, which stands there anyway; items are below 1 KB."""
    beyond = (max(0.0, units / aws.SECONDS * _TIMES_THE_MEAN - _LEAST_UNITS) for units in (writes, reads / 2))
    return aws.provisioned(*beyond)
