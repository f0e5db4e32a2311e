"""The page around the panels: reached by keyboard, readable on all screens, honest when the console is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.axe import axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from shop.local.cloud import Cloud

_PHONE_WIDTH = 360


def test_every_panel_fills_itself(console_page: Page) -> None:
    for name in ("overview", "orders", "dead_letters", "mailbox", "report", "images"):
        panel = console_page.locator(f"#{name}-panel")
        expect(panel).not_to_be_empty()
        expect(panel.locator(".alert")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_keeps_the_rules_of_accessibility(console_page: Page, scheme: str) -> None:
    console_page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    axe(console_page)


def test_a_phone_shows_the_page_without_scrolling_sideways(console_page: Page) -> None:
    console_page.set_viewport_size({"width": _PHONE_WIDTH, "height": 740})
    width = console_page.evaluate("document.documentElement.scrollWidth")
    assert width <= _PHONE_WIDTH
    axe(console_page)


def test_the_keyboard_reaches_the_panels_past_the_navigation(console_page: Page) -> None:
    console_page.keyboard.press("Tab")
    skip = console_page.get_by_role("link", name="Skip to the panels")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    console_page.keyboard.press("Enter")
    expect(console_page).to_have_url(f"{console_page.url.partition('#')[0]}#main")


def test_nothing_comes_from_another_host(blank_page: Page, cloud: Cloud) -> None:
    asked: list[str] = []
    blank_page.on("request", lambda request: asked.append(request.url))
    blank_page.goto(cloud.console_url or "")
    expect(blank_page.locator(".loading")).to_have_count(0)
    assert len(asked) > 6
    assert [url for url in asked if not url.startswith((str(cloud.console_url), "data:"))] == []
