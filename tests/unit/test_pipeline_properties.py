"""Random histories of the order pipeline: whatever happens in whatever order, nothing is lost, doubled or changed.

Hypothesis drives the real handlers (`pipeline_model`) and checks the invariants after every step. The histories are the
same in every run. `PIPELINE_EXAMPLES=5000` tries as many others; a failure then says how to see it again, and
`--hypothesis-seed=N` repeats a whole run.
"""

import json
import os
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shop.dead_letter_queues import Filters
from tests.conservation import order_in, unfinished, violations
from tests.unit.fakes import Fault, Killed, client_error, timeout
from tests.unit.pipeline_model import BATCH_SIZE, MOST_RECEIVES, VISIBILITY_SECONDS, Message, Pipeline
from tests.unit.redrive_model import Operator

EXAMPLES = os.environ.get("PIPELINE_EXAMPLES")
FEW_IDS = st.sampled_from(["A-1", "A-2", "A-3", None])
"""So few that orders meet under one id; None leaves it to the message's id."""
CORRUPT = ["", "hello", "[]", "{", '{"orderID": "A-1"}', '{"orderID": "A-1", "orderID": "A-2"}', "[" * 5000]
LASTING = 200
"""Calls: more than a function has time for."""


def body(order_id: str | None, **changes: object) -> str:
    fields: dict[str, object] = {"product": "Caffè", "quantity": 1, "price_per_item": 2.5} | changes
    return json.dumps(fields if order_id is None else {"orderID": order_id} | fields)


MISTAKEN = [body("A-1", price_per_item="err"), body(None, price_per_item="err"), body("A-2", product="\ud800")]

throttled = client_error("ProvisionedThroughputExceededException")
broken = client_error("InternalServerError", 500)
denied = client_error("AccessDeniedException")
lost = timeout()

statement_codes = st.sampled_from(
    ["ThrottlingError", "InternalServerError", "ItemCollectionSizeLimitExceeded", "ValidationError", "AccessDenied"]
)
some_statements = st.dictionaries(st.integers(0, BATCH_SIZE - 1), statement_codes, min_size=1)
write_faults = st.one_of(
    st.none(),
    st.sampled_from([throttled, broken, denied, lost, Killed()]).map(lambda error: Fault(before=error)),
    st.sampled_from([broken, lost, Killed()]).map(lambda error: Fault(after=error)),
    some_statements.map(Fault),
    st.sets(st.integers(0, BATCH_SIZE - 1), min_size=1).map(
        lambda places: Fault(dict.fromkeys(places, "InternalServerError"), ran=sorted(places))
    ),
)
read_faults = st.sampled_from([None, throttled, broken, denied, lost, Killed(), 1, 10])
entry_codes = st.sampled_from(["InternalError", "Throttled", "InvalidParameter"])
publish_faults = st.one_of(
    st.none(),
    st.sampled_from([throttled, broken, denied, lost, Killed()]).map(lambda error: Fault(before=error)),
    st.sampled_from([broken, lost, Killed()]).map(lambda error: Fault(after=error)),
    st.dictionaries(st.integers(0, BATCH_SIZE - 1), entry_codes, min_size=1).map(Fault),
)


breaks = st.sampled_from(["", "", "send", "send's answer", "delete"])
"""The call of a redrive that fails."""


def plans(faults: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """What happens in an invocation's calls, one after another; or the same in all of them."""
    return st.one_of(st.lists(faults, min_size=1, max_size=3), faults.map(lambda fault: [fault] * LASTING))


class OrderPipeline(RuleBasedStateMachine):
    """The steps that a history is made of, and what must be so after each."""

    def __init__(self) -> None:
        super().__init__()
        self._patch = pytest.MonkeyPatch()
        self.pipeline = Pipeline(self._patch)
        self.operator = Operator(self.pipeline, self._patch)

    def teardown(self) -> None:
        try:
            self._calm_down()
        finally:
            self._patch.undo()

    @rule(order_id=FEW_IDS, quantity=st.sampled_from([1, 1, 2]))
    def send(self, order_id: str | None, quantity: int) -> None:
        """New, sent again, or in conflict with another of its id."""
        self.pipeline.send(body(order_id, quantity=quantity))

    @rule(count=st.integers(2, 15))
    def send_many(self, count: int) -> None:
        for _ in range(count):
            self.pipeline.send(body(None))

    @rule(text=st.sampled_from([*CORRUPT, *MISTAKEN]))
    def send_invalid(self, text: str) -> None:
        self.pipeline.send(text)

    @rule()
    def put_what_is_no_order_into_the_table(self) -> None:
        self.pipeline.table.put_by_hand({"orderID": {"S": "A-3"}, "colour": {"S": "red"}})

    @rule(seed=st.integers(0, 99))
    def deliver(self, seed: int) -> None:
        """Where nothing fails, each order finds its place at once, whatever else is in its batch."""
        messages = self.pipeline.receive(in_any_order(seed))
        self.pipeline.process(messages)
        for message in messages:
            is_order = order_in(message.name, message.body) is not None
            if is_order and not self._conflicts(message):
                assert message.message_id not in self.pipeline.queue, f"{message} was not done"

    @rule(
        seed=st.integers(0, 99),
        writes=plans(write_faults),
        reads=plans(read_faults),
        overtaken_in=st.sampled_from([None, None, 0, 1, 2]),
        call_seconds=st.sampled_from([0.01, 0.01, 4.5, 20.0]),
    )
    def deliver_with_faults(
        self, seed: int, writes: list[Fault | None], reads: list[Any], overtaken_in: int | None, call_seconds: float
    ) -> None:
        messages = self.pipeline.receive(in_any_order(seed))
        self.pipeline.process(messages, writes, reads, overtaken_in=overtaken_in, call_seconds=call_seconds)

    @precondition(lambda self: self.pipeline.queue)
    @rule(write=write_faults, read=read_faults)
    def deliver_until_dead_lettered(self, write: Fault | None, read: BaseException | int | None) -> None:
        """A fault that lasts, so that what it hits ends in the dead-letter queue."""
        for _ in range(MOST_RECEIVES + 1):
            self.pipeline.now += VISIBILITY_SECONDS
            self.pipeline.process(self.pipeline.receive(lambda visible: visible), [write] * LASTING, [read] * LASTING)

    @precondition(lambda self: self.pipeline.accepted)
    @rule(data=st.data())
    def deliver_what_was_deleted(self, data: st.DataObject) -> None:
        """A standard queue may deliver a message although it has been deleted."""
        name = data.draw(st.sampled_from(sorted(self.pipeline.accepted)))
        self.pipeline.process([Message(name, self.pipeline.accepted[name], self.pipeline.now, receives=1)])

    @rule(seconds=st.sampled_from([1.0, VISIBILITY_SECONDS, 3600.0, 5 * 3600.0]))
    def wait(self, seconds: float) -> None:
        self.pipeline.now += seconds

    @rule()
    def announce(self) -> None:
        self.pipeline.notify()

    @rule(faults=plans(publish_faults))
    def announce_with_faults(self, faults: list[Fault | None]) -> None:
        self.pipeline.notify(faults)

    @rule()
    def fail_to_invoke_notifier(self) -> None:
        self.pipeline.notify(can_invoke=False)

    @rule()
    def start_new_notifier(self) -> None:
        self.pipeline.start_new_notifier()

    @precondition(lambda self: self.pipeline.dead)
    @rule(fails=breaks, data=st.data())
    def redrive_one(self, fails: str, data: st.DataObject) -> None:
        letter = data.draw(st.sampled_from(sorted(self.pipeline.dead)))
        self.operator.redrive_orders(Filters(ids=frozenset({letter})), fails=fails)

    @precondition(lambda self: self.pipeline.dead)
    @rule(fails=breaks)
    def redrive_all(self, fails: str) -> None:
        self.operator.redrive_orders(fails=fails)

    @precondition(lambda self: self.pipeline.dead)
    @rule(fails=breaks)
    def redrive_with_the_price_mended(self, fails: str) -> None:
        self.operator.redrive_orders(Filters(reason="invalid: price_per_item"), {"price_per_item": 2.5}, fails)

    @precondition(lambda self: self.pipeline.unannounced)
    @rule(fails=breaks)
    def redrive_announcements(self, fails: str) -> None:
        self.pipeline.notifier_may_repeat = True
        self.operator.redrive_announcements(fails)

    @invariant()
    def nothing_is_lost_doubled_or_changed(self) -> None:
        assert violations(self.pipeline.seen()) == []

    @invariant()
    def no_stored_order_is_forgotten(self) -> None:
        """Each was announced, is yet to be, or has its place in the failure queue."""
        placed = {record["dynamodb"]["NewImage"]["orderID"]["S"] for record in self.pipeline.waiting_for_notifier()}
        assert set(self.pipeline.table.items) <= placed | set(self.pipeline.times_announced()) | self._given_up()

    @invariant()
    def where_nothing_crashed_each_is_announced_once(self) -> None:
        if not self.pipeline.notifier_may_repeat:
            repeated = {name for name, times in self.pipeline.times_announced().items() if times > 1}
            assert repeated == set()

    def _conflicts(self, message: Message) -> bool:
        order = order_in(message.name, message.body)
        stored = {held.order_id: held for held in self.pipeline.seen().stored}
        return order is not None and order.order_id in self.pipeline.table.items and stored.get(order.order_id) != order

    def _given_up(self) -> set[str]:
        return {
            record["dynamodb"]["NewImage"]["orderID"]["S"]
            for letter in self.pipeline.unannounced.values()
            for record in self._records_of(letter.body)
        }

    def _records_of(self, failed_batch: str) -> list[Mapping[str, Any]]:
        batch = json.loads(failed_batch)["DDBStreamBatchInfo"]
        return self.pipeline.shard.between(batch["startSequenceNumber"], batch["endSequenceNumber"])

    def _calm_down(self) -> None:
        """With no more faults, a redrive brings everything to its end: accepted = stored + dead-lettered."""
        self._drain()
        self.operator.redrive_orders()
        self._drain()
        self.operator.redrive_announcements()
        seen = self.pipeline.seen()
        assert violations(seen) == []
        assert unfinished(seen) == []
        for letter in self.pipeline.dead.values():
            is_order = order_in(letter.name, letter.body) is not None
            assert not is_order or self._conflicts(letter), f"{letter} was dead-lettered for nothing"

    def _drain(self) -> None:
        while self.pipeline.queue:
            self.pipeline.process(self.pipeline.receive(lambda visible: visible))
            self.pipeline.now += VISIBILITY_SECONDS
        while self.pipeline.notify():
            pass


def in_any_order(seed: int) -> Callable[[list[Message]], list[Message]]:
    """Picks some of the messages, in an order of no meaning."""

    def choose(visible: list[Message]) -> list[Message]:
        chance = random.Random(seed)  # noqa: S311 (no secret)
        return chance.sample(visible, k=chance.randint(min(1, len(visible)), len(visible)))

    return choose


TestOrderPipeline = pytest.mark.slow(OrderPipeline.TestCase)
TestOrderPipeline.settings = settings(
    max_examples=int(EXAMPLES or 300),
    stateful_step_count=40,
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
