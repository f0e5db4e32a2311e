"""Takes the pictures of the console page that README and docs show: `make screenshots`.

On a local cloud of its own, in a temporary folder, with what `make demo` makes of a day: orders of all kinds, some of
them dead letters by the end, a product picture, a sales report. Then one burst more, to be seen on its way.
"""

from __future__ import annotations

import os
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from PIL import Image
from playwright.sync_api import expect

from shop import demo, orders, target
from shop.errors import ShopError
from shop.local import cloud as local_cloud
from shop.local.tools import ROOT
from shop.output import note
from tests.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from shop.local.cloud import Cloud

    Scheme = Literal["light", "dark"]

FOLDER: Final = ROOT / "docs" / "images"
LARGEST: Final = 300_000
"""Bytes of a picture: whoever clones the repository fetches all that ever were."""
_COLOURS: Final = 128
_WIDTH: Final = 1280
_PHONE_WIDTH: Final = 360
_TALLEST: Final = 1600
_TALLEST_TOP: Final = 1420
"""Pixels: all of the overview, and the first of the latest orders."""
_WAIT_MILLISECONDS: Final = 60_000
_MORE_ORDERS: Final = {"count": 20, "error_rate": 0.0, "seed": 7}
_PANELS: Final = ("overview", "orders", "dead_letters", "mailbox", "report", "images")


def take(cloud: Cloud, browser: Browser) -> None:
    """Take all pictures of a cloud in which something has happened."""
    expect.set_options(timeout=_WAIT_MILLISECONDS)
    orders.simulate(target.find(target.LOCAL), _MORE_ORDERS)
    page = _open(browser, cloud, "light", _WIDTH)
    _save(_top(page), "console")
    _fill(page)
    # As high as all of it: the header stays at the top of what a viewport shows, in front of a panel.
    page.set_viewport_size({"width": _WIDTH, "height": int(page.evaluate("document.body.scrollHeight"))})
    for name in _PANELS:
        _save(page.locator(f"#{name}").screenshot(), f"console-{name.replace('_', '-')}")
    _save(_top(_open(browser, cloud, "dark", _WIDTH)), "console-dark")
    _save(_top(_open(browser, cloud, "light", _PHONE_WIDTH)), "console-phone")


def _open(browser: Browser, cloud: Cloud, scheme: Scheme, width: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    page.set_default_timeout(_WAIT_MILLISECONDS)
    page.goto(str(cloud.console_url))
    expect(page.locator(".loading")).to_have_count(0)
    expect(page.locator("#latest-orders tbody tr").first).to_contain_text("recorded")
    expect(page.locator("#overview-picture")).to_contain_text(f"{_MORE_ORDERS['count']} published/min")
    return page


def _fill(page: Page) -> None:
    """Open what a person would: the failed orders, a mail, the day's report, the picture's sizes."""
    page.get_by_role("button", name="Show messages of orders").click()
    expect(page.locator("#dead-letter-messages")).to_contain_text("price_per_item")
    page.locator("#mailbox details summary").first.click()
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#report-shown")).to_be_visible()
    page.locator("#images-gallery button").first.click()
    expect(page.locator("#images figure img")).to_have_count(3)


def _top(page: Page) -> bytes:
    """The page from its beginning: as much of it as a picture may show."""
    width = page.evaluate("innerWidth")
    return page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": _TALLEST_TOP})


def _save(png: bytes, name: str) -> None:
    """Write a picture with few colours, which its flat areas do not miss. Raises ShopError where it is large still."""
    drawn = Image.open(BytesIO(png)).convert("RGB")
    drawn = drawn.crop((0, 0, drawn.width, min(drawn.height, _TALLEST)))
    content = BytesIO()
    drawn.quantize(_COLOURS, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    if content.tell() > LARGEST:
        raise ShopError(f"{name}.png: {content.tell():,} bytes are more than {LARGEST:,}")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.png").write_bytes(content.getvalue())
    note(f"wrote docs/images/{name}.png ({content.tell():,} bytes, {drawn.width} by {drawn.height})")


def main() -> int:
    """Take the pictures anew; returns the exit code."""
    program = chromium.find()
    if program is None:
        note(f"error: no Chromium on this machine: install it, or name one in {chromium.CHOICE}")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOP_LOCAL_DIR"] = folder
        try:
            demo.run()
            cloud = local_cloud.up(Path(folder), port=None, progress=note)
            with chromium.launched(program) as browser:
                take(cloud, browser)
        except ShopError as error:
            note(f"error: {error}")
            return 1
        finally:
            local_cloud.down(Path(folder), progress=note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
