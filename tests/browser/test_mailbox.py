"""The mailbox in the browser: mail comes by itself, an open message stays open, an order is a click away."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.axe import axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.integration.pipeline import Pipeline


def test_mail_comes_by_itself_and_what_is_read_stays_open(console_page: Page, pipeline: Pipeline) -> None:
    panel = console_page.locator("#mailbox-panel")
    first, second = (f"mail-{uuid.uuid4().hex[:12]}" for _ in range(2))
    pipeline.post(_order(first))
    mail = panel.get_by_role("row").filter(has_text=first)
    mail.locator("summary").click()
    expect(mail.locator("pre")).to_contain_text(f'"orderID": "{first}"')
    axe(console_page, "#mailbox")
    mail.locator("summary").focus()

    pipeline.post(_order(second))
    expect(panel.get_by_role("row").filter(has_text=second)).to_be_visible()
    expect(mail.locator("pre")).to_be_visible()
    expect(mail.locator("summary")).to_be_focused()


def test_a_mail_leads_to_its_orders_trace(console_page: Page, pipeline: Pipeline) -> None:
    order_id = f"mail-{uuid.uuid4().hex[:12]}"
    pipeline.post(_order(order_id))
    console_page.locator("#mailbox-panel").get_by_role("button", name=f"Trace {order_id}").click()
    expect(console_page.locator("#trace")).to_contain_text(order_id)
    expect(console_page.locator("#trace")).to_be_in_viewport()


def test_a_mailbox_that_cannot_be_read_says_so_and_comes_back(console_page: Page) -> None:
    """The panel's own words, and that the next look replaces them."""
    panel = console_page.locator("#mailbox-panel")
    line = "the mailbox at https://localhost:1 cannot be read"
    console_page.route(
        "**/mailbox/", lambda route: route.fulfill(status=422, body=f'<p class="alert" role="alert">{line}</p>')
    )
    expect(panel.get_by_role("alert")).to_have_text(line)
    console_page.unroute("**/mailbox/")
    expect(panel.get_by_role("alert")).to_have_count(0)


def _order(order_id: str) -> str:
    return json.dumps({"orderID": order_id, "product": "Caffè <Latte>", "quantity": 1, "price_per_item": 3.5})
