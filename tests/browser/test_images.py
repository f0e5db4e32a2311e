"""Images in the browser: a picture is uploaded and seen beside what was made of it, and what is no picture is not."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.axe import axe
from tests.integration.images import SIZES, picture

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import FilePayload, Locator, Page

    from tests.integration.images import ImageFanout


@pytest.fixture
def panel(console_page: Page) -> Locator:
    return console_page.locator("#images-panel")


def choose(panel: Locator, file: Path | FilePayload) -> None:
    panel.get_by_label("Choose a picture").set_input_files(file)
    panel.get_by_role("button", name="Upload").click()


def test_a_picture_is_seen_beside_what_was_made_of_it(panel: Locator, images: ImageFanout) -> None:
    name = f"Caffè & {uuid.uuid4().hex[:8]}.jpg"
    content = picture(1200, 900)
    choose(panel, {"name": name, "mimeType": "image/jpeg", "buffer": content})
    expect(panel.get_by_role("status")).to_have_text(f"{name}: 2 sizes made.")
    expect(panel.get_by_role("figure").first).to_contain_text(f"1,200 \u00d7 900 pixels, {len(content):,} bytes")
    for size, pixels in SIZES.items():
        made = images.results(name)[size]
        figure = panel.get_by_role("figure").filter(has_text=size)
        share = f"{100 * len(made.content) / len(content):.1f} % of the original"
        height = pixels * 3 // 4
        expect(figure).to_contain_text(f"{pixels} \u00d7 {height} pixels, {len(made.content):,} bytes, {share}")
        # The browser has the picture itself, not only its address.
        expect(figure.get_by_role("img", name=f"{name}, {size}")).to_have_js_property("naturalWidth", pixels)
    axe(panel.page, "#images")

    panel.page.reload()
    panel.locator("#images-gallery").get_by_role("button", name=re.compile(re.escape(name))).click()
    expect(panel.locator("#images-shown").get_by_role("heading", name=name)).to_be_visible()
    expect(panel.get_by_role("figure")).to_have_count(3)


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [("notes.txt", b"x", "the stage makes images of .jpg only"), ("empty.jpg", b"", "is empty")],
)
def test_what_would_make_no_image_is_refused_beside_the_field(
    panel: Locator, name: str, content: bytes, rule: str
) -> None:
    choose(panel, {"name": name, "mimeType": "image/jpeg", "buffer": content})
    field = panel.get_by_label("Choose a picture")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile(re.escape(f"{name}: {rule}")))
    axe(panel.page, "#images")


def test_what_is_no_picture_is_refused_by_what_its_function_logs(panel: Locator, images: ImageFanout) -> None:
    name = f"{uuid.uuid4().hex}.jpg"
    choose(panel, {"name": name, "mimeType": "image/jpeg", "buffer": b"a text"})
    expect(panel.get_by_role("alert")).to_have_text(
        [re.compile(f"{size}: refused: no JPEG, .*shop logs Create") for size in SIZES]
    )
    s3, key = images.client("s3"), f"ingest/{name}"
    version = s3.head_object(Bucket=images.bucket, Key=key)["VersionId"]
    # The tries that follow then find nothing to do, and no dead letter is left.
    s3.delete_object(Bucket=images.bucket, Key=key, VersionId=version)
    expect(panel.get_by_role("button", name="Upload")).to_be_enabled()
    axe(panel.page, "#images")


def test_more_than_the_page_takes_is_a_sentence(panel: Locator, tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    with file.open("wb") as content:
        content.truncate(64 * 1024**2)
    choose(panel, file)
    expect(panel.get_by_label("Choose a picture")).to_have_accessible_description(re.compile("larger than 64 MB"))
