"""The live picture in the browser: orders are seen to move, failures stand out, and an outage passes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.axe import axe
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from tests.integration.pipeline import Pipeline

ORDERS = 20
MOVES = re.compile(r"\bmoves\b")


@pytest.fixture
def panel(console_page: Page) -> Locator:
    return console_page.locator("#overview")


def part(panel: Locator, name: str, system: str = "order-pipeline") -> Locator:
    return panel.locator(f"#part-{system}-{name}")


def count(shown: Locator, what: str) -> int:
    """The figure of that kind in a part's box; 0 where it shows none."""
    found = re.search(rf"([\d,]+) {re.escape(what)}", shown.locator(".figures").text_content() or "")
    return int(found[1].replace(",", "")) if found else 0


def test_orders_are_seen_to_move(panel: Locator, pipeline: Pipeline) -> None:
    table, processor = part(panel, "OrdersTable"), part(panel, "OrderProcessor")
    before = count(table, "item")
    pipeline.client("lambda").invoke(
        FunctionName=pipeline.outputs["OrderSimulatorFunctionName"],
        Payload=json.dumps({"count": ORDERS, "error_rate": 0}),
    )
    expect(part(panel, "OrdersTable-OrderNotifier")).to_have_class(MOVES)
    expect(part(panel, "OrdersQueue-OrderProcessor")).to_have_class(MOVES)
    expect(part(panel, "OrderSimulator-OrdersQueue")).to_have_class(MOVES)
    eventually(lambda: count(processor, "run") > 0)
    eventually(lambda: count(part(panel, "OrderTopic"), "published/min") >= ORDERS)
    eventually(lambda: count(table, "item") >= before + ORDERS, describe=table.text_content)


def test_many_orders_are_simulated_and_sent_in_a_burst_beside_the_picture(panel: Locator) -> None:
    simulate, burst = (panel.get_by_role("button", name=name, exact=True) for name in ("Simulate", "Burst"))
    panel.get_by_label("Simulated orders").fill("20000")
    simulate.click()
    wrong = panel.get_by_label("Simulated orders")
    expect(wrong).to_have_accessible_description("is not a whole number from 1 to 10,000")
    wrong.fill("5")
    panel.get_by_label("Error rate").fill("0")
    simulate.click()
    expect(panel.locator("#simulate-answer")).to_contain_text("5 orders sent, 0 of them invalid")
    expect(part(panel, "OrderSimulator-OrdersQueue")).to_have_class(MOVES)

    panel.get_by_label("Orders to the API").fill("60")
    burst.click()
    expect(panel.locator("#burst-progress")).to_contain_text("Done: 60 sent, 60 accepted, 0 refused")
    expect(part(panel, "OrdersApi-OrdersQueue")).to_have_class(MOVES)
    # Who presses sees what it does, without scrolling, and what was typed stays while the picture is asked for again.
    for seen in (
        simulate,
        burst,
        part(panel, "OrdersApi"),
        part(panel, "OrderTopic"),
        part(panel, "SalesQueue", "sales-report"),
    ):
        expect(seen).to_be_in_viewport()
    expect(wrong).to_have_value("5")
    axe(panel.page, "#overview")


def test_nothing_moves_for_who_does_not_want_it(panel: Locator, pipeline: Pipeline) -> None:
    simulator = pipeline.outputs["OrderSimulatorFunctionName"]
    pipeline.client("lambda").invoke(FunctionName=simulator, Payload=json.dumps({"count": 1, "error_rate": 0}))
    arrow = part(panel, "OrderSimulator-OrdersQueue")
    expect(arrow).to_have_class(MOVES)
    expect(arrow).to_have_css("animation-name", "along")
    panel.page.emulate_media(reduced_motion="reduce")
    expect(arrow).to_have_css("animation-name", "none")


@pytest.fixture
def missed_report(pipeline: Pipeline, outputs: dict[str, dict[str, str]]) -> Iterator[None]:
    """A report that its schedule could not start: in a queue that no other test looks into."""
    url = outputs[f"{pipeline.cloud.stage}-sales-report"]["MissedReportsQueueUrl"]
    sqs = pipeline.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    yield
    sqs.purge_queue(QueueUrl=url)


@pytest.mark.usefixtures("missed_report")
def test_dead_letters_stand_out_and_lead_to_their_panel(panel: Locator) -> None:
    link = panel.get_by_role("link", name=re.compile("queue MissedReports: 1 dead letter"))
    expect(link).to_contain_text("1 dead letter")
    axe(panel.page, "#overview")
    link.click()
    expect(panel.page).to_have_url(re.compile(r"#dead_letters$"))
    expect(panel.page.locator("#dead_letters")).to_be_in_viewport()


def test_all_systems_are_in_the_picture_and_in_the_table(panel: Locator) -> None:
    panel.get_by_text("As a table").click()
    rows = panel.get_by_role("row")
    for name, system, kind in (
        ("OrdersQueue", "Order pipeline", "queue"),
        ("OrderServiceTable", "Order service", "table"),
        ("DatabaseInstance", "Sales report", "database"),
        ("CreateThumbnail", "Image fan-out", "function"),
        ("ThumbnailDeadLetters", "Image fan-out", "queue"),
    ):
        expect(rows.filter(has=panel.page.get_by_role("rowheader", name=name, exact=True))).to_contain_text(
            [re.compile(f"{system}.*{kind}", re.DOTALL)]
        )
    expect(panel.locator("svg [role=img], svg a")).to_have_count(len(rows.all()) - 1)  # but for the table's head
    axe(panel.page, "#overview")


def test_an_open_table_stays_open_when_the_figures_change(panel: Locator) -> None:
    panel.get_by_text("As a table").click()
    when = panel.locator("#overview-when time")
    first = when.text_content()
    expect(when).not_to_have_text(str(first))
    expect(panel.locator("#overview-table")).to_be_visible()


def test_a_phone_scrolls_the_picture_not_the_page(panel: Locator) -> None:
    panel.page.set_viewport_size({"width": 360, "height": 740})
    expect(part(panel, "OrdersApi")).to_be_in_viewport()
    expect(part(panel, "OrderTopic")).not_to_be_in_viewport()
    part(panel, "OrderTopic").scroll_into_view_if_needed()
    expect(part(panel, "OrderTopic")).to_be_in_viewport()
    assert panel.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_outage_is_one_line_and_passes(panel: Locator, cloud_folder: Path) -> None:
    there, away = cloud_folder / "cloud.json", cloud_folder / "cloud.json.away"
    there.rename(away)
    try:
        expect(panel.get_by_role("alert")).to_have_count(1)
        expect(panel.get_by_role("alert")).to_contain_text("make up")
    finally:
        away.rename(there)
    expect(part(panel, "OrdersQueue")).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(0)
