"""The demo's orders are what it says they are, and its books notice every order that is missing."""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from order_simulator import handler as order_simulator
from shop import demo, health, report
from shop.dead_letters import DeadLetter
from shop.errors import ShopError
from shop.ledger import Ledger, Planned, Sales, sold_on
from shop.local.mailbox import Mail
from shop.order_rules import InvalidOrder, decode_order
from shop.orders import Answer, claimed_id
from shop.report import NO_DATABASE, Report

NOW = "2026-11-26T09:15:00Z"
ITEM: dict[str, Any] = {
    "orderID": {"S": "run-1"},
    "product": {"S": "50% off: Tea & “Scones” + 🍰"},
    "quantity": {"N": "2"},
    "price_per_item": {"N": "3.5"},
    "received_at": {"S": "2026-11-26T09:15:00.000Z"},
}


def answered(plan: Planned, number: int) -> tuple[Planned, Answer]:
    order_id = claimed_id(plan.body)
    if plan.end == "refused":
        return plan, Answer(order_id, 400, None, "a reason")
    return plan, Answer(order_id, 202, f"m-{number}", None)


def letter(message_id: str, order_id: str | None = None) -> DeadLetter:
    return DeadLetter("queue", message_id, order_id, "invalid", 4, "2026-11-26T09:15:00.000Z", {}, "{}")


def mail(order_id: str) -> Mail:
    return Mail("topic", f"New order {order_id}", "{}", {"deduplication_id": order_id}, "2026-11-26T09:15:01Z")


@pytest.fixture
def ended() -> Ledger:
    """A run in which every order came to its end: 7 accepted by hand, 3 of the simulator's, one of them invalid."""
    plans = [*demo.first_orders("run", NOW), *demo.later_orders("run", NOW)]
    sent = [answered(plan, number) for number, plan in enumerate(plans)]
    stored = ["run-1", "run-2", "m-2", "SIM-x-0", "SIM-x-1"]
    return Ledger(
        sent=sent,
        simulated=3,
        simulated_invalid=1,
        simulator_prefix="SIM-x-",
        stored={order_id: {} for order_id in stored},
        announced=[mail(order_id) for order_id in stored],
        dead_letters=[letter("m-5"), letter("m-6"), letter("m-8"), letter("s-2", "SIM-x-2")],
    )


def test_valid_orders_are_valid_and_the_others_are_not() -> None:
    for plan in [*demo.first_orders("run", NOW), *demo.later_orders("run", NOW)]:
        is_conflict = b"4.50" in plan.body
        if plan.end in ("stored", "stored once") or is_conflict:
            decode_order(plan.body, "message-id")
        else:
            with pytest.raises(InvalidOrder):
                decode_order(plan.body, "message-id")


def test_the_repeated_order_is_the_first_written_differently_and_the_conflict_is_another() -> None:
    first = demo.first_orders("run", NOW)[0]
    repeated, conflicting = demo.later_orders("run", NOW)
    assert repeated.body != first.body
    assert decode_order(repeated.body, "m") == decode_order(first.body, "m")
    assert decode_order(conflicting.body, "m").order_id == "run-1"
    assert decode_order(conflicting.body, "m") != decode_order(first.body, "m")


def test_each_run_has_ids_of_its_own() -> None:
    runs = {demo.new_run() for _ in range(50)}
    assert len(runs) == 50
    assert {claimed_id(plan.body) for plan in demo.first_orders("a", NOW)} & {
        claimed_id(plan.body) for plan in demo.first_orders("b", NOW)
    } == {None}


def test_a_run_that_ended_adds_up(ended: Ledger) -> None:
    assert (ended.accepted, ended.distinct, ended.expected_dead) == (10, 9, 4)
    assert ended.differences() == []
    assert ended.complete
    lines = demo.conclusion(ended)
    assert lines[0] == "accepted 10 - 1 repeated order = 9 = stored 5 + dead-lettered 4; announced 5"
    assert "It adds up." in lines
    assert any("orders show run-1 " in line for line in lines)


def test_a_lost_order_is_noticed(ended: Ledger) -> None:
    stored = dict(ended.stored)
    del stored["SIM-x-1"]
    lost = replace(ended, stored=stored)
    assert lost.differences() == ["accepted 9 different orders, but 4 stored + 4 dead-lettered"]
    assert demo.conclusion(lost)[1:] == ["It does not add up:", f"  {lost.differences()[0]}"]


def test_an_order_stored_that_should_be_set_aside_is_noticed(ended: Ledger) -> None:
    swapped = replace(
        ended,
        stored={**ended.stored, "run-5": {}},
        announced=[*ended.announced, mail("run-5")],
        dead_letters=ended.dead_letters[1:],
    )
    assert swapped.differences() == ["3 dead-lettered where 4 should be"]


def test_a_missing_announcement_is_noticed_and_a_repeated_one_is_none(ended: Ledger) -> None:
    assert replace(ended, announced=[*ended.announced, *ended.announced]).complete
    quiet = replace(ended, announced=ended.announced[1:])
    assert quiet.differences() == ["stored but not announced: run-1"]


def test_a_wrong_answer_is_noticed(ended: Ledger) -> None:
    plan, _ = ended.sent[0]
    refused = replace(ended, sent=[(plan, Answer("run-1", 403, None, "Forbidden")), *ended.sent[1:]])
    assert refused.differences()[0] == "every field, an exact price: should end stored, but: 403 Forbidden"
    plan, _ = ended.sent[3]
    taken = replace(ended, sent=[*ended.sent[:3], (plan, Answer("run-3", 202, "m-3", None)), *ended.sent[4:]])
    assert taken.differences()[0] == "a quantity in words: should end refused, but: 202 accepted"


def test_only_this_runs_dead_letters_count(ended: Ledger) -> None:
    assert all(ended.owns(one) for one in ended.dead_letters)
    assert not ended.owns(letter("m-other", "run-1"))
    assert not ended.owns(letter("s-9", "SIM-y-2"))
    assert not ended.owns(letter("s-9"))
    assert not replace(ended, simulator_prefix=None).owns(letter("s-2", "SIM-x-2"))


@pytest.mark.parametrize(
    ("dead", "seconds_left", "end"),
    [
        (0, 53.2, "set aside 0 of 4 · about 60 s"),
        (0, 50.0, "set aside 0 of 4 · about 50 s"),
        (2, -3.0, "set aside 2 of 4 · about 10 s"),
        (4, -3.0, "set aside 4 of 4"),
        pytest.param(-1, 1.0, "set aside 0 of 4 · about 10 s", id="somebody redrove what was there before"),
        pytest.param(7, 1.0, "set aside 4 of 4", id="somebody else's orders failed too"),
    ],
)
def test_the_time_that_passes_is_shown(ended: Ledger, dead: int, seconds_left: float, end: str) -> None:
    line = demo.progress_line(ended, dead, seconds_left)
    assert line.strip() == f"accepted 10 → stored 5 → announced 5 · {end}"
    assert len(line) < 78


def made(quantity: int) -> Report:
    return Report("2026-11-26", 3, quantity, "reports/2026-11-26.csv", f"Total {quantity}\n  \x1b[31mTea 1")


SALES = Sales(made(10), made(17), 7, Mail("report", "Daily Sales Analysis Report", made(17).message, {}, NOW))


def test_a_report_that_grew_by_what_was_stored_adds_up(ended: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    sold = replace(ended, sales=SALES)
    assert sold.complete
    assert demo.conclusion(sold)[1] == "report of 2026-11-26: quantity 10 + 7 stored = 17; it says 17"
    assert any("report get 2026-11-26 " in line for line in demo.next_steps(sold))
    assert sold.summary()["sales_report"] == SALES
    demo.show(replace(sold, stored={"run-1": ITEM}))
    assert "Mailed: Daily Sales Analysis Report\n\n    Total 17\n      \\x1b[31mTea 1\n" in capsys.readouterr().out


def test_without_a_sales_report_nothing_is_said_of_one(ended: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    demo.show(replace(ended, stored={"run-1": ITEM}))
    assert "eport" not in capsys.readouterr().out


@pytest.mark.parametrize("quantity", [16, 18])
def test_a_report_that_misses_an_order_or_counts_one_twice_is_noticed(ended: Ledger, quantity: int) -> None:
    wrong = replace(ended, sales=replace(SALES, after=made(quantity)))
    line = f"the report of 2026-11-26 counts {quantity - 10} more where 7 were stored"
    assert wrong.differences() == [line]
    assert demo.conclusion(wrong)[2:] == ["It does not add up:", f"  {line}"]


def test_orders_of_others_may_make_the_report_grow_and_never_shrink(ended: Ledger) -> None:
    busy = replace(SALES, alone=False)
    more = replace(ended, sales=replace(busy, after=made(30)))
    assert more.differences() == []
    assert demo.conclusion(more)[1].endswith("= 17; it says 30 (others sent orders meanwhile)")
    assert replace(ended, sales=replace(busy, after=made(16))).differences() != []


def test_a_report_that_was_not_mailed_is_noticed(ended: Ledger) -> None:
    quiet = replace(ended, sales=replace(SALES, mail=None))
    assert quiet.differences() == ["the report of 2026-11-26 was made but not mailed"]


def test_what_is_sold_counts_on_its_day_in_the_shops_zone() -> None:
    def item(quantity: int, **moments: str) -> dict[str, Any]:
        return {"quantity": {"N": str(quantity)}, **{name: {"S": moment} for name, moment in moments.items()}}

    late, early = "2026-11-25T23:30:00.000Z", "2026-11-25T12:00:00.000Z"
    items = [
        item(1, received_at=late),
        item(2, received_at=early),
        item(4, received_at=early, order_date="2026-11-26T12:00:00Z"),
        item(8, received_at=late, order_date="2026-11-27T00:30:00+02:00"),
        item(16, received_at=late, order_date="2026-11-27T12:00:00Z"),
    ]
    assert sold_on(items, "2026-11-26", ZoneInfo("Europe/Berlin")) == 1 + 4 + 8
    assert sold_on(items, "2026-11-26", ZoneInfo("UTC")) == 4 + 8


def test_a_cloud_without_a_sales_report_is_said_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: str) -> None:
        raise ShopError(NO_DATABASE)

    monkeypatch.setattr(report, "find", refuse)
    assert demo._find_report() is None
    assert capsys.readouterr().err == f"   Left out: {NO_DATABASE}\n"


def test_the_report_waits_for_the_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    depths = [(2, 0), (0, 1), (0, 0)]

    class Reporter:
        def client(self, service: str) -> str:
            return service

        def output(self, key: str) -> str:
            return key

    def depth(sqs: str, url: str) -> SimpleNamespace:
        assert (sqs, url) == ("sqs", "SalesRecorderQueueUrl")
        visible, in_flight = depths.pop(0)
        return SimpleNamespace(visible=visible, in_flight=in_flight)

    def make(_: Reporter, day: str | None) -> Report:
        assert not depths
        assert day == "2026-11-26"
        return made(3)

    monkeypatch.setattr(health, "depth", depth)
    monkeypatch.setattr(report, "run", make)
    monkeypatch.setattr(demo, "POLL_EVERY", 0)
    assert demo._make_report(Reporter(), "2026-11-26") == made(3)  # type: ignore[arg-type]


def test_the_simulator_makes_invalid_orders_in_every_demo() -> None:
    made = list(order_simulator._make_orders(order_simulator._read_event(demo.SIMULATION)))
    invalid = [order for order in made if order["price_per_item"] == "err"]
    assert (len(made), len(invalid)) == (20, 3)


def test_what_is_shown_fits_a_terminal_of_80_columns(
    ended: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name, uuid = demo.new_run(), "4bf6959f-e84f-4ef1-b2c2-a2647dc39ea7"
    sent = [answered(plan, number) for number, plan in enumerate(demo.first_orders(name, NOW))]
    sent[2] = (sent[2][0], Answer(None, 202, uuid, None))
    stored: dict[str, Mapping[str, Any]] = {
        order_id: {**ITEM, "orderID": {"S": order_id}} for order_id in (f"{name}-1", uuid)
    }
    letters = [letter(uuid), letter("m-5", f"{name}-5")]
    demo.show(replace(ended, sent=sent, stored=stored, announced=[mail(uuid)], dead_letters=letters))
    out = capsys.readouterr().out
    shown = out[: out.index("accepted ")]
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count(uuid) == 4
    assert "orderID                               reason\n" in shown
    assert "2026-11-26 09:15:01Z" in shown
    assert all(len(line) <= 78 for line in demo.next_steps(replace(ended, sent=sent, stored=stored)))


def test_long_tables_say_how_much_is_left_out(ended: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    stored: dict[str, Mapping[str, Any]] = {
        f"run-{number}": {**ITEM, "orderID": {"S": f"run-{number}"}} for number in range(1, 16)
    }
    demo.show(replace(ended, stored=stored))
    shown = capsys.readouterr().out
    assert "Stored: 15" in shown
    assert "… and 3 more" in shown
    assert "run-12 " in shown
    assert "run-13 " not in shown
