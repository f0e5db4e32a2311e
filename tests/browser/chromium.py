"""The machine's own Chromium, driven by Playwright; a browser is not downloaded."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

CHOICE: Final = "SHOP_CHROMIUM"
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC_APPS: Final = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


def find() -> str | None:
    """The program: SHOP_CHROMIUM, else one on PATH, else macOS's app; None where this machine has none."""
    chosen = os.environ.get(CHOICE)
    if chosen:
        return chosen
    on_path = (shutil.which(name) for name in _NAMES)
    return next((program for program in on_path if program), next(filter(os.path.exists, _MAC_APPS), None))


@contextmanager
def launched(program: str) -> Iterator[Browser]:
    """A headless browser for as long as the context lasts."""
    with sync_playwright() as playwright:
        # Its sandbox does not start as root and in many a container; all that is opened here is the project's own page.
        browser = playwright.chromium.launch(executable_path=Path(program), chromium_sandbox=False)
        try:
            yield browser
        finally:
            browser.close()
