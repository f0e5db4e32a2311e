"""The sales report in the browser: a day that has none, having it made, and reading it in every form."""

from __future__ import annotations

import json
import re
import secrets
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.axe import axe
from tests.polling import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.integration.pipeline import Pipeline
    from tests.integration.sales_report import SalesReport

PRODUCT = "Café <b> & ☕"


@pytest.fixture
def day() -> str:
    """A day that no other test has orders on."""
    return (date(2100, 1, 1) + timedelta(days=secrets.randbelow(1_000_000))).isoformat()


def test_a_day_is_reported_and_shown(
    console_page: Page, pipeline: Pipeline, sales_report: SalesReport, day: str
) -> None:
    order = {"product": PRODUCT, "quantity": 7, "price_per_item": 3.5, "order_date": f"{day}T12:00:00Z"}
    pipeline.post(json.dumps(order))
    eventually(lambda: PRODUCT in sales_report.sold(day))
    panel = console_page.locator("#report-panel")
    panel.get_by_label("Day").fill(day)

    panel.get_by_role("button", name="Show").click()
    expect(panel.get_by_role("alert")).to_contain_text(f"no report of {day} was made")
    expect(panel.get_by_label("Day")).to_have_value(day)

    panel.get_by_role("button", name="Run the report").click()
    expect(panel.get_by_role("status")).to_have_text(f"Report of {day} mailed: 1 product, quantity 7.")
    expect(panel.get_by_role("row", name=re.compile(f"^{re.escape(PRODUCT)}"))).to_contain_text("7")
    expect(panel.get_by_role("img", name=f"Quantity by product on {day}")).to_contain_text(f"7 {PRODUCT}")
    [mail] = eventually(lambda: sales_report.mails(day))
    expect(panel.get_by_role("region", name="The mail's text")).to_have_text(mail.message)
    axe(console_page, "#report")

    with console_page.expect_download() as download:
        panel.get_by_role("link", name=f"Download the CSV of {day}").click()
    assert download.value.suggested_filename == f"sales-{day}.csv"
    assert download.value.path().read_bytes() == sales_report.csv(f"reports/{day}.csv")


def test_a_day_that_the_database_cannot_hold_is_said_beside_the_field(console_page: Page) -> None:
    panel = console_page.locator("#report-panel")
    panel.get_by_label("Day").fill("0999-12-31")
    panel.get_by_role("button", name="Run the report").click()
    expect(panel.get_by_label("Day")).to_have_attribute("aria-invalid", "true")
    expect(panel.get_by_label("Day")).to_have_accessible_description(re.compile("is not from 1000-01-02"))
    axe(console_page, "#report")


def test_a_report_that_fails_says_why_and_what_to_do(console_page: Page, sales_report: SalesReport, day: str) -> None:
    panel = console_page.locator("#report-panel")
    panel.get_by_label("Day").fill(day)
    with sales_report.parameter("dbName", "nowhere"):
        panel.get_by_role("button", name="Run the report").click()
        expect(panel.get_by_role("alert")).to_contain_text("no report was made")
    expect(panel.get_by_role("alert")).to_contain_text("deploy again")
    expect(panel.get_by_role("button", name="Run the report")).to_be_enabled()
    assert sales_report.mails(day) == []
