"""A real browser that looks at the console page of the session's local cloud.

The browser is the machine's own Chromium. Where there is none, these tests are skipped, and the run says so at its end.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser import chromium
from tests.integration.conftest import cloud, cloud_folder, images, order_service, outputs, pipeline, sales_report

__all__ = ["cloud", "cloud_folder", "images", "order_service", "outputs", "pipeline", "sales_report"]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Page, Response

    from shop.local.cloud import Cloud

_TIMEOUT_MILLISECONDS = 30_000
"""How long `expect` and actions wait: the page polls every two seconds, and the machine may be busy."""
expect.set_options(timeout=_TIMEOUT_MILLISECONDS)
_NO_CHROMIUM = f"not run: no Chromium (install it, or name one in {chromium.CHOICE})"
_HERE = Path(__file__).parent
# Chromium's own line for an answer of 400 and above. Those are looked at as answers; 422 is how forms say no.
_FAILED_REQUEST = "Failed to load resource"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where there is no browser."""
    if chromium.find():
        return
    # Only these need a browser: a machine without one still runs all others, CI fetches one (.ci/run), and the workflow
    # names one, so that there they fail rather than be skipped.
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.skip(reason=_NO_CHROMIUM))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end of the run, in one line, that these tests were not run."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if _NO_CHROMIUM in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} browser tests {_NO_CHROMIUM}", yellow=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser, one for all tests of a session."""
    program = chromium.find()
    assert program is not None, "pytest_collection_modifyitems skips all that needs it"
    with chromium.launched(program) as found:
        yield found


@pytest.fixture
def complaints() -> list[str]:
    """What the browser has complained of during a test: errors on its console, answers of 500 and above.

    A test that provokes some clears the list.
    """
    return []


@pytest.fixture
def blank_page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """A page in a browser profile of its own, nothing opened; whatever it complains of fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(_TIMEOUT_MILLISECONDS)
    page = context.new_page()

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(_FAILED_REQUEST):
            complaints.append(f"console: {message.text}")

    def on_response(response: Response) -> None:
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            complaints.append(f"{response.status} from {response.url}")

    page.on("console", on_console)
    page.on("response", on_response)
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    page.on("dialog", lambda dialog: dialog.accept())
    yield page
    context.close()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def console_page(blank_page: Page, cloud: Cloud) -> Page:
    """The console page of the session's cloud, open in the browser, its panels filled."""
    assert cloud.console_url is not None, "the console page did not start: see console.log beside cloud.json"
    blank_page.goto(cloud.console_url)
    expect(blank_page.locator(".loading")).to_have_count(0)
    return blank_page
