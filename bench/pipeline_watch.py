"""Watches the order pipeline while a load test runs: what was answered, stored and announced when, and what waits.

All times are this machine's clock, in seconds since 1970, so that no two clocks are compared. An order counts as
announced when a queue of the test's own, subscribed to the topic for that time, gave it out. When it was stored is
found by asking the table for every so many-th order, ten times a second.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psutil  # type: ignore[import-untyped]

from shop.dead_letters import MAX_KEYS
from shop.health import depth
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_sqs.client import SQSClient

_RECEIVERS: Final = 2
_LONG_POLL_SECONDS: Final = 1
_LOOK_SECONDS: Final = 0.1
_SAMPLE_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 30


class Answer(msgspec.Struct, frozen=True):
    """One line that the load generator wrote: an order and what the API said to it."""

    orderID: str  # noqa: N815  (the field's name in the contract)
    status: int | None
    refusal: str | None
    phase: str
    sent_at: float
    answered_at: float


@dataclass(frozen=True)
class Sample:
    """How things stood at a moment."""

    at: float
    waiting: int
    """Messages in the orders queue that nobody has received."""
    in_flight: int
    dead: int
    accepted: int
    announced: int
    processors: dict[str, float]
    """CPU seconds used so far, by who used them."""


@dataclass
class Observations:
    """What was seen; written by the watching threads, each field by one of them only but for `announced_at`."""

    answers: list[Answer] = field(default_factory=list)
    stored_at: dict[str, float] = field(default_factory=dict)
    """Of a sample of the orders."""
    announced_at: dict[str, float] = field(default_factory=dict)
    announced_again: int = 0
    samples: list[Sample] = field(default_factory=list)

    def accepted(self) -> list[Answer]:
        """Return the answers so far that promised to store the order."""
        return [answer for answer in self.answers if answer.refusal is None]


class AnswerFile:
    """A file of JSON Lines that grows; gives each whole line once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = 0
        self._decoder = msgspec.json.Decoder(Answer)

    def new(self) -> list[Answer]:
        """Return the answers that were written since the last call."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as stream:
            stream.seek(self._position)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        return [self._decoder.decode(line) for line in whole.splitlines()]


@contextmanager
def subscribed(target: Target, name: str, prefix: str | None = None) -> Iterator[str]:
    """Give the URL of a queue of that name that gets announcements; removed at the end.

    With a `prefix` only those of orders whose ids begin so, which takes a notifier that sends `deduplication_id`.
    """
    only = {} if prefix is None else {"FilterPolicy": json.dumps({"deduplication_id": [{"prefix": prefix}]})}
    sqs, sns = target.client("sqs"), target.client("sns")
    topic = target.output("OrderTopicArn")
    url = sqs.create_queue(QueueName=name, Attributes={"SqsManagedSseEnabled": "true"})["QueueUrl"]
    subscription = None
    try:
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(_policy(arn, topic))})
        subscription = sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=arn,
            ReturnSubscriptionArn=True,
            Attributes={"RawMessageDelivery": "true", **only},
        )["SubscriptionArn"]
        yield url
    finally:
        try:
            if subscription is not None:
                sns.unsubscribe(SubscriptionArn=subscription)
        finally:
            sqs.delete_queue(QueueUrl=url)


def _policy(queue: str, topic: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
            }
        ],
    }


class Watch:
    """Threads that watch a pipeline until they are stopped; `seen` grows meanwhile.

    One order of `every` is looked up in the table. `processes` are the process ids whose CPU time is sampled, their
    children's included, by a name.
    """

    def __init__(
        self, target: Target, announcements: str, answers: AnswerFile, every: int, processes: dict[str, int]
    ) -> None:
        self.seen = Observations()
        self._target = target
        self._announcements = announcements
        self._answers = answers
        self._every = every
        self._processes = processes
        self._sqs: SQSClient = target.client("sqs")
        self._dynamodb: DynamoDBClient = target.client("dynamodb")
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch for the length of the block; raises what a watching thread failed with."""
        jobs = [self._follow, self._sample, *[self._receive] * _RECEIVERS]
        threads = [threading.Thread(target=self._guard, args=(job,), daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join(_JOIN_SECONDS)
        self.check()

    def check(self) -> None:
        """Raise what a watching thread failed with, if one did."""
        if self._failure is not None:
            raise self._failure

    def wait(self, is_done: Callable[[Observations], bool], seconds: float) -> bool:
        """Wait until `is_done` says so, for `seconds` at most; return whether it did."""
        deadline = time.monotonic() + seconds
        while not is_done(self.seen):
            self.check()
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _guard(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 (raised again in the thread that waits)
            self._failure = error

    def _follow(self) -> None:
        """Reads the answers, and looks in the table for one order of `every`."""
        pending: dict[str, None] = {}
        accepted = 0
        while not self._stopped.wait(_LOOK_SECONDS):
            for answer in self._answers.new():
                self.seen.answers.append(answer)
                if answer.refusal is not None:
                    continue
                accepted += 1
                if accepted % self._every == 0:
                    pending[answer.orderID] = None
            for order_id in self._stored([*pending][:MAX_KEYS]):
                self.seen.stored_at[order_id] = time.time()
                del pending[order_id]

    def _stored(self, ids: list[str]) -> list[str]:
        if not ids:
            return []
        table = self._target.output("OrdersTableName")
        keys: Any = [{"orderID": {"S": order_id}} for order_id in ids]
        answer = self._dynamodb.batch_get_item(
            RequestItems={table: {"Keys": keys, "ConsistentRead": True, "ProjectionExpression": "orderID"}}
        )
        found: Any = answer["Responses"].get(table, [])
        return [item["orderID"]["S"] for item in found]

    def _sample(self) -> None:
        self.seen.samples.append(self._look())
        while not self._stopped.wait(_SAMPLE_SECONDS):
            self.seen.samples.append(self._look())
        # How it ended belongs on the chart, too.
        self.seen.samples.append(self._look())

    def _look(self) -> Sample:
        orders = depth(self._sqs, self._target.output("OrdersQueueUrl"))
        dead = depth(self._sqs, self._target.output("OrdersDeadLetterQueueUrl"))
        return Sample(
            at=time.time(),
            waiting=orders.visible + orders.delayed,
            in_flight=orders.in_flight,
            dead=dead.visible + dead.in_flight,
            accepted=len(self.seen.accepted()),
            announced=len(self.seen.announced_at),
            processors={name: cpu_seconds(pid) for name, pid in self._processes.items()}
            | {"everything on this machine": _machine_cpu_seconds()},
        )

    def _receive(self) -> None:
        """Receives announcements until told to stop, and then until there is none left."""
        while True:
            messages = self._sqs.receive_message(
                QueueUrl=self._announcements,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=_LONG_POLL_SECONDS,
                MessageAttributeNames=["deduplication_id"],
            ).get("Messages", [])
            now = time.time()
            if not messages and self._stopped.is_set():
                return
            if not messages:
                continue
            with self._lock:
                for message in messages:
                    self._note(message["MessageAttributes"]["deduplication_id"]["StringValue"], now)
            self._sqs.delete_message_batch(
                QueueUrl=self._announcements,
                Entries=[
                    {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]}
                    for place, message in enumerate(messages)
                ],
            )

    def _note(self, order_id: str, now: float) -> None:
        if order_id in self.seen.announced_at:
            self.seen.announced_again += 1
        else:
            self.seen.announced_at[order_id] = now


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its children have used; 0 for one that is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(_own_cpu_seconds(member) for member in family)


def _own_cpu_seconds(process: psutil.Process) -> float:
    """A process' CPU time with that of its children that have ended."""
    try:
        used = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system + used.children_user + used.children_system)


def _machine_cpu_seconds() -> float:
    """CPU time that anything on this machine has used: what else ran, and so slowed down the load test."""
    used = psutil.cpu_times()
    return float(sum(used) - used.idle - getattr(used, "iowait", 0.0))
