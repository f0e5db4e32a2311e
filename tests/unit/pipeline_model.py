"""The order pipeline in memory: its real handlers between models of SQS, DynamoDB with a stream, SNS and Lambda.

Each model does what AWS documents, and of what AWS leaves open the worse: a standard queue delivers in any order and
more than once, and a late deletion counts. Time stands still except where it is said to pass.
"""

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from order_notifier import handler as notifier
from order_processor import handler as processor
from shared.order_items import from_item
from shared.order_rules import InvalidOrder, Order
from tests.conservation import Seen
from tests.stream_poller import NOTIFIER, NotInvoked, Shard, StreamPoller
from tests.unit.fakes import TABLE, Clock, FakeBatchService, FakeTable, Fault, Killed

VISIBILITY_SECONDS = 60.0
MOST_RECEIVES = 3
BATCH_SIZE = 10
START = 1_767_258_000.0
"""2026-01-01: before the clock that redrives go by, so that none of their messages is of their own time."""
PROCESSOR_SECONDS = 10.0
NOTIFIER_SECONDS = 15.0
RETRY_ATTEMPTS = 2
"""Of the notifier: fewer than in prod, so that a short history exhausts them."""


@dataclass
class Message:
    """A message of a queue. `original_id` is its attribute `original_message_id`."""

    message_id: str
    body: str
    sent_at: float
    original_id: str | None = None
    receives: int = 0
    visible_at: float = 0.0

    @property
    def name(self) -> str:
        """The id that SQS gave it first."""
        return self.original_id or self.message_id

    def to_record(self) -> dict[str, Any]:
        """As a function gets it."""
        attribute = {"original_message_id": {"stringValue": self.original_id, "dataType": "String"}}
        return {
            "messageId": self.message_id,
            "body": self.body,
            "attributes": {
                "SentTimestamp": str(int(self.sent_at * 1000)),
                "ApproximateReceiveCount": str(self.receives),
            },
            "messageAttributes": attribute if self.original_id else {},
            "eventSource": "aws:sqs",
        }


class OrdersTable(FakeTable):
    """The orders table and its stream. `on_call` is told of each call before it has any effect."""

    def __init__(self, on_insert: Callable[[dict[str, Any]], object]) -> None:
        super().__init__()
        self.on_call: Callable[[], None] = lambda: None
        self._on_insert = on_insert

    def put_by_hand(self, item: dict[str, Any]) -> None:
        """What somebody with the console does: overwrites nothing here, and may be no order."""
        if item["orderID"]["S"] not in self.items:
            self.items[item["orderID"]["S"]] = item
            self._on_insert(item)

    def _spend(self) -> None:
        self.on_call()

    def _insert(self, item: dict[str, Any], place: int, fault: Fault | None) -> dict[str, Any]:
        count = len(self.items)
        answer = super()._insert(item, place, fault)
        if len(self.items) > count:
            self._on_insert(item)
        return answer


class Topic(FakeBatchService):
    """The topic. Each call takes the next fault; its `statements` are entries that are refused."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Fault | None] = []

    def _take(self, entries: list[Mapping[str, Any]]) -> dict[str, Any]:
        fault = self.faults.pop(0) if self.faults else None
        if fault and fault.before:
            raise fault.before
        self.answers = [{place: (code, True) for place, code in fault.statements.items()} if fault else {}]
        answer = super()._take(entries)
        if fault and fault.after:
            raise fault.after
        return answer


class Pipeline:
    """The pipeline. Faults are given with the invocation that they happen in, one a call of AWS."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = START
        self.accepted: dict[str, str] = {}
        self.queue: dict[str, Message] = {}
        self.dead: dict[str, Message] = {}
        self.unannounced: dict[str, Message] = {}
        """The notifier's failure queue."""
        self.shard = Shard()
        self.table = OrdersTable(lambda item: self.shard.add("INSERT", item, self.now))
        self.topic = Topic()
        self.notifier_may_repeat = False
        """Whether something happened after which an order may be announced twice."""
        self._ids = (f"m-{number}" for number in itertools.count(1))
        self._poller = StreamPoller(
            replace(NOTIFIER, retry_attempts=RETRY_ATTEMPTS),
            self.shard,
            self._invoke_notifier,
            self._give_up,
            lambda: self.now,
        )
        self._can_notify = True
        self._clock = Clock()
        patch.setattr(processor, "_dynamodb", self.table)
        patch.setattr(notifier, "_sns", self.topic)
        patch.setattr(time, "sleep", self._sleep)
        patch.setenv("DYNAMODB_ORDERS_TABLE", TABLE)
        patch.setenv("ORDER_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:orders")
        notifier._announced_early.clear()

    def _sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    def send(self, body: str) -> str:
        """A client's order, which SQS accepts; returns the message id."""
        message_id = self._put(self.queue, body)
        self.accepted[message_id] = body
        return message_id

    def receive(self, choose: Callable[[list[Message]], list[Message]]) -> list[Message]:
        """Receives of the visible messages those that `choose` picks; what was received too often is dead-lettered."""
        received = []
        for message in choose([m for m in self.queue.values() if m.visible_at <= self.now])[:BATCH_SIZE]:
            if message.receives >= MOST_RECEIVES:
                message.visible_at = self.now
                self.dead[message.message_id] = self.queue.pop(message.message_id)
                continue
            message.receives += 1
            message.visible_at = self.now + VISIBILITY_SECONDS
            received.append(message)
        return received

    def process(
        self,
        messages: Sequence[Message],
        writes: Iterable[Fault | None] = (),
        reads: Iterable[BaseException | int | None] = (),
        *,
        overtaken_in: int | None = None,
        call_seconds: float = 0.01,
    ) -> None:
        """Invokes the processor with messages, and deletes what it does not report as failed.

        Before the call of the number `overtaken_in` has any effect, the visibility timeout runs out and another
        processor gets what is visible.
        """
        if not messages:
            return
        event = {"Records": [message.to_record() for message in messages]}
        outer, self._clock = self._clock, Clock(PROCESSOR_SECONDS)
        self.table.insert_faults, self.table.read_faults = list(writes), list(reads)
        self.table.on_call = self._on_call(overtaken_in, call_seconds)
        try:
            answer = processor.handler(event, self._clock)
        except (Exception, Killed):  # noqa: BLE001 (the invocation failed, so all of its messages did)
            return
        finally:
            self._clock = outer
            self.table.insert_faults, self.table.read_faults = [], []
            self.table.on_call = lambda: None
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in messages:
            if message.message_id not in failed:
                self.queue.pop(message.message_id, None)

    def _on_call(self, overtaken_in: int | None, seconds: float) -> Callable[[], None]:
        calls = itertools.count()

        def on_call() -> None:
            self._clock.seconds_left -= seconds
            if next(calls) != overtaken_in:
                return
            faults = self.table.insert_faults, self.table.read_faults
            self.now += VISIBILITY_SECONDS
            self.process(self.receive(lambda visible: visible))
            self.table.insert_faults, self.table.read_faults = faults

        return on_call

    def notify(self, faults: Iterable[Fault | None] = (), *, can_invoke: bool = True) -> bool:
        """Has Lambda's poller make the notifier's next invocation; returns whether there was anything to do."""
        self.topic.faults = list(faults)
        self._can_notify = can_invoke
        self.notifier_may_repeat |= any(fault and (fault.before or fault.after) for fault in self.topic.faults)
        try:
            return self._poller.poll()
        finally:
            self.topic.faults = []

    def _invoke_notifier(self, event: dict[str, Any]) -> Any:
        if not self._can_notify:
            raise NotInvoked
        self._clock = Clock(NOTIFIER_SECONDS)
        try:
            return notifier.handler(event, self._clock)
        except Killed as killed:
            self.start_new_notifier()
            raise RuntimeError("Runtime exited") from killed

    def _give_up(self, failed_batch: str) -> None:
        self._put(self.unannounced, failed_batch)

    def start_new_notifier(self) -> None:
        """Lambda runs the notifier in a process that has no memory of the last one."""
        notifier._announced_early.clear()
        self.notifier_may_repeat = True

    def hold(self, queue: dict[str, Message], most: int) -> list[Message]:
        """Receives from a dead-letter queue, which dead-letters nothing further."""
        held = [message for message in queue.values() if message.visible_at <= self.now][:most]
        for message in held:
            message.receives += 1
            message.visible_at = self.now + VISIBILITY_SECONDS
        return held

    def send_back(self, body: str, original_id: str) -> None:
        """An operator's copy of a dead letter, edited or not, which stands for it from now on."""
        self.accepted[original_id] = body
        self._put(self.queue, body, original_id)

    def seen(self) -> Seen:
        """All that there is of orders."""
        return Seen(
            accepted=self.accepted,
            queued={message.name for message in self.queue.values()},
            dead={message.name for message in self.dead.values()},
            stored=[order for item in self.table.items.values() if (order := _order_of(item))],
            announced=[_announced_order(entry["Message"]) for entry in self.topic.taken],
        )

    def times_announced(self) -> Counter[str]:
        """How often each order id was announced."""
        return Counter(str(e["MessageAttributes"]["deduplication_id"]["StringValue"]) for e in self.topic.taken)

    def waiting_for_notifier(self) -> list[Mapping[str, Any]]:
        """The stream's records that are yet to be announced or given up."""
        return list(self._poller.waiting())

    def _put(self, queue: dict[str, Message], body: str, original_id: str | None = None) -> str:
        message_id = next(self._ids)
        queue[message_id] = Message(message_id, body, self.now, original_id)
        return message_id


def _announced_order(message: str) -> Order:
    """The announced order, its numbers exact."""
    item = json.loads(message, parse_float=Decimal)
    price = Decimal(item["price_per_item"])
    optional = item.get("customer_id"), item.get("order_date")
    return Order(item["orderID"], item["product"], item["quantity"], price, *optional)


def _order_of(item: Mapping[str, Any]) -> Order | None:
    try:
        return from_item(item).order
    except InvalidOrder:
        return None
