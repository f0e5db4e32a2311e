"""What becomes of stored orders when announcing them fails, with Lambda's poller as AWS documents it.

The law of every test: a stored order is announced, or its place in the stream is in the failure queue, from which the
order can be found again. None is forgotten.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_notifier import handler as notifier
from shared.order_items import StoredOrder, to_item
from shared.order_rules import Order
from shop.dead_letters import failed_batch
from tests.stream_poller import NOTIFIER, EventSourceMapping, NotInvoked, Shard, StreamPoller
from tests.unit.fakes import Clock, FakeBatchService, Killed, client_error

START = 1_795_684_500.0
HOUR = 3600.0
FUNCTION_SECONDS = 15.0
RECEIVED_AT = "2026-11-26T09:15:00.123Z"
UNAVAILABLE = client_error("ServiceUnavailable", 503)


class Topic(FakeBatchService):
    """A topic on which one thing can be set for all calls, and one before or after the entries are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.before: Callable[[list[str]], None] = lambda _: None
        self.after: Callable[[list[str]], None] = lambda _: None

    def publish_batch(self, *, TopicArn: str, PublishBatchRequestEntries: list[Mapping[str, Any]]) -> dict[str, Any]:  # noqa: N803
        if self.is_down:
            raise UNAVAILABLE
        names = [_order_id(entry) for entry in PublishBatchRequestEntries]
        self.before(names)
        answer = super().publish_batch(TopicArn=TopicArn, PublishBatchRequestEntries=PublishBatchRequestEntries)
        self.after(names)
        return answer


class Stream:
    """The orders table's stream, the notifier that reads it, the topic and the failure queue."""

    def __init__(self, patch: pytest.MonkeyPatch, mapping: EventSourceMapping = NOTIFIER) -> None:
        self.now = START
        self.topic = Topic()
        self.shard = Shard()
        self.failure_queue: list[str] = []
        self.is_throttled = False
        self.poller = StreamPoller(mapping, self.shard, self._invoke, self.failure_queue.append, lambda: self.now)
        self._clock = Clock()
        patch.setattr(notifier, "_sns", self.topic)
        patch.setattr(time, "sleep", self._clock.sleep)
        patch.setenv("ORDER_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:orders")
        notifier._announced_early.clear()

    def store(self, *order_ids: str) -> None:
        for order_id in order_ids:
            item = to_item(StoredOrder(Order(order_id, "Espresso", 1, Decimal("2.2")), RECEIVED_AT))
            self.shard.add("INSERT", item, self.now)

    def store_poison(self, order_id: str) -> None:
        """An item that somebody put into the table by hand, and that is no order."""
        self.shard.add("INSERT", {"orderID": {"S": order_id}}, self.now)

    def run(self, pause: float = 1.0, until: float | None = None) -> None:
        """Polls until nothing is left, or until a moment; seconds pass between one invocation and the next."""
        while (until is None or self.now < until) and self.poller.poll():
            self.now += pause

    def announced(self) -> list[str]:
        return [_order_id(entry) for entry in self.topic.taken]

    def given_up(self) -> list[str]:
        """The orders whose places are in the failure queue, found again as an operator's redrive finds them."""
        return [order_id for body in self.failure_queue for order_id in self._find(body)]

    def conditions(self) -> list[str]:
        return [json.loads(body)["requestContext"]["condition"] for body in self.failure_queue]

    def forgotten(self) -> set[str]:
        stored = {_key(record) for record in self.shard.records}
        waiting = {_key(record) for record in self.poller.waiting()}
        return stored - waiting - set(self.announced()) - set(self.given_up())

    def _find(self, body: str) -> list[str]:
        assert failed_batch(body).startswith("not announced (")
        batch = json.loads(body)["DDBStreamBatchInfo"]
        assert batch["shardId"] == self.shard.name
        records = self.shard.between(batch["startSequenceNumber"], batch["endSequenceNumber"])
        found = [_key(record) for record in records if record["eventName"] == "INSERT"]
        assert len(found) == batch["batchSize"]
        return found

    def _invoke(self, event: dict[str, Any]) -> Any:
        if self.is_throttled:
            raise NotInvoked
        self._clock.seconds_left = FUNCTION_SECONDS
        try:
            return notifier.handler(event, self._clock)
        except Killed as killed:
            notifier._announced_early.clear()  # it lived in the process
            raise RuntimeError("Runtime exited with error") from killed
        finally:
            self.now += FUNCTION_SECONDS - self._clock.seconds_left


def _order_id(entry: Mapping[str, Any]) -> str:
    return str(entry["MessageAttributes"]["deduplication_id"]["StringValue"])


def _key(record: Mapping[str, Any]) -> str:
    return str(record["dynamodb"]["NewImage"]["orderID"]["S"])


def ids(first: int, last: int) -> list[str]:
    return [f"A-{number}" for number in range(first, last + 1)]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    return Stream(monkeypatch)


def test_a_poisoned_record_ends_in_the_failure_queue_and_all_others_are_announced_once(stream: Stream) -> None:
    stream.store(*ids(1, 4))
    stream.store_poison("A-5")
    stream.store(*ids(6, 14))
    stream.run()
    assert Counter(stream.announced()) == Counter(set(ids(1, 14)) - {"A-5"})
    assert stream.given_up()[0] == "A-5"
    assert stream.conditions() == ["RetryAttemptsExhausted"]
    assert stream.forgotten() == set()


def test_a_poisoned_record_is_tried_as_often_as_the_mapping_says(stream: Stream) -> None:
    stream.store_poison("A-1")
    stream.run()
    (body,) = stream.failure_queue
    assert json.loads(body)["requestContext"]["approximateInvokeCount"] == NOTIFIER.retry_attempts + 1
    assert "functionError" not in json.loads(body)["responseContext"]


@pytest.mark.parametrize("pause", [1.0, 60.0, 600.0])
def test_sns_down_for_an_hour_and_back(stream: Stream, pause: float) -> None:
    stream.topic.is_down = True
    stream.store(*ids(1, 25))
    stream.run(pause, until=START + HOUR)
    assert stream.announced() == []
    assert stream.forgotten() == set()
    stream.now = START + HOUR
    stream.topic.is_down = False
    stream.store(*ids(26, 30))
    stream.run()
    assert stream.forgotten() == set()
    assert set(stream.announced()) | set(stream.given_up()) == set(ids(1, 30))
    assert set(stream.announced()) >= set(ids(26, 30))
    assert len(stream.announced()) == len(set(stream.announced()))


def test_a_notifier_that_cannot_be_invoked_for_an_hour_announces_all_afterwards(stream: Stream) -> None:
    stream.is_throttled = True
    stream.store(*ids(1, 25))
    stream.run(until=START + HOUR)
    stream.is_throttled = False
    stream.run()
    assert stream.announced() == ids(1, 25)
    assert stream.failure_queue == []


def test_records_that_grow_too_old_go_to_the_failure_queue_and_the_younger_are_announced(stream: Stream) -> None:
    stream.is_throttled = True
    stream.store(*ids(1, 3))
    stream.run(until=START + 2 * HOUR)
    stream.store(*ids(4, 6))
    stream.run(until=START + 4 * HOUR)
    stream.is_throttled = False
    stream.now = START + 5 * HOUR
    stream.run()
    assert stream.announced() == ids(4, 6)
    assert stream.given_up() == ids(1, 3)
    assert stream.conditions() == ["RecordAgeExceeded"]
    assert stream.forgotten() == set()


def test_entries_refused_for_a_while_are_announced_once_behind_the_others(stream: Stream) -> None:
    refusals = iter([True] * 3 + [False] * 100)
    stream.topic.refuse = lambda entry: _order_id(entry) in {"A-2", "A-3"} and next(refusals)
    stream.store(*ids(1, 5))
    stream.run()
    announced = stream.announced()
    assert Counter(announced) == Counter(ids(1, 5))
    assert announced[:3] == ["A-1", "A-4", "A-5"]
    assert stream.failure_queue == []


def test_an_entry_refused_for_good_ends_in_the_failure_queue_alone_unannounced(stream: Stream) -> None:
    stream.topic.refuse = lambda entry: _order_id(entry) == "A-3"
    stream.store(*ids(1, 12))
    stream.run()
    assert Counter(stream.announced()) == Counter(set(ids(1, 12)) - {"A-3"})
    assert "A-3" in stream.given_up()


def test_killed_before_the_topic_was_called(stream: Stream) -> None:
    kill_once(stream, "before")
    stream.store(*ids(1, 25))
    stream.run()
    assert Counter(stream.announced()) == Counter(ids(1, 25))
    assert stream.failure_queue == []


def test_killed_after_the_topic_took_the_batch(stream: Stream) -> None:
    kill_once(stream, "after")
    stream.store(*ids(1, 25))
    stream.run()
    assert Counter(stream.announced()) == Counter(ids(1, 25)) + Counter(ids(1, 10))
    assert stream.failure_queue == []


def kill_once(stream: Stream, moment: str) -> None:
    """The first call of the topic is the process's last."""

    def kill(_: list[str]) -> None:
        setattr(stream.topic, moment, lambda _: None)
        raise Killed

    setattr(stream.topic, moment, kill)


def test_a_deadly_order_is_cut_out_of_its_batch(stream: Stream) -> None:
    def kill(names: list[str]) -> None:
        if "A-7" in names:
            raise Killed

    stream.topic.before = kill
    stream.store(*ids(1, 10))
    stream.run()
    assert Counter(stream.announced()) == Counter(set(ids(1, 10)) - {"A-7"})
    assert stream.given_up() == ["A-7"]
    assert json.loads(stream.failure_queue[0])["responseContext"]["functionError"] == "Unhandled"


def test_a_new_process_announces_again_what_an_old_one_announced_early(stream: Stream) -> None:
    """The memory of early announcements is an economy, and nothing depends on it."""
    refused = {"A-1"}
    stream.topic.refuse = lambda entry: _order_id(entry) in refused
    stream.store(*ids(1, 3))
    stream.poller.poll()
    assert stream.announced() == ["A-2", "A-3"]
    notifier._announced_early.clear()
    refused.clear()
    stream.run()
    assert stream.announced() == ["A-2", "A-3", "A-1", "A-2", "A-3"]
    assert stream.failure_queue == []


def test_changed_and_removed_items_are_not_announced_and_not_given_up(stream: Stream) -> None:
    stream.shard.add("REMOVE", None, stream.now)
    stream.store_poison("A-1")
    stream.shard.add("MODIFY", {"orderID": {"S": "A-1"}}, stream.now)
    stream.store("A-2")
    stream.run()
    assert stream.announced() == ["A-2"]
    assert stream.given_up() == ["A-1", "A-2"]


faults = st.sampled_from(["well", "well", "poisoned", "refused", "refused for good", "deadly"])
moments = st.sampled_from(["well", "down", "throttled", "killed before", "killed after", "answer lost", "new process"])


@given(st.lists(faults, min_size=1, max_size=25), st.lists(moments, max_size=12), st.sampled_from([1.0, 500.0]))
def test_no_order_is_forgotten_whatever_fails(orders: list[str], plan: list[str], pause: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stream = Stream(patch, replace(NOTIFIER, retry_attempts=2))
        fate = {f"A-{number}": fault for number, fault in enumerate(orders)}
        store_with_fates(stream, fate)
        for moment in plan:
            happen(stream, fate, moment)
            stream.poller.poll()
            stream.now += pause
            assert stream.forgotten() == set(), moment
        happen(stream, fate, "well")
        stream.run(pause)
        assert stream.poller.waiting() == []
        assert stream.forgotten() == set()
        never = {name for name, fault in fate.items() if fault in {"poisoned", "refused for good", "deadly"}}
        assert set(stream.given_up()) >= never
        assert not set(stream.announced()) & never


failures = st.dictionaries(st.integers(0, 9), st.just(("InternalError", True)))


@given(st.lists(st.booleans(), min_size=1, max_size=10), st.lists(failures, max_size=4))
def test_where_nothing_crashes_every_order_is_announced_once(
    poisoned: list[bool], answers: list[dict[int, tuple[str, bool]]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stream = Stream(patch)
        stream.topic.answers = list(answers)
        fate = {f"A-{number}": "poisoned" if bad else "well" for number, bad in enumerate(poisoned)}
        store_with_fates(stream, fate)
        stream.run()
    names = list(fate)
    assert Counter(stream.announced()) == Counter(name for name in names if fate[name] == "well")
    assert stream.given_up() == (names[poisoned.index(True) :] if any(poisoned) else [])


def store_with_fates(stream: Stream, fate: Mapping[str, str]) -> None:
    refusals = Counter({name: 1 for name, fault in fate.items() if fault == "refused"})

    def refuse(entry: Mapping[str, Any]) -> bool:
        name = _order_id(entry)
        refusals[name] -= 1
        return refusals[name] >= 0 or fate[name] == "refused for good"

    stream.topic.refuse = refuse
    for name, fault in fate.items():
        (stream.store_poison if fault == "poisoned" else stream.store)(name)


def happen(stream: Stream, fate: Mapping[str, str], moment: str) -> None:
    """Sets what is the matter in the next invocation."""

    def before(names: list[str]) -> None:
        if moment == "killed before" or any(fate[name] == "deadly" for name in names):
            raise Killed

    def after(_: list[str]) -> None:
        if moment == "killed after":
            raise Killed
        if moment == "answer lost":
            raise client_error("InternalFailure", 500)

    stream.topic.before, stream.topic.after = before, after
    stream.topic.is_down = moment == "down"
    stream.is_throttled = moment == "throttled"
    if moment == "new process":
        notifier._announced_early.clear()
