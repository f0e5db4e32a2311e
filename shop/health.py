"""What runs in a stage: the local cloud's process, the stacks that are deployed, how deep their queues are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shop import target as targets
from shop.deployed import stage_stacks
from shop.local import cloud as local_cloud
from shop.local import console_page
from shop.local import database as local_database
from shop.local.paths import Paths
from shop.names import construct_name
from shop.queues import queue_name, stack_queues
from shop.target import LOCAL, Target

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


@dataclass(frozen=True)
class Queue:
    """Messages in a queue, as SQS counts them (approximate on AWS)."""

    name: str
    url: str
    visible: int
    in_flight: int
    delayed: int


@dataclass(frozen=True)
class Stack:
    """A deployed stack and its CloudFormation status."""

    name: str
    status: str


@dataclass(frozen=True)
class Database:
    """The local cloud's MariaDB: its process (None where it died), its port on the loopback address, and its log."""

    pid: int | None
    port: int
    log_file: str


@dataclass(frozen=True)
class ConsolePage:
    """The local cloud's console page: its process, its address, and its log."""

    pid: int
    url: str
    log_file: str


@dataclass(frozen=True)
class Health:
    """What `status` shows; `pid`, `endpoint_url`, `log_file`, `database` and `console` are the local cloud's only."""

    stage: str
    running: bool
    pid: int | None
    endpoint_url: str | None
    log_file: str | None
    stacks: list[Stack]
    queues: list[Queue]
    database: Database | None = None
    console: ConsolePage | None = None


def check(stage: str) -> Health:
    """Return what runs in a stage; raise ShopError when there is no way to ask."""
    if stage != LOCAL:
        found, depths = _deployed(stage)
        return Health(stage, bool(found), None, None, None, found, depths)
    local = local_cloud.status(local_cloud.default_folder())
    paths, served = Paths(local.folder), local.database
    log_file = str(paths.log_file)
    known = local_database.read(paths.database_json)
    database = Database(served.pid if served else None, known.port, str(paths.database_log)) if known else None
    page = local.console
    console = ConsolePage(page.pid, console_page.url(page), str(paths.console_log)) if page else None
    if local.cloud is None:
        return Health(stage, False, local.pid, None, log_file, [], [], database, console)
    found, depths = _deployed(stage)
    return Health(stage, True, local.pid, local.cloud.endpoint_url, log_file, found, depths, database, console)


def _deployed(stage: str) -> tuple[list[Stack], list[Queue]]:
    target = targets.connect(stage)
    found = stacks(target)
    return found, queues(target, found)


def stacks(target: Target) -> list[Stack]:
    """Return the stage's stacks, by name."""
    found = stage_stacks(target.client("cloudformation"), target.stage)
    return [Stack(stack["StackName"], stack["StackStatus"]) for stack in found]


def queues(target: Target, found: list[Stack]) -> list[Queue]:
    """Return the depths of all queues of the stacks."""
    sqs: SQSClient = target.client("sqs")
    return [depth(sqs, url) for stack in found for url in stack_queues(target, stack.name)]


def depth(sqs: "SQSClient", url: str) -> Queue:
    """Return how many messages a queue has."""
    counts: Any = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return Queue(
        name=queue_name(url),
        url=url,
        visible=int(counts["ApproximateNumberOfMessages"]),
        in_flight=int(counts["ApproximateNumberOfMessagesNotVisible"]),
        delayed=int(counts["ApproximateNumberOfMessagesDelayed"]),
    )


def rows(health: Health) -> Iterator[tuple[str, str]]:
    """Yield the rows of the table that a person gets, queues by the names that the stacks' constructs have."""
    yield "runs", _runs(health)
    if health.pid is not None:
        yield "pid", str(health.pid)
    if health.endpoint_url is not None:
        yield "endpoint", health.endpoint_url
    if health.log_file is not None:
        yield "log", health.log_file
    if health.database is not None:
        ended = "" if health.database.pid else "does not run (make up starts it), "
        yield "database", f"{ended}port {health.database.port}, log {health.database.log_file}"
    if health.console is not None:
        yield "console", f"{health.console.url} (pid {health.console.pid}, log {health.console.log_file})"
    elif health.running and health.stage == targets.LOCAL:
        yield "console", "does not run (make up starts it)"
    for stack in health.stacks:
        yield f"stack {stack.name}", stack.status
    for queue in health.queues:
        delayed = f", {queue.delayed:,} delayed" if queue.delayed else ""
        yield (
            f"queue {construct_name(queue.name)}",
            f"{queue.visible:,} waiting, {queue.in_flight:,} in flight{delayed}",
        )


def _runs(health: Health) -> str:
    if health.running:
        return "yes"
    return "no" if health.pid is None else targets.HALF_STARTED
