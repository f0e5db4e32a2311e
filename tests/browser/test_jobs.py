"""What goes on in the background in the browser: a look at it that fails takes neither its form nor the next look."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.integration.images import picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page, Route

_TROUBLE = "FilterLogEvents: ThrottlingException: Rate exceeded"


@pytest.fixture
def failing(console_page: Page) -> Iterator[Callable[[str], None]]:
    """Has the looks at a path fail, as where AWS refuses a call, until the page is given back."""

    def refuse(route: Route) -> None:
        if route.request.method != "GET":
            route.fallback()
            return
        body = f'<p class="alert" role="alert">{_TROUBLE}</p>'
        route.fulfill(status=HTTPStatus.UNPROCESSABLE_ENTITY, content_type="text/html", body=body)

    def fail(path: str) -> None:
        console_page.route(f"**{path}*", refuse)

    yield fail
    console_page.unroute_all()


def test_an_upload_goes_on(console_page: Page, failing: Callable[[str], None]) -> None:
    panel = console_page.locator("#images-panel")
    failing("/images/upload")
    name = f"{uuid.uuid4().hex[:8]}.jpg"
    panel.get_by_label("Choose a picture").set_input_files(
        {"name": name, "mimeType": "image/jpeg", "buffer": picture(80, 60)}
    )
    panel.get_by_role("button", name="Upload").click()
    expect(panel.get_by_role("alert")).to_have_text(_TROUBLE)
    expect(panel.get_by_role("button", name="Upload")).to_be_visible()
    console_page.unroute_all()
    expect(panel.get_by_role("status")).to_have_text(f"{name}: 2 sizes made.")
    expect(panel.get_by_role("alert")).to_have_count(0)


def test_a_burst_goes_on(console_page: Page, failing: Callable[[str], None]) -> None:
    many = console_page.locator("#many-orders")
    failing("/orders/burst")
    many.get_by_label("Orders to the API").fill("30")
    many.get_by_role("button", name="Burst", exact=True).click()
    expect(many.get_by_role("alert")).to_have_text(_TROUBLE)
    expect(many.get_by_role("progressbar")).to_be_visible()
    console_page.unroute_all()
    expect(many.locator("#burst-progress")).to_contain_text("Done: 30 sent, 30 accepted")
    expect(many.get_by_role("alert")).to_have_count(0)


def test_a_report_goes_on(console_page: Page, failing: Callable[[str], None]) -> None:
    panel = console_page.locator("#report-panel")
    failing("/report/made")
    panel.get_by_label("Day").fill("2099-12-31")
    panel.get_by_role("button", name="Run the report").click()
    expect(panel.get_by_role("alert")).to_have_text(_TROUBLE)
    expect(panel.get_by_label("Day")).to_have_value("2099-12-31")
    console_page.unroute_all()
    expect(panel.get_by_role("status")).to_contain_text("Report of 2099-12-31 mailed")
    expect(panel.get_by_role("alert")).to_have_count(0)
