"""What a stage costs a month at a given load, by system and service, and what would make it cheaper.

From the stage's templates (`cost_stage`), what a run of each function takes (bench/measured/durations.json), AWS's
rules for billing (`cost_formulas`) and its list prices (prices.json). The plain lab design is in `cost_plain`.
Nothing here was measured on AWS; docs/cost.md says what is assumed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import lambda_model
from shop import cost_formulas as aws
from shop.cost_stage import Stage, System
from shop.errors import ShopError
from shop.prices import Price, Prices
from shop.target import IMAGE_FANOUT, ORDER_PIPELINE, ORDER_SERVICE, SALES_REPORT

_DURATIONS: Final = Path(__file__).parents[1] / "bench" / "measured" / "durations.json"

BY_ORDERS: Final = "orders"
BY_REQUESTS: Final = "service requests"
BY_IMAGES: Final = "images"
BY_REPORTS: Final = "reports"
IDLE: Final = "idle"

ITEM_BYTES: Final = 300
"""Of a stored order, names of its attributes included."""
ORDER_BYTES: Final = 200
MESSAGE_BYTES: Final = 700
"""Of an announcement with its attributes."""
ANSWER_BYTES: Final = 400
"""Of an API's answer with its headers."""
ORIGINAL_BYTES: Final = 4_000_000
"""Of a photo of 12 megapixels."""
SMALL_IMAGE_BYTES: Final = 80_000
"""Of an image of 640 pixels; that of 128 has a tenth, which is not told apart."""
_REPORT_BYTES: Final = 20_000
_PLATFORM_BYTES: Final = 650
"""Of Lambda's own two lines of a run in JSON (`platform.start`, `platform.report`), with 26 for each as an event."""
_ACCESS_LOG_BYTES: Final = 400
_ORDER_METRICS: Final = 5
"""OrdersAccepted, OrdersStored, ItemsSold, OrdersAnnounced, SalesRecorded (docs/decisions/0017)."""
_DATABASE_INTERFACES: Final = 3
"""Network interfaces in the VPC: the database's and the functions' in two zones."""
_WRITES_OF_SERVICE: Final = 0.5
"""Of the order service's requests; the others read."""
_OBJECTS_OF_A_REPORT: Final = 2
_MILLION: Final = 1_000_000


@dataclass(frozen=True)
class Load:
    """What a month brings. What is kept grows with the months; the last one is billed."""

    orders: float
    service_requests: float = 0
    images: float = 0
    reports: float = aws.DAYS
    spike_share: float = 0.2
    """The part of the orders that comes in spikes, where batches are full."""
    months: int = 1


class Work(msgspec.Struct, frozen=True):
    """What a run of a function takes, on one whole vCPU, and what its own log lines have."""

    cold_cpu_ms: float
    cpu_ms: float
    item_cpu_ms: float
    """For each item of its batch, beside `cpu_ms`."""
    wait_ms: float
    log_bytes: float
    item_log_bytes: float


class Durations(msgspec.Struct, frozen=True):
    """The file of measured durations."""

    taken_at: str
    machine: str
    functions: Mapping[str, Work]


@dataclass(frozen=True)
class Usage:
    """What a system uses in the month, and what for."""

    system: str
    driver: str
    quantities: aws.Quantities


@dataclass(frozen=True)
class Line:
    """A line of the bill."""

    system: str
    driver: str
    price: str
    quantity: float
    dollars: float

    @property
    def service(self) -> str:
        """The AWS service, as prices.json abbreviates it."""
        return self.price.partition(".")[0]


@dataclass(frozen=True)
class Lever:
    """Something that would make the stage cheaper."""

    name: str
    loses: str
    stage: Callable[[Stage], Stage] = lambda stage: stage
    usage: Callable[[Usage], Usage] = lambda usage: usage


def read_durations() -> Durations:
    """Return what `bench.function_work` measured."""
    return msgspec.json.decode(_DURATIONS.read_bytes(), type=Durations)


def bill(usages: Iterable[Usage], prices: Prices, *, free_tier: bool = False) -> list[Line]:
    """Return the priced lines, each price once for a system and a driver.

    Raises:
        ShopError: something has no price in prices.json.
    """
    sums: dict[tuple[str, str, str], float] = defaultdict(float)
    totals: dict[str, float] = defaultdict(float)
    for usage in usages:
        for name, quantity in usage.quantities.items():
            sums[usage.system, usage.driver, name] += quantity
            totals[name] += quantity
    paid = {name: _paid_share(total, _price(name, prices), free_tier=free_tier) for name, total in totals.items()}
    return [
        Line(system, driver, name, quantity, quantity * paid[name] * _price(name, prices).price)
        for (system, driver, name), quantity in sums.items()
        if quantity
    ]


def _price(name: str, prices: Prices) -> Price:
    if name not in prices.prices:
        raise ShopError(f"{name}: no price in shop/prices.json; add it from the service's pricing page")
    return prices.prices[name]


def _paid_share(total: float, price: Price, *, free_tier: bool) -> float:
    """The part of a month's units that is not free."""
    if not free_tier or not total:
        return 1.0
    return max(0.0, total - price.free_a_month) / total


def usages(stage: Stage, load: Load, work: Mapping[str, Work]) -> Iterator[Usage]:
    """What the stage uses at the load."""
    yield from _orders(stage, load, work)
    yield from _service(stage, load, work)
    yield from _images(stage, load, work)
    yield from _reports(stage, load, work)
    yield from _standing(stage, load)


def _orders(stage: Stage, load: Load, work: Mapping[str, Work]) -> Iterator[Usage]:
    """From the request to the announced and recorded sale."""
    orders, pipeline = load.orders, stage.systems[ORDER_PIPELINE]
    if not orders:
        return
    stored, read = _run_count(stage, "order_processor", load), _run_count(stage, "order_notifier", load)
    recorded = _run_count(stage, "sales_recorder", load)

    def use(system: str, *found: aws.Quantities) -> Iterator[Usage]:
        return (Usage(system, BY_ORDERS, each) for each in found)

    yield from use(ORDER_PIPELINE, *_api(stage, ORDER_PIPELINE, orders, load))
    yield from use(ORDER_PIPELINE, aws.sqs(orders, stored, ORDER_BYTES, orders / stored))
    yield from _runs(stage, load, work, Usage(ORDER_PIPELINE, BY_ORDERS, {}), "order_processor", stored, orders)
    yield from use(
        ORDER_PIPELINE,
        aws.write_units(orders, ITEM_BYTES),
        aws.table_storage(orders * load.months, ITEM_BYTES, restorable=bool(pipeline.restorable_tables)),
    )
    yield from _runs(stage, load, work, Usage(ORDER_PIPELINE, BY_ORDERS, {}), "order_notifier", read, orders)
    yield from use(
        ORDER_PIPELINE,
        aws.sns(read, orders * pipeline.emails),
        _own_metrics(stage, _ORDER_METRICS, orders),
        _data_keys(stage, ORDER_PIPELINE, orders, topics=1, queues=1),
    )
    yield from use(
        SALES_REPORT,
        aws.sqs(0, recorded, MESSAGE_BYTES, orders / recorded),
        _data_keys(stage, SALES_REPORT, orders, topics=0, queues=1),
    )
    yield from _runs(stage, load, work, Usage(SALES_REPORT, BY_ORDERS, {}), "sales_recorder", recorded, orders)


def _service(stage: Stage, load: Load, work: Mapping[str, Work]) -> Iterator[Usage]:
    requests, service = load.service_requests, stage.systems[ORDER_SERVICE]
    if not requests:
        return
    writes = requests * _WRITES_OF_SERVICE
    for found in (
        *_api(stage, ORDER_SERVICE, requests, load),
        aws.write_units(writes, ITEM_BYTES),
        aws.read_units(requests - writes, ITEM_BYTES, consistent=False),
        aws.table_storage(writes * load.months, ITEM_BYTES, restorable=bool(service.restorable_tables)),
    ):
        yield Usage(ORDER_SERVICE, BY_REQUESTS, found)
    # Its trace is that of the API.
    yield from _runs(
        stage, load, work, Usage(ORDER_SERVICE, BY_REQUESTS, {}), "order_service", requests, requests, own=False
    )


def _images(stage: Stage, load: Load, work: Mapping[str, Work]) -> Iterator[Usage]:
    images, sizes = load.images, stage.image_sizes
    if not images:
        return
    original_months = min(stage.original_days / aws.DAYS, load.months)
    small = images * len(sizes)
    stored = images * original_months * ORIGINAL_BYTES + small * load.months * SMALL_IMAGE_BYTES
    emails = images * stage.systems[IMAGE_FANOUT].emails
    # A HEAD and a GET for each size; the upload is a PUT as well.
    for found in (aws.s3(images + small, 2 * small, stored), aws.sns(images, emails), aws.sqs(0, small)):
        yield Usage(IMAGE_FANOUT, BY_IMAGES, found)
    for found in (
        _own_metrics(stage, 1 + len(sizes), images),
        _data_keys(stage, IMAGE_FANOUT, images, topics=1, queues=len(sizes)),
    ):
        yield Usage(IMAGE_FANOUT, BY_IMAGES, found)
    for size in sizes:
        # What a size of one's own takes is not measured; the larger of those that ship stands for it.
        known = work.get(size, work["mobile"])
        yield from _runs(stage, load, {size: known}, Usage(IMAGE_FANOUT, BY_IMAGES, {}), size, images, images)


def _reports(stage: Stage, load: Load, work: Mapping[str, Work]) -> Iterator[Usage]:
    """The daily ones: schedule, report, extractor, watch. None is warm when it is called."""
    reports, report = load.reports, stage.systems[SALES_REPORT]
    if not reports:
        return
    stored = reports * load.months * _REPORT_BYTES
    for found in (
        aws.schedules(reports * report.schedules),
        aws.s3(reports * _OBJECTS_OF_A_REPORT, reports, stored),
        aws.sns(reports, reports * report.emails),
        _own_metrics(stage, 1, reports),
        _data_keys(stage, SALES_REPORT, reports, topics=1, queues=0),
    ):
        yield Usage(SALES_REPORT, BY_REPORTS, found)
    for name in ("sales_report", "sales_data_extractor", "sales_report_watch"):
        yield from _runs(
            stage, load, work, Usage(SALES_REPORT, BY_REPORTS, {}), name, reports, reports, always_cold=True
        )


def _standing(stage: Stage, load: Load) -> Iterator[Usage]:
    """What is billed though nothing comes."""
    for name, system in stage.systems.items():
        kept = _log_months(stage, name, load)
        for found in (
            aws.watching(system.alarms, system.dashboards),
            aws.keys(system.keys, load.months),
            aws.secrets(system.secrets),
            aws.kept_snapshots(system.snapshot_mb),
            aws.idle_polling(system.polled_queues),
            aws.flow_logs(_DATABASE_INTERFACES * system.flow_logs, kept),
        ):
            yield Usage(name, IDLE, found)
    database = stage.database
    found = aws.database(database.instance_class, database.storage_gb, multi_az=database.multi_az)
    yield Usage(SALES_REPORT, IDLE, found)


def _run_count(stage: Stage, name: str, load: Load) -> float:
    mapping = stage.mappings[name]
    return load.orders / aws.mean_batch(load.orders, mapping.batch_size, mapping.window_seconds, load.spike_share)


def _runs(
    stage: Stage,
    load: Load,
    work: Mapping[str, Work],
    place: Usage,
    name: str,
    runs: float,
    items: float,
    *,
    own: bool = True,
    always_cold: bool = False,
) -> Iterator[Usage]:
    """A function's runs, with their log lines and, where nobody before them began one, their traces (`own`)."""
    if not runs:
        return
    function, each, batch = stage.functions[name], work[name], items / runs
    run = lambda_model.Work(each.cpu_ms + each.item_cpu_ms * batch, each.wait_ms)
    # A snapshot is taken after the start; what is left of that is priced as a restore.
    cold = lambda_model.Work(0 if function.has_snapshot else each.cold_cpu_ms, 0)
    memory = function.memory_mb
    line_bytes = each.log_bytes + each.item_log_bytes * batch + _PLATFORM_BYTES
    yield replace(
        place,
        quantities=aws.lambda_runs(
            runs,
            lambda_model.duration_ms(run, memory),
            lambda_model.duration_ms(cold, memory),
            memory,
            function.architecture,
            always_cold=always_cold,
        ),
    )
    if function.has_snapshot:
        yield replace(place, quantities=aws.restored_snapshots(aws.cold_starts(runs), memory))
    yield replace(place, quantities=aws.logs(runs, line_bytes, _log_months(stage, place.system, load)))
    if function.traced and own:
        yield replace(place, quantities=aws.traces(runs))


def _api(stage: Stage, name: str, requests: float, load: Load) -> list[aws.Quantities]:
    system = stage.systems[name]
    return [
        aws.rest_api(requests),
        aws.traces(requests) if system.traced_apis else {},
        # Requests are taken to be on one of the methods.
        aws.method_metrics(min(1, system.measured_methods), requests),
        aws.logs(requests, _ACCESS_LOG_BYTES, _log_months(stage, name, load)),
        aws.transfer(requests, ANSWER_BYTES),
    ]


def _data_keys(stage: Stage, name: str, events: float, *, topics: int, queues: int) -> aws.Quantities:
    """Requests for data keys of as many topics and queues as the events pass, where the system has keys of ours."""
    system = stage.systems[name]
    encrypted = min(topics, system.encrypted_topics) + min(queues, system.encrypted_queues)
    return {price: encrypted * requests for price, requests in aws.data_keys(events, 1).items()}


def _own_metrics(stage: Stage, names: int, events: float) -> aws.Quantities:
    return aws.metrics(names, events) if stage.logs_metrics else {}


def _log_months(stage: Stage, name: str, load: Load) -> float:
    return min(stage.systems[name].log_retention_days / aws.DAYS, load.months)


def total(lines: Iterable[Line]) -> float:
    """Dollars a month."""
    return sum(line.dollars for line in lines)


def grouped(lines: Iterable[Line], by: Callable[[Line], str]) -> dict[str, float]:
    """Dollars a month of each group, the most expensive one first."""
    sums: dict[str, float] = defaultdict(float)
    for line in lines:
        sums[by(line)] += line.dollars
    return dict(sorted(sums.items(), key=lambda found: -found[1]))


def units(lines: Iterable[Line], load: Load) -> dict[str, float]:
    """Dollars per million orders, per million service requests, per thousand images, per report, and idle a month."""
    sums = grouped(lines, lambda line: line.driver)
    scales = {
        "million orders": (BY_ORDERS, load.orders / _MILLION),
        "million service requests": (BY_REQUESTS, load.service_requests / _MILLION),
        "thousand images": (BY_IMAGES, load.images / 1_000),
        "report": (BY_REPORTS, load.reports),
        "month with nothing to do": (IDLE, 1.0),
    }
    return {name: sums.get(driver, 0.0) / count for name, (driver, count) in scales.items() if count}


def savings(
    stage: Stage, load: Load, work: Mapping[str, Work], prices: Prices, *, free_tier: bool = False
) -> list[tuple[Lever, float]]:
    """The levers that save something, in dollars a month, each pulled alone, the biggest one first.

    Those that save the same, to the cent, are in the order of their names.
    """
    now = total(bill(usages(stage, load, work), prices, free_tier=free_tier))
    found = []
    for lever in LEVERS:
        changed = map(lever.usage, usages(lever.stage(stage), load, work))
        found.append((lever, now - total(bill(changed, prices, free_tier=free_tier))))
    worth_it = (each for each in found if each[1] >= _WORTH_NAMING)
    return sorted(worth_it, key=lambda each: (-round(each[1], 2), each[0].name))


_WORTH_NAMING: Final = 0.005
_BATCHING_SECONDS: Final = 5
_SMALLER_MB: Final = 256
_SMALLEST_CLASS: Final = "db.t4g.micro"
_UTILISATION: Final = 0.7
"""What auto scaling aims at by default ("Managing throughput capacity automatically with DynamoDB auto scaling")."""


def _with_systems(stage: Stage, **changes: int) -> Stage:
    return _with_each_system(stage, lambda system: replace(system, **changes))


def _with_each_system(stage: Stage, change: Callable[[System], System]) -> Stage:
    return replace(stage, systems={name: change(system) for name, system in stage.systems.items()})


def _without_topic_keys(system: System) -> System:
    return replace(system, keys=system.keys - system.topic_keys, topic_keys=0, encrypted_topics=0)


def _without_data_keys(system: System) -> System:
    return replace(system, keys=system.topic_keys, encrypted_queues=0)


def _untraced(stage: Stage) -> Stage:
    functions = {name: replace(function, traced=False) for name, function in stage.functions.items()}
    return replace(_with_systems(stage, traced_apis=0), functions=functions)


def _batching(stage: Stage) -> Stage:
    mappings = {
        name: replace(mapping, window_seconds=_BATCHING_SECONDS) if mapping.batch_size > 1 else mapping
        for name, mapping in stage.mappings.items()
    }
    return replace(stage, mappings=mappings)


def _smaller(stage: Stage) -> Stage:
    functions = {
        name: function if name in stage.image_sizes else replace(function, memory_mb=_SMALLER_MB)
        for name, function in stage.functions.items()
    }
    return replace(stage, functions=functions)


def _smallest_database(stage: Stage) -> Stage:
    return replace(stage, database=replace(stage.database, instance_class=_SMALLEST_CLASS, multi_az=False))


def _by_http_api(usage: Usage) -> Usage:
    quantities = dict(usage.quantities)
    requests = quantities.pop("api_gateway.rest_request", 0.0)
    return replace(usage, quantities={**quantities, **aws.http_api(requests)}) if requests else usage


def _by_provisioned_capacity(usage: Usage) -> Usage:
    writes = usage.quantities.get("dynamodb.write_request_unit", 0.0)
    reads = usage.quantities.get("dynamodb.read_request_unit", 0.0)
    rest = {name: quantity for name, quantity in usage.quantities.items() if "request_unit" not in name}
    if rest == usage.quantities:
        return usage
    write, read = (max(1.0, units / aws.SECONDS / _UTILISATION) for units in (writes, reads))
    capacity = aws.provisioned(write if writes else 0.0, read if reads else 0.0)
    return replace(usage, quantities={**rest, **capacity})


def _without_logs(usage: Usage) -> Usage:
    kept = {name: quantity for name, quantity in usage.quantities.items() if not name.startswith("cloudwatch.log")}
    return replace(usage, quantities=kept)


LEVERS: Final = (
    Lever("no X-Ray traces", "the map of calls, and where the time of a slow request went", stage=_untraced),
    Lever(
        "HTTP APIs instead of REST APIs",
        "API keys with daily quotas, the check of bodies before anything is queued, traces, SQS's error codes",
        usage=_by_http_api,
    ),
    Lever(
        f"a batching window of {_BATCHING_SECONDS} s for queues and stream",
        f"up to {_BATCHING_SECONDS} s at each of three steps until an order is stored, announced and recorded",
        stage=_batching,
    ),
    Lever(
        "no log lines but of failures",
        "the way of an order through the systems (`trace`), business metrics, start-up times",
        stage=lambda stage: replace(stage, logs_metrics=False),
        usage=_without_logs,
    ),
    Lever(
        "the smallest database, without a standby",
        "the standby that takes over in a minute or two, and memory for the day's index",
        stage=_smallest_database,
    ),
    Lever(
        f"{_SMALLER_MB} MB for all functions but the images'",
        "half the processor: cold starts and runs take twice as long",
        stage=_smaller,
    ),
    Lever(
        f"provisioned tables, scaled automatically at {_UTILISATION:.0%}",
        "spikes: until capacity follows, minutes later, orders wait in the queue",
        usage=_by_provisioned_capacity,
    ),
    Lever(
        "no metrics of the APIs' methods",
        "counts, errors and latencies by method; those of the whole API stay",
        stage=lambda stage: _with_systems(stage, measured_methods=0),
    ),
    Lever("no alarms", "somebody who hears of failures", stage=lambda stage: _with_systems(stage, alarms=0)),
    Lever("no dashboard", "one page on which to see it all", stage=lambda stage: _with_systems(stage, dashboards=0)),
    Lever(
        "topics without keys of their own",
        "encryption of what waits in SNS: services cannot publish with AWS's own key",
        stage=lambda stage: _with_each_system(stage, _without_topic_keys),
    ),
    Lever(
        "AWS's keys for tables, queues and logs",
        "to see each use of the key, and to be able to take it away (docs/decisions/0019)",
        stage=lambda stage: _with_each_system(stage, _without_data_keys),
    ),
)


def as_json(lines: Iterable[Line]) -> list[Mapping[str, Any]]:
    """The lines for a program."""
    return [{**asdict(line), "service": line.service} for line in lines]
