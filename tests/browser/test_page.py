"""The page around the panels: reached by keyboard, readable on all screens, honest when the console is gone."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import pytest
from playwright.sync_api import expect

from shop.console.app import create_app
from shop.console.stage import Console
from shop.local import console_page as page_process
from shop.local import database
from shop.local.paths import Paths
from tests.browser.axe import axe
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from shop.local.cloud import Cloud
    from tests.integration.pipeline import Pipeline

_PANELS: Final = ("overview", "orders", "dead_letters", "mailbox", "report", "images")
_PHONE_WIDTH: Final = 360
_COUNT_POLLS: Final = """
() => {
  window.pollsLeftOut = 0;
  Object.defineProperty(document, "hidden", {configurable: true, get: () => true});
  document.addEventListener("htmx:beforeRequest", (event) => { window.pollsLeftOut += event.defaultPrevented; });
}
"""


def test_every_panel_fills_itself(console_page: Page) -> None:
    for name in _PANELS:
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


def test_while_nobody_looks_nothing_is_asked_for(console_page: Page) -> None:
    console_page.evaluate(_COUNT_POLLS)
    console_page.wait_for_load_state("networkidle")  # what was asked for before has its answer
    asked: list[str] = []
    console_page.on("request", lambda request: asked.append(request.url))
    eventually(lambda: console_page.evaluate("window.pollsLeftOut") > len(_PANELS))
    assert asked == []
    console_page.evaluate("() => Object.defineProperty(document, 'hidden', {get: () => false})")
    eventually(lambda: (console_page.evaluate("1"), asked)[1])


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Paths]:
    """The folder of a cloud of which only the console page runs."""
    found = Paths(tmp_path)
    yield found
    page_process.stop(found)


def test_a_cloud_that_is_down_is_said_in_each_panel_and_a_console_that_is_gone_above_them(
    blank_page: Page, complaints: list[str], alone: Paths
) -> None:
    running = page_process.wait(alone, page_process.launch(alone))
    blank_page.goto(page_process.url(running))
    for name in _PANELS:
        expect(blank_page.locator(f"#{name} [role=alert]").first).to_contain_text("the local cloud is not running")
    assert complaints == []
    gone = blank_page.get_by_text("The console does not answer")
    expect(gone).to_be_hidden()

    os.killpg(running.pid, signal.SIGKILL)
    expect(gone).to_be_visible()
    axe(blank_page)

    page_process.wait(alone, page_process.launch(alone))
    expect(gone).to_be_hidden()
    # Nobody answered some requests, and the browser may say so of more of them until its page is closed.
    blank_page.close()
    complaints.clear()


def test_a_panel_comes_back_with_its_cloud(
    blank_page: Page, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("SHOP_LOCAL_DIR", str(tmp_path))
        refused = create_app(Console("local", may_act=True)).test_client().get("/images/")
    blank_page.route("**/images/", lambda route: route.fulfill(status=refused.status_code, body=refused.text), times=2)
    blank_page.goto(cloud.console_url or "")
    panel = blank_page.locator("#images-panel")
    expect(panel.get_by_role("alert")).to_contain_text("the local cloud is not running")
    expect(panel.get_by_role("button", name="Upload")).to_be_visible()
    expect(panel.get_by_role("alert")).to_have_count(0)


def test_no_answer_has_a_secret(console_page: Page, cloud: Cloud, cloud_folder: Path, pipeline: Pipeline) -> None:
    rules = create_app(Console("local", may_act=True)).url_map.iter_rules()
    asked = sorted(rule.rule for rule in rules if "GET" in (rule.methods or ()) and not rule.arguments)
    assert len(asked) > len(_PANELS)
    served = database.read(Paths(cloud_folder).database_json)
    secrets = [pipeline.api_key, *([served.password] if served else [])]
    for path in asked:
        answer = console_page.request.get(f"{cloud.console_url}{path.lstrip('/')}").text()
        assert not [secret for secret in secrets if secret in answer], path
