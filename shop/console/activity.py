"""What a stage's parts do at the moment: backlogs, rates, errors, items.

Queues and tables are asked themselves. What functions, APIs and topics do, AWS says by its metrics, a minute or two
later. The local cloud has no such metrics: there functions are counted by the reports in their logs, the orders' topic
by what its publisher says it announced, and their API by what the processor says came of it. Of what nobody says there
is no figure rather than a wrong one, and what cannot be asked takes none of the others along.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import msgspec
from botocore.exceptions import ClientError

from shop.console import parts as stage_parts
from shop.console import picture
from shop.console.parts import API, DATABASE, FUNCTION, QUEUE, TABLE, TOPIC, Key, Part, Parts
from shop.console.stage import Console
from shop.errors import explain
from shop.health import depth
from shop.logs import Event, Unseen, read, read_report
from shop.target import ORDER_PIPELINE, Target

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.client import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

_MINUTE: Final = timedelta(minutes=1)
_THREADS: Final = 8
_PARTS_KEPT: Final = 60
_PARTS_KEPT_WHILE_MISSING: Final = 10
"""Seconds for which the list of a stage's parts is believed: shorter while stacks are being deployed."""
_FRESH_SHARE: Final = 0.5
"""Of the refresh interval: one page asks an interval apart, more or less, and others get what it got."""

_ORDERS_API: Final = Key(ORDER_PIPELINE, "OrdersApi")
_PROCESSOR: Final = Key(ORDER_PIPELINE, "OrderProcessor")
_NOTIFIER: Final = Key(ORDER_PIPELINE, "OrderNotifier")
_ORDER_TOPIC: Final = Key(ORDER_PIPELINE, "OrderTopic")
_REPORT: Final = '"platform.report"'


@dataclass(frozen=True)
class Figure:
    """A number and what it is of, as in `3 waiting`."""

    count: int
    label: str
    is_bad: bool = False
    """Whether any number above zero is a failure."""
    is_rate: bool = False
    """Whether it counts what happened in a minute."""
    has_grown: bool = False
    """Whether it was smaller at the look before."""

    @property
    def text(self) -> str:
        """As a person says it."""
        noun, slash, span = self.label.partition("/")
        return f"{self.count:,} {noun.removesuffix('s') if self.count == 1 else noun}{slash}{span}"

    @property
    def is_alarming(self) -> bool:
        """Whether a person should see it at once."""
        return self.is_bad and self.count > 0


Figures = tuple[Figure, ...]
Answer = Figures | Exception
"""What a part says of itself, or why it cannot be asked."""


@dataclass(frozen=True)
class Activity:
    """What a stage's parts did at one moment."""

    at: datetime
    parts: Parts
    figures: Mapping[Key, Figures]
    """Parts that nothing is known of are not in it."""
    minute: datetime | None
    """The minute that rates are of, by its beginning; None where they are of the last sixty seconds."""
    errors: Mapping[Key, Exception] = field(default_factory=dict)
    """Why parts could not be asked; each is one that `explain` has a line for."""

    def of(self, key: Key) -> Figures:
        """The figures of a part."""
        return self.figures.get(key, ())

    def gaps(self) -> list[tuple[str, str]]:
        """What could not be asked: the parts that say nothing for one cause, and the line that tells the cause."""
        found: dict[object, list[Key]] = {}
        for key, error in self.errors.items():
            found.setdefault(_cause(error), []).append(key)
        return [(", ".join(key.name for key in keys), explain(self.errors[keys[0]]) or "") for keys in found.values()]

    def is_moving(self, key: Key | None) -> bool:
        """Whether something goes through a part now: its rate is above zero, or, of a queue of failures, it grew."""
        return key is not None and any(
            (each.is_rate and not each.is_bad and each.count > 0) or (each.is_bad and each.has_grown)
            for each in self.of(key)
        )


def _cause(error: Exception) -> object:
    """What errors of many parts have in common: AWS names the resource in the text of each."""
    return (error.operation_name, error.response["Error"].get("Code")) if isinstance(error, ClientError) else str(error)


def snapshot(console: Console) -> Activity:
    """Return what the console's stage does now, or did just now for somebody else's page.

    Raises ShopError where there is no way to ask, and botocore's errors where no part can be asked.
    """
    with _LOCK:
        watch = _WATCHES.setdefault(console, _Watch())
    return watch.look(console)


class _Watch:
    """Looks at one stage again and again, and remembers what the next look needs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._begun = float("-inf")
        self._last: Activity | None = None
        self._parts: tuple[Any, float, Parts] | None = None
        self._rates: _LocalRates | _Metrics | None = None

    def look(self, console: Console) -> Activity:
        with self._lock:
            begun = time.monotonic()
            if self._last is None or begun - self._begun >= console.refresh_seconds * _FRESH_SHARE:
                self._last = self._look_again(console.connect(), self._last)
                self._begun = begun
            return self._last

    def _look_again(self, target: Target, last: Activity | None) -> Activity:
        try:
            found = _activity(target, self._find_parts(target), self._rates_of(target), datetime.now(UTC))
        except Exception:
            self._parts = None
            raise
        if last is None:
            return found
        if found.errors.keys() - last.errors.keys():
            self._parts = None  # what no longer answers may be gone since they were listed
        return replace(found, figures=_compared(found.figures, last.figures))

    def _find_parts(self, target: Target) -> Parts:
        now = time.monotonic()
        if self._parts is not None:
            cloud, found_at, parts = self._parts
            kept = _PARTS_KEPT_WHILE_MISSING if parts.missing else _PARTS_KEPT
            if cloud == target.cloud and now - found_at < kept:
                return parts
        found = stage_parts.find(target)
        self._parts = (target.cloud, now, found)
        return found

    def _rates_of(self, target: Target) -> "_LocalRates | _Metrics":
        if self._rates is None or self._rates.cloud != target.cloud:
            self._rates = _Metrics() if target.cloud is None else _LocalRates(target.cloud)
        return self._rates


_LOCK: Final = Lock()
_WATCHES: Final[WeakKeyDictionary[Console, _Watch]] = WeakKeyDictionary()


def _activity(target: Target, parts: Parts, rates: "_LocalRates | _Metrics", now: datetime) -> Activity:
    with ThreadPoolExecutor(_THREADS) as threads:
        counted = threads.submit(rates.read, target, parts, now, threads.map)
        queues, tables = list(parts.of(QUEUE)), list(parts.of(TABLE))
        sqs, dynamodb = target.client("sqs"), target.client("dynamodb")
        failures = picture.failures(parts)
        waiting = threads.map(
            lambda part: _answer(lambda: _waiting(sqs, part, is_failure=part.key in failures)), queues
        )
        items = threads.map(lambda part: _answer(lambda: _items(dynamodb, part)), tables)
        answers = dict(zip([part.key for part in (*queues, *tables)], (*waiting, *items), strict=True))
        answers |= counted.result()
    figures = {key: answer for key, answer in answers.items() if not isinstance(answer, Exception)}
    errors = {key: answer for key, answer in answers.items() if isinstance(answer, Exception)}
    if errors and not figures:
        raise next(iter(errors.values()))
    return Activity(now, parts, figures, rates.minute, errors)


def _answer(ask: Callable[[], Figures]) -> Answer:
    try:
        return ask()
    except Exception as error:
        if explain(error) is None:
            raise
        return error


def _waiting(sqs: Any, part: Part, *, is_failure: bool) -> Figures:
    found = depth(sqs, part.resource)
    label = "dead letters" if is_failure else "waiting"
    return (Figure(found.visible, label, is_failure), Figure(found.in_flight, "in flight"))


def _items(dynamodb: Any, part: Part) -> Figures:
    table = dynamodb.describe_table(TableName=part.resource)["Table"]
    return (Figure(table["ItemCount"], "items"),)


def _compared(figures: Mapping[Key, Figures], before: Mapping[Key, Figures]) -> dict[Key, Figures]:
    """The figures, those marked that are larger than they were; what was not known has not grown."""

    def compared(key: Key, each: Figure) -> Figure:
        known = (old.count for old in before.get(key, ()) if old.label == each.label)
        return replace(each, has_grown=any(each.count > count for count in known))

    return {key: tuple(compared(key, each) for each in found) for key, found in figures.items()}


Spread = Callable[[Callable[[Part], Any], Iterable[Part]], Iterable[Any]]
"""Calls a function with each part, several at a time."""


class _LocalRates:
    """What the local cloud's functions did in the last sixty seconds, by their logs."""

    minute: None = None

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self._logs: dict[str, _Log] = {}

    def read(self, target: Target, parts: Parts, now: datetime, spread: Spread) -> dict[Key, Answer]:
        logs, since = target.client("logs"), int((now - _MINUTE).timestamp() * 1000)
        functions = [part for part in parts.of(FUNCTION) if part.log_group]
        known = {str(part.log_group): self._logs.get(str(part.log_group)) or _Log(Unseen(since)) for part in functions}
        self._logs = known
        counts = spread(lambda part: _answer(lambda: known[str(part.log_group)].read(logs, part, since)), functions)
        answers: dict[Key, Answer] = dict(zip([part.key for part in functions], counts, strict=True))
        for function, other, label, counted in _TOLD_BY_FUNCTIONS:
            if function in answers and other in parts.by_key:
                log, answer = known[str(parts.by_key[function].log_group)], answers[function]
                told = (Figure(counted(log), label, is_rate=True),)
                answers[other] = answer if isinstance(answer, Exception) else told
        return answers


@dataclass(frozen=True)
class _Log:
    """A function's log group as far as it was read."""

    unseen: Unseen
    _said: deque[tuple[int, int, int, int, tuple[str, ...]]] = field(default_factory=deque)
    """Of each event that counts: milliseconds since 1970, invocations, those that failed, orders announced, messages
    from the API.
    """

    def read(self, logs: Any, part: Part, since: int) -> Figures:
        pattern = "" if part.key in {_NOTIFIER, _PROCESSOR} else _REPORT
        new = self.unseen.of(read(logs, str(part.log_group), self.unseen.start_ms, pattern))
        self._said.extend((event.at_ms, *_counts(event)) for event in new)
        self.unseen.forget()
        while self._said and self._said[0][0] < since:
            self._said.popleft()
        return _invoked(sum(each[1] for each in self._said), sum(each[2] for each in self._said))

    def announced(self) -> int:
        """How many orders."""
        return sum(each[3] for each in self._said)

    def accepted(self) -> int:
        """How many messages from the API, each counted once, however often it was tried."""
        return len({message_id for each in self._said for message_id in each[4]})


_TOLD_BY_FUNCTIONS: Final[Sequence[tuple[Key, Key, str, Callable[[_Log], int]]]] = (
    (_NOTIFIER, _ORDER_TOPIC, "published/min", _Log.announced),
    (_PROCESSOR, _ORDERS_API, "accepted/min", _Log.accepted),
)
"""A function, the part that its log has a figure of, and that figure."""


def _counts(event: Event) -> tuple[int, int, int, tuple[str, ...]]:
    """Invocations, failed invocations, announced orders and messages from the API that a line speaks of."""
    report = read_report(event.message)
    if report is not None:
        return 1, int(report.status != "success"), 0, ()
    try:
        said = msgspec.json.decode(event.message, type=_Said)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return 0, 0, 0, ()
    # A message that is tried again is no new one.
    first = [_Delivery(said.message_id, said.request_id)] if said.receive_count == 1 else []
    return 0, 0, said.announced, tuple(each.message_id for each in (*said.orders, *first) if each.request_id)


class _Delivery(msgspec.Struct):
    """A message of the orders' queue; only what came by the API has a request."""

    message_id: str = ""
    request_id: str = ""


class _Said(msgspec.Struct):
    """A line of the notifier's or the processor's: at the end of a batch, or of one message that was refused."""

    announced: int = 0
    orders: list[_Delivery] = []
    message_id: str = ""
    request_id: str = ""
    receive_count: int = 0


def _invoked(invocations: int, errors: int) -> Figures:
    return (Figure(invocations, "runs/min", is_rate=True), Figure(errors, "errors", is_bad=True, is_rate=True))


@dataclass(frozen=True)
class _Metric:
    """A metric of AWS's, and the figure that it gives."""

    name: str
    label: str
    is_bad: bool = False
    is_rate: bool = True


_METRICS: Final[Mapping[str, tuple[str, str, tuple[_Metric, ...]]]] = {
    FUNCTION: (
        "AWS/Lambda",
        "FunctionName",
        (_Metric("Invocations", "runs/min"), _Metric("Errors", "errors", is_bad=True)),
    ),
    API: (
        "AWS/ApiGateway",
        "ApiName",
        (
            _Metric("Count", "requests/min"),
            _Metric("4XXError", "4xx", is_bad=True),
            _Metric("5XXError", "5xx", is_bad=True),
        ),
    ),
    TOPIC: (
        "AWS/SNS",
        "TopicName",
        (
            _Metric("NumberOfMessagesPublished", "published/min"),
            _Metric("NumberOfNotificationsFailed", "failed", is_bad=True),
        ),
    ),
    DATABASE: (
        "AWS/RDS",
        "DBInstanceIdentifier",
        (_Metric("DatabaseConnections", "connections", is_rate=False),),
    ),
}
"""Type → namespace, the dimension that names the resource, metrics ("… metrics", each service's Developer Guide)."""


class _Metrics:
    """What AWS says that a stage did in the last minute whose metrics are there: asked for once a minute, as each one
    that is asked for costs money.
    """

    cloud: None = None

    def __init__(self) -> None:
        self.minute: datetime | None = None
        self._asked: tuple[datetime, Parts] | None = None
        self._found: dict[Key, Figures] = {}

    def read(self, target: Target, parts: Parts, now: datetime, spread: Spread) -> Mapping[Key, Answer]:  # noqa: ARG002
        # Lambda and API Gateway hand over a minute's metrics up to a minute after its end.
        self.minute = minute = now.replace(second=0, microsecond=0) - 2 * _MINUTE
        if self._asked == (minute, parts):
            return self._found
        try:
            self._found = _measured(target.client("cloudwatch"), target.stage, parts, minute)
        except Exception as error:
            if explain(error) is None:
                raise
            return {part.key: error for part in parts.of(*_METRICS)}
        self._asked = (minute, parts)
        return self._found


def _measured(cloudwatch: "CloudWatchClient", stage: str, parts: Parts, minute: datetime) -> dict[Key, Figures]:
    asked = [(part, metric) for part in parts.of(*_METRICS) for metric in _METRICS[part.kind][2]]
    if not asked:
        return {}
    values = _sums(cloudwatch, [_query(place, stage, *each) for place, each in enumerate(asked)], minute)
    figures: dict[Key, Figures] = {}
    for place, (part, metric) in enumerate(asked):
        value = values.get(f"m{place}")
        # Services that count say nothing of a minute in which nothing happened; one that measures is then not known.
        if value is not None or metric.is_rate:
            shown = Figure(round(value or 0), metric.label, metric.is_bad, metric.is_rate)
            figures[part.key] = (*figures.get(part.key, ()), shown)
    return figures


def _query(place: int, stage: str, part: Part, metric: _Metric) -> "MetricDataQueryTypeDef":
    namespace, dimension, _ = _METRICS[part.kind]
    return {
        "Id": f"m{place}",
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": metric.name,
                "Dimensions": [{"Name": dimension, "Value": _measured_as(stage, part)}],
            },
            "Period": 60,
            "Stat": "Sum" if metric.is_rate else "Maximum",
        },
    }


def _measured_as(stage: str, part: Part) -> str:
    """The name that a resource has in metrics."""
    if part.kind == API:
        return f"{stage}-{part.key.name}"  # stacks/constructs/rest_api.py names it so
    return part.resource.rsplit(":", 1)[-1]


def _sums(
    cloudwatch: "CloudWatchClient", queries: "Sequence[MetricDataQueryTypeDef]", minute: datetime
) -> dict[str, float]:
    """The values of a minute by the query's id."""
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=minute, EndTime=minute + _MINUTE
    )
    return {found["Id"]: found["Values"][0] for page in pages for found in page["MetricDataResults"] if found["Values"]}
