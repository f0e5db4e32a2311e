"""Orders in the browser: placed, refused field by field, sent from a shell, many at once, and each followed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.axe import axe
from tests.polling import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.integration.pipeline import Pipeline

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = "202 accepted, message"
ANNOUNCED = re.compile("Stored(,| and) announced")
"""And recorded or not yet; never where there is no database."""


@pytest.fixture
def panel(console_page: Page) -> Locator:
    return console_page.locator("#orders")


@pytest.fixture
def order_id() -> str:
    return f"page-{uuid.uuid4().hex[:12]}"


def test_an_order_is_placed_seen_stored_and_traced(panel: Locator, pipeline: Pipeline, order_id: str) -> None:
    panel.get_by_label("Order id (orderID, optional)").fill(order_id)
    panel.get_by_label("Price per item").fill("4.10")
    button = panel.get_by_role("button", name="Place the order")
    button.focus()
    # A double click; a second request would come back as a second row.
    button.evaluate("button => { button.click(); button.click(); }")
    expect(panel.locator("#place-answer")).to_contain_text(ACCEPTED)
    expect(button).to_be_focused()
    # What was typed is what was sent: 4.10, not 4.1.
    expect(panel.locator("#place-answer code")).to_contain_text('"price_per_item": 4.10}')

    row = panel.locator("#latest-table").get_by_role("row").filter(has_text=order_id)
    expect(row).to_contain_text("stored, announced")
    item = pipeline.stored(order_id)
    assert item is not None
    assert item["price_per_item"] == {"N": "4.1"}
    row.get_by_role("button", name=f"Trace {order_id}").click()
    expect(panel.locator("#trace")).to_contain_text(ANNOUNCED)
    expect(panel.locator("#trace caption")).to_contain_text(f"Order {order_id}, message")
    axe(panel.page, "#orders")


def test_each_broken_rule_stands_beside_its_field(panel: Locator) -> None:
    wrong = {
        "Order id (orderID, optional)": ("a b", "is not 1 to 64 letters"),
        "Product": ("", "is missing"),
        "Quantity": ("2.0", "2.0 is not an integer"),
        "Price per item": ("err", '"err" is not a number'),
        "Customer id (optional)": ("c" * 65, "is not 1 to 64 characters long"),
        "Order date (RFC 3339, optional)": ("2026-02-30T09:15:00Z", "is not a day of the calendar"),
    }
    for label, (typed, _) in wrong.items():
        panel.get_by_label(label).fill(typed)
    panel.get_by_role("button", name="Place the order").click()
    for label, (typed, rule) in wrong.items():
        field = panel.get_by_label(label)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(re.escape(rule)))
        expect(field).to_have_value(typed)
    expect(panel.locator("#place-order").get_by_role("alert")).to_contain_text("Not sent")
    axe(panel.page, "#orders")

    panel.get_by_role("button", name="Send it anyway").click()
    expect(panel.locator("#place-answer").get_by_role("alert")).to_contain_text("400 not accepted")
    panel.get_by_label("Price per item").fill("3.50")
    expect(panel.get_by_label("Price per item")).to_have_value("3.50")


def test_any_body_is_sent_byte_for_byte_and_from_a_shell_too(
    panel: Locator, pipeline: Pipeline, order_id: str, cloud_folder: Path
) -> None:
    body = f'{{"orderID": "{order_id}",\n "product": "it\'s $HOME \\\\ 🍰", "quantity": 1, "price_per_item": 1E2}}'
    panel.get_by_text("As JSON, byte for byte").click()
    panel.get_by_label("Body of the request").fill(body)
    panel.get_by_role("button", name="Send as it is").click()
    answer = panel.locator("#raw-answer")
    expect(answer).to_contain_text(ACCEPTED)
    stored = eventually(lambda: pipeline.stored(order_id))
    assert stored["product"] == {"S": "it's $HOME \\ 🍰"}

    command = answer.locator("code").inner_text()
    assert pipeline.api_key not in command
    environment = {**os.environ, "SHOP_LOCAL_DIR": str(cloud_folder)}
    shell = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, check=True)
    message_id = json.loads(shell.stdout)["messageId"]
    # The same order twice: had a byte changed on its way through the shell, it would be a conflict.
    row = panel.locator(f"#latest-{message_id}")
    expect(row).to_contain_text("stored already")

    panel.get_by_label("Body of the request").fill("no JSON")
    panel.get_by_role("button", name="Send as it is").click()
    expect(answer.get_by_role("alert")).to_contain_text("400 not accepted")


def test_an_id_that_nobody_knows_is_said_where_the_trace_would_be(panel: Locator, order_id: str) -> None:
    panel.get_by_label("Order id, message id or request id").fill(order_id)
    panel.get_by_label("Order id, message id or request id").press("Enter")
    expect(panel.locator("#trace").get_by_role("alert")).to_contain_text(f"{order_id} is unknown in stage local")
