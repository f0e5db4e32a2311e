"""The order pipeline beside the plain lab's in the same local cloud: latency, orders a second, and the emulator's part.

    PYTHONPATH=lambdas python -m bench.end_to_end [--json FILE] [--rounds 5] [--cloud FOLDER]

Brings up a cloud of its own, or takes the one that runs in FOLDER; there the orders stay in the table, and the sales
recorder, which waits meanwhile, counts them afterwards. Each round sends single orders, one to each pipeline in turn,
and then a burst to each. It fails unless each order was stored and announced by its pipeline and none is dead-lettered.
"""

import argparse
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
import urllib3

from bench.harness import Sample, Table, add_options, hand_in, row
from bench.inbox import Inbox, opened
from bench.lab_stack.deployment import deployed
from bench.pipeline_report import percentile
from shop import http_client, mailbox, target
from shop.audit import audit
from shop.errors import ShopError
from shop.local import clients, process
from shop.local import cloud as local_cloud
from shop.local.cloud import Cloud
from shop.orders import stored_order
from shop.output import note
from shop.target import Target

OURS: Final = "ours"
LAB: Final = "plain lab"
NULL: Final = "API and queue alone"
_TRIPS_A_ROUND: Final = 30
_ORDERS_A_BURST: Final = 300
_CONNECTIONS: Final = 8
_LOOK_SECONDS: Final = 0.01
"""Asking more often takes so much of the emulator's time that the order is stored later."""
_GLANCE_SECONDS: Final = 0.1
"""How often a burst is looked at; seldom, because that takes CPU time which is measured."""
_PATIENCE_SECONDS: Final = 180
_P95: Final = 95


@dataclass(frozen=True)
class Trip:
    """Of single orders: seconds from the request to the answer, to the item and to the announcement."""

    answered: float
    stored: float
    announced: float


@dataclass(frozen=True)
class Burst:
    """What came of many orders that were sent at once."""

    orders: int
    accepting_seconds: float
    """From the first request to the last answer."""
    announcing_seconds: float
    """From the first request to the last announcement; NULL announces nothing, and has the same as before."""
    emulator_cpu_seconds: float
    functions_cpu_seconds: float


@dataclass(frozen=True)
class Pipeline:
    """One of the two pipelines, with what sends to it and hears from it."""

    target: Target
    post: Callable[[bytes], None]
    inbox: Inbox
    sent: list[str] = field(default_factory=list)

    def new_order(self) -> tuple[str, bytes]:
        """Return the id and the body of an order that was not sent before."""
        order_id = f"bench-{uuid.uuid4()}"
        self.sent.append(order_id)
        return order_id, _body(order_id)


@dataclass(frozen=True)
class Round:
    """All readings of one round, by pipeline."""

    trips: Mapping[str, Sequence[Trip]]
    bursts: Mapping[str, Burst]


def _body(order_id: str) -> bytes:
    return json.dumps({"orderID": order_id, "product": "Benchmark", "quantity": 2, "price_per_item": 3.5}).encode()


def sender(place: Target, endpoint: str, key: str | None) -> Callable[[bytes], None]:
    """Return what sends a body to the endpoint's URL once and raises ShopError unless it is accepted."""
    url = place.output(endpoint)
    pool = http_client.open_pool(place, url, _CONNECTIONS)
    headers = {"content-type": "application/json"} | ({} if key is None else {"x-api-key": key})

    def post(body: bytes) -> None:
        _check(http_client.post(pool, url, headers, body))

    return post


def _check(answer: urllib3.BaseHTTPResponse) -> None:
    if answer.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
        raise ShopError(f"an order was answered {answer.status}: {answer.data[:200]!r}")


def travel(pipeline: Pipeline) -> Trip:
    """Follow one order to its item and another to its announcement; raise ShopError when that does not come.

    Two orders, because asking the table keeps the emulator from announcing.
    """
    first, start, _ = _send(pipeline)
    dynamodb, table = pipeline.target.client("dynamodb"), pipeline.target.output("OrdersTableName")
    _wait(lambda: stored_order(dynamodb, table, first) is not None, f"order {first} is not stored")
    stored = time.time() - start
    _announced_at(pipeline, first)
    second, start, answered = _send(pipeline)
    return Trip(answered - start, stored, _announced_at(pipeline, second) - start)


def _send(pipeline: Pipeline) -> tuple[str, float, float]:
    """The id of a new order, when it was sent and when that was answered."""
    order_id, body = pipeline.new_order()
    start = time.time()
    pipeline.post(body)
    return order_id, start, time.time()


def _announced_at(pipeline: Pipeline, order_id: str) -> float:
    came: dict[str, float] = {}
    _wait(lambda: order_id in came or came.update(pipeline.inbox.wait_for_one()), f"order {order_id} is not announced")
    return came[order_id]


def burst(pipeline: Pipeline, emulator: int) -> Burst:
    """Send many orders at once and wait until each is announced; raise ShopError when one is not.

    `emulator` is the emulator's process.
    """
    orders = [pipeline.new_order() for _ in range(_ORDERS_A_BURST)]
    before = cpu(emulator)
    start, accepted = _post_all(pipeline.post, [body for _, body in orders])
    ids = {order_id for order_id, _ in orders}
    late = f"{len(ids)} orders are not announced"
    _wait(lambda: pipeline.inbox.size() >= len(ids), late, _GLANCE_SECONDS)
    after = cpu(emulator)
    came: dict[str, float] = {}
    # More than once at most where an announcement came twice.
    _wait(lambda: ids <= came.keys() or came.update(pipeline.inbox.read()), late, _GLANCE_SECONDS)
    return Burst(len(orders), accepted - start, max(came.values()) - start, *_used(before, after))


def null_burst(post: Callable[[bytes], None], emulator: int) -> Burst:
    """Send many orders at once to where they are queued and nothing else happens."""
    bodies = [_body(f"bench-{uuid.uuid4()}") for _ in range(_ORDERS_A_BURST)]
    before = cpu(emulator)
    start, accepted = _post_all(post, bodies)
    return Burst(_ORDERS_A_BURST, accepted - start, accepted - start, *_used(before, cpu(emulator)))


def _post_all(post: Callable[[bytes], None], bodies: Iterable[bytes]) -> tuple[float, float]:
    """When the first request was sent and the last one answered."""
    start = time.time()
    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        list(threads.map(post, bodies))
    return start, time.time()


def cpu(emulator: int) -> dict[int, float]:
    """Return the CPU seconds of the emulator's process and of each of its functions', by process id."""
    used = {}
    family = [psutil.Process(emulator)]
    for member in [*family, *family[0].children(recursive=True)]:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[member.pid] = times.user + times.system
    return used


def _used(before: Mapping[int, float], after: Mapping[int, float]) -> tuple[float, float]:
    """CPU seconds of the emulator's process, which is the first, and of its functions."""
    spent = [seconds - before.get(pid, 0.0) for pid, seconds in after.items()]
    return spent[0], sum(spent[1:])


def _wait(is_done: Callable[[], object], otherwise: str, pause_seconds: float = _LOOK_SECONDS) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not is_done():
        if time.monotonic() > deadline:
            raise ShopError(f"{otherwise} after {_PATIENCE_SECONDS} s")
        time.sleep(pause_seconds)


def measure(
    pipelines: Mapping[str, Pipeline], null: Callable[[bytes], None], emulator: int, rounds: int
) -> list[Round]:
    """Take the rounds, after one that does not count: it starts the functions."""
    taken = []
    for number in range(rounds + 1):
        note(f"round {number} of {rounds}")
        trips: dict[str, list[Trip]] = {name: [] for name in pipelines}
        for trip in range(_TRIPS_A_ROUND):
            # First one of them and then the other: what the last order left to do is then no one's disadvantage.
            for name in list(pipelines)[:: 1 if trip % 2 else -1]:
                trips[name].append(travel(pipelines[name]))
        bursts = {name: burst(pipeline, emulator) for name, pipeline in pipelines.items()}
        taken.append(Round(trips, {**bursts, NULL: null_burst(null, emulator)}))
    return taken[1:]


def check_all_arrived(name: str, pipeline: Pipeline) -> None:
    """Raise ShopError unless each order that was sent is stored."""
    found = audit(pipeline.target, pipeline.sent)
    if found.stored != len(pipeline.sent):
        raise ShopError(f"{name}: of {len(pipeline.sent)} orders {found.stored} stored, {found.dead} dead letters")


def tables(rounds: Sequence[Round]) -> list[Table]:
    """Return the tables of the page."""
    return [_latency(rounds), _throughput(rounds), _shares(rounds)]


def _latency(rounds: Sequence[Round]) -> Table:
    steps: dict[str, Callable[[Trip], float]] = {
        "answered": lambda trip: trip.answered,
        "stored": lambda trip: trip.stored,
        "announced": lambda trip: trip.announced,
    }
    rows = []
    for step, seconds in steps.items():
        for label, part in (("median", 50), ("95th percentile", _P95)):
            ours, lab = (_per_round(rounds, name, seconds, part) for name in (OURS, LAB))
            rows += [row(f"{step}, {label}", ours, lab), row(f"{step}, {label}, plain lab", lab, lab)]
    notes = (
        f"Milliseconds from the request, of one order at a time, {2 * _TRIPS_A_ROUND} a round to each pipeline in "
        "turn. Half of them are followed to the moment at which SQS took the announcement for a subscribed queue, the "
        f"others to the table. That is asked every {_LOOK_SECONDS * 1000:.0f} ms, which takes the emulator's time and "
        "sees an order late: stored is an upper bound, and can be more than announced.",
    )
    return Table("End to end: latency of a single order", "the plain lab's step", rows, notes)


def _per_round(rounds: Sequence[Round], name: str, seconds: Callable[[Trip], float], part: int) -> Sample:
    found = (percentile(sorted(seconds(trip) * 1000 for trip in each.trips[name]), part) for each in rounds)
    return Sample(tuple(value for value in found if value is not None))


def _throughput(rounds: Sequence[Round]) -> Table:
    def rates(name: str, seconds: Callable[[Burst], float]) -> Sample:
        return Sample(tuple(each.bursts[name].orders / seconds(each.bursts[name]) for each in rounds))

    accepting = {name: rates(name, lambda each: each.accepting_seconds) for name in (OURS, LAB, NULL)}
    announcing = {name: rates(name, lambda each: each.announcing_seconds) for name in (OURS, LAB)}
    unit = "orders/s"
    rows = [
        *(row(f"accepted while a burst comes, {name}", rate, accepting[LAB], unit) for name, rate in accepting.items()),
        *(
            row(f"sustained to the announcement, {name}", rate, announcing[LAB], unit)
            for name, rate in announcing.items()
        ),
    ]
    notes = (
        f"{_ORDERS_A_BURST} orders at once over {_CONNECTIONS} connections; here more is better. Sustained: until the "
        "last announcement. Accepted: until the last answer, while the pipeline already works on the first orders: who "
        "is behind with these, as the plain lab is, has more of the machine left for accepting.",
        "All of it, this client included, shares one machine, and the emulator is one Python process: the rates are "
        "the emulator's, not those of AWS.",
    )
    return Table("End to end: orders a second", "the plain lab's", rows, notes)


def _shares(rounds: Sequence[Round]) -> Table:
    def per_order(name: str, seconds: Callable[[Burst], float]) -> Sample:
        return Sample(tuple(seconds(each.bursts[name]) * 1000 / each.bursts[name].orders for each in rounds))

    emulator = {name: per_order(name, lambda each: each.emulator_cpu_seconds) for name in (OURS, LAB, NULL)}
    functions = {name: per_order(name, lambda each: each.functions_cpu_seconds) for name in (OURS, LAB)}
    rows = [
        *(row(f"functions, {name}", used, functions[LAB]) for name, used in functions.items()),
        *(row(f"emulator, {name}", used, emulator[LAB]) for name, used in emulator.items()),
    ]
    shares = ", ".join(f"{_share(emulator[name], functions[name]):.0%} of {name}" for name in (OURS, LAB))
    notes = (
        f"CPU milliseconds an order during the bursts. The emulator's part is {shares}.",
        "Functions: the processor's and the notifier's processes. Emulator: API, queues, table, stream and topic in "
        "one process, TLS included; both pipelines' topics have as many subscribers.",
    )
    return Table("End to end: what part is the emulator's", "the plain lab's", rows, notes)


def _share(emulator: Sample, functions: Sample) -> float:
    return emulator.median / (emulator.median + functions.median)


@contextmanager
def running_cloud(folder: Path | None) -> Iterator[tuple[Path, Cloud]]:
    """Give the folder and the cloud that runs there; without a folder, a cloud for as long as this lasts.

    Raises ShopError when none runs in the folder.
    """
    if folder is not None:
        found = local_cloud.status(folder).cloud
        if found is None:
            raise ShopError(f"{folder}: no local cloud runs there")
        yield folder, found
        return
    with tempfile.TemporaryDirectory() as temporary:
        own = Path(temporary) / "cloud"
        try:
            yield own, local_cloud.up(own, port=process.any_free_port(), progress=note)
        finally:
            local_cloud.down(own, progress=note)


@contextmanager
def alone(place: Target) -> Iterator[None]:
    """Keep functions behind queues on the order topic from working meanwhile: the plain lab has none."""
    sns, functions = place.client("sns"), place.client("lambda")
    queues = [
        each["Endpoint"]
        for each in mailbox.subscriptions(sns, place.output("OrderTopicArn"))
        if each["Protocol"] == "sqs"
    ]
    found = [
        mapping["UUID"]
        for queue in queues
        for mapping in functions.list_event_source_mappings(EventSourceArn=queue)["EventSourceMappings"]
    ]
    try:
        for mapping in found:
            functions.update_event_source_mapping(UUID=mapping, Enabled=False)
        yield
    finally:
        for mapping in found:
            functions.update_event_source_mapping(UUID=mapping, Enabled=True)


def run(folder: Path, cloud: Cloud, rounds: int) -> list[Round]:
    """Measure both pipelines in a cloud; raise ShopError when an order was lost on the way."""
    emulator = local_cloud.status(folder).pid
    if emulator is None:
        raise ShopError("the emulator has ended")
    outputs = target.local_outputs(folder, target.stack_name(cloud.stage, target.ORDER_PIPELINE))
    ours = Target(cloud.stage, outputs, clients.session(cloud), cloud)
    with ExitStack() as open_now:
        open_now.enter_context(alone(ours))
        lab = open_now.enter_context(deployed(cloud))
        subscribers = len(mailbox.subscriptions(ours.client("sns"), ours.output("OrderTopicArn")))
        inboxes = {
            name: open_now.enter_context(opened(place, f"bench-{name.replace(' ', '-')}"))
            for name, place in ((OURS, ours), (LAB, lab))
        }
        for number in range(subscribers):
            open_now.enter_context(opened(lab, f"bench-other-subscriber-{number}"))
        key = http_client.api_key(ours, "OrdersApiKeyId")
        pipelines = {
            OURS: Pipeline(ours, sender(ours, "OrdersEndpoint", key), inboxes[OURS]),
            LAB: Pipeline(lab, sender(lab, "OrdersEndpoint", None), inboxes[LAB]),
        }
        found = measure(pipelines, sender(lab, "NullEndpoint", None), emulator, rounds)
        for name, pipeline in pipelines.items():
            check_all_arrived(name, pipeline)
        return found


def main() -> None:
    """Measures, prints the tables and hands them in."""
    parser = argparse.ArgumentParser(description="Compare the order pipelines end to end.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cloud", type=Path, metavar="FOLDER", help="a local cloud that runs, instead of a new one")
    add_options(parser)
    options = parser.parse_args()
    with running_cloud(options.cloud) as (folder, cloud):
        rounds = run(folder, cloud, options.rounds)
    hand_in("end_to_end", tables(rounds), options.json)


if __name__ == "__main__":
    main()
