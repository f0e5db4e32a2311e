"""The panel `images`: uploading, what was made beside its original, and bytes that are served as pictures only."""

from __future__ import annotations

import io
import json
import tempfile
import urllib.parse
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from PIL import ExifTags, Image

from shop import dead_letters, image_uploads
from shop.errors import ShopError
from shop.image_files import pixels
from shop.images import Images, list_newest, open_images
from tests.polling import eventually
from tests.unit import image_stack
from tests.unit.console_panels import OWN, KnownStage, browse, parse, text
from tests.unit.image_stack import BUCKET, MAX_FILE_BYTES

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from collections.abc import Iterator
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from shop.target import Target

STRANGE = "Caffè & 50% +1 杯.jpg"


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Images]:
    """The images of a stage in moto; what the page keeps of uploads for a while goes to the test's folder."""
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0)
    monkeypatch.setattr(image_uploads, "POLL_EVERY", 0.01)
    monkeypatch.setattr(image_uploads, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with mock_aws():
        yield open_images(image_stack.deploy())


@pytest.fixture
def browser(images: Images) -> FlaskClient:
    """A browser at the page of the stage, which may act."""
    return browse(KnownStage({"image-fanout": images.where}, "dev", may_act=True))


def picture(image_format: str = "JPEG", size: tuple[int, int] = (40, 30), orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    content = io.BytesIO()
    Image.new("RGB", size, "teal").save(content, image_format, exif=exif)
    return content.getvalue()


def store(images: Images, key: str, content: bytes, version: str | None = None) -> str:
    metadata = {} if version is None else {"source-version": version}
    return images.s3.put_object(Bucket=BUCKET, Key=key, Body=content, ContentType="text/html", Metadata=metadata)[
        "VersionId"
    ]


def store_all(images: Images, name: str) -> None:
    version = store(images, f"ingest/{name}", picture(size=(400, 300)))
    for size in images.sizes:
        store(images, images.key(name, size), picture("WEBP"), version)


def send(browser: FlaskClient, content: bytes, name: str = STRANGE) -> TestResponse:
    return browser.post("/images/upload", data={"picture": (io.BytesIO(content), name)}, headers=OWN)


def ended(browser: FlaskClient) -> TestResponse:
    """What the page shows once an upload has ended."""

    def answer() -> TestResponse | None:
        got = browser.get("/images/upload")
        return None if "images-running" in got.text else got

    return eventually(answer)


def resize(images: Images) -> None:
    """Make what the functions make of the picture that is being uploaded."""
    found = eventually(lambda: images.head(f"ingest/{STRANGE}"))
    for size in images.sizes:
        store(images, images.key(STRANGE, size), picture("WEBP", (20, 15)), found["VersionId"])


def captions(root: ET.Element) -> list[str]:
    return [text(each) for each in root.iter("figcaption")]


def test_the_form_says_what_the_stage_makes(browser: FlaskClient) -> None:
    root = parse(browser.get("/images/").text)
    [field] = root.iter("input")
    assert field.get("accept") == ".jpg,.png"
    assert (
        text(root, ".//label/small") == ".jpg, .png: thumbnail fits 128 \u00d7 96, retina-large fits 2048 \u00d7 2048"
    )


def test_an_upload_is_shown_beside_what_was_made_of_it(browser: FlaskClient, images: Images, tmp_path: Path) -> None:
    content = picture(size=(400, 300), orientation=6)
    answer = send(browser, content)
    assert "images-running" in answer.text
    resize(images)
    answer = ended(browser)
    root = parse(answer.text)
    assert answer.headers["HX-Trigger"] == "images-changed"
    assert text(root, ".//*[@role='status']") == f"{STRANGE}: 2 sizes made."
    made = len(picture("WEBP", (20, 15)))
    share = f"{100 * made / len(content):.1f} %"
    assert captions(root) == [
        f"original 300 \u00d7 400 pixels, {len(content):,} bytes",
        f"thumbnail 20 \u00d7 15 pixels, {made:,} bytes, {share} of the original",
        f"retina-large 20 \u00d7 15 pixels, {made:,} bytes, {share} of the original",
    ]
    assert next(root.iter("img")).get("alt") == f"{STRANGE}, original"
    assert [browser.get(each.get("src") or "").mimetype for each in root.iter("img")] == [
        "image/jpeg",
        "image/webp",
        "image/webp",
    ]
    assert list(tmp_path.iterdir()) == []


def test_an_upload_has_ended_though_its_pictures_cannot_be_shown(
    browser: FlaskClient, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "<no>"}}, "GetObject")

    monkeypatch.setattr("shop.console.images.look", denied)
    send(browser, picture())
    resize(images)
    root = parse(ended(browser).text)
    assert text(root, ".//*[@role='status']") == f"{STRANGE}: 2 sizes made."
    assert text(root, ".//*[@role='alert']") == "GetObject: AccessDenied: <no>"


def test_a_stage_that_does_not_answer_leaves_no_file_behind(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def down(*_: object) -> None:
        raise ShopError("the cloud is down")

    monkeypatch.setattr("shop.console.images.open_images", down)
    answer = send(browser, picture())
    assert text(parse(answer.text), ".//*[@role='alert']") == "the cloud is down"
    assert "HX-Retarget" not in answer.headers  # beside the form, which stays
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("image_format", "size", "is_shown"), [("PNG", (1_000, 1_000), True), ("PNG", (1_001, 1_000), False)]
)
def test_an_original_of_more_pixels_than_the_stage_takes_is_told_in_words(
    browser: FlaskClient, images: Images, image_format: str, size: tuple[int, int], is_shown: bool
) -> None:
    store(images, "ingest/large.png", picture(image_format, size))
    root = parse(browser.get("/images/shown?name=large.png").text)
    [caption] = captions(root)
    assert caption.startswith(f"original {size[0]:,} \u00d7 1,000 pixels, ")
    assert bool(list(root.iter("img"))) == is_shown
    assert ("Too large to be shown here." in text(root)) != is_shown


def test_pixels_are_told_by_the_beginning_of_a_file_however_many_they_are() -> None:
    content = io.BytesIO()
    Image.new("1", (16_000, 14_000)).save(content, "PNG")
    assert pixels(content.getvalue()[:1_000]) == (16_000, 14_000)
    assert pixels(picture("PNG", (40, 30), orientation=6)) == (30, 40)


def test_an_upload_that_is_refused_says_why_before_it_is_a_dead_letter(browser: FlaskClient, images: Images) -> None:
    send(browser, b"no picture at all")
    found = eventually(lambda: images.head(f"ingest/{STRANGE}"))
    line = {"message": "bad image", "key": f"ingest/{STRANGE}", "version_id": found["VersionId"], "reason": "no JPEG"}
    for size in images.sizes:
        image_stack.log(images.where, size.function_name, **line)
    root = parse(ended(browser).text)
    alerts = [text(each) for each in root.findall(".//*[@role='alert']")]
    assert len(alerts) == len(images.sizes)
    assert all(": refused: no JPEG; it is tried three times" in each for each in alerts)
    assert root.find(".//button").get("disabled") is None  # type: ignore[union-attr]


def test_no_picture_ends_as_its_dead_letter_says(browser: FlaskClient, images: Images) -> None:
    send(browser, b"no picture at all")
    found = eventually(lambda: images.head(f"ingest/{STRANGE}"))
    key = urllib.parse.quote_plus(f"ingest/{STRANGE}", safe="/")
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": BUCKET},
            "object": {"key": key, "sequencer": "0A", "versionId": found["VersionId"]},
        },
    }
    for size in images.sizes:
        images.where.client("sqs").send_message(
            QueueUrl=size.dead_letter_queue_url, MessageBody=json.dumps({"Records": [record]})
        )
    root = parse(ended(browser).text)
    alerts = [text(each) for each in root.findall(".//*[@role='alert']")]
    assert [each.split(": ")[1] for each in alerts] == ["thumbnail", "retina-large"]
    assert all("failed three times; its event is in the dead-letter queue" in each for each in alerts)
    assert not list(root.iter("img"))
    assert captions(root) == ["original 17 bytes"]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("notes.txt", b"x", "notes.txt: the stage makes images of .jpg, .png only (upper and lower case differ)"),
        ("empty.jpg", b"", "empty.jpg: is empty"),
        ("large.jpg", b"x" * (MAX_FILE_BYTES + 1), "large.jpg: 5,001 bytes are more than the 5,000"),
        ("../../up.txt", b"x", "up.txt: the stage makes images of"),
    ],
)
def test_what_the_stage_would_refuse_is_said_beside_the_field(
    browser: FlaskClient, images: Images, tmp_path: Path, name: str, content: bytes, line: str
) -> None:
    send(browser, content, name)
    root = parse(ended(browser).text)
    [field] = root.iter("input")
    assert field.get("aria-invalid") == "true"
    assert text(root, f".//*[@id='{field.get('aria-describedby')}']").startswith(line)
    assert "Contents" not in images.s3.list_objects_v2(Bucket=BUCKET)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "a" * 300 + ".jpg"])
def test_a_name_that_no_file_has_is_refused_at_once(browser: FlaskClient, tmp_path: Path, name: str) -> None:
    answer = send(browser, b"x", name)
    assert answer.status_code == 422
    assert parse(answer.text).find(".//*[@class='field-error']") is not None
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_page_takes_is_a_sentence(browser: FlaskClient) -> None:
    browser.application.config["MAX_CONTENT_LENGTH"] = 1024**2
    answer = send(browser, b"x" * 1024**2)
    assert answer.status_code == 413
    assert text(parse(answer.text), ".//*[@class='field-error']") == (
        "the picture is larger than 1 MB, the most that this page takes"
    )


def test_one_upload_at_a_time(browser: FlaskClient, images: Images, tmp_path: Path) -> None:
    send(browser, picture())
    eventually(lambda: images.head(f"ingest/{STRANGE}"))
    second = send(browser, picture(), "second.jpg")
    assert second.status_code == 422
    assert "the upload is running already" in second.text
    assert "images-running" in second.text
    helper = Thread(target=resize, args=(images,))
    helper.start()
    assert "2 sizes made" in ended(browser).text
    helper.join()
    assert images.head("ingest/second.jpg") is None
    assert list(tmp_path.iterdir()) == []


def test_the_gallery_has_the_newest_first_and_leads_to_each(browser: FlaskClient, images: Images) -> None:
    store_all(images, "b/ü &1.jpg")
    store(images, "ingest/a.jpg", b"x")
    root = parse(browser.get("/images/gallery").text)
    told = {text(button, "span"): text(button, "small") for button in root.iter("button")}
    assert told == {
        "b/ü &1.jpg": f"{len(picture(size=(400, 300))):,} bytes",
        "a.jpg": "1 bytes; no thumbnail; no retina-large",
    }
    [shown] = [button for button in root.iter("button") if text(button, "span").startswith("b/")]
    assert shown.get("hx-target") == "#images-shown"
    [image] = shown.iter("img")
    assert browser.get(image.get("src") or "").data == picture("WEBP")
    compared = parse(browser.get(shown.get("hx-get") or "").text)
    assert [each.get("id") for each in compared.iter("figure")] == [
        "images-original",
        "images-thumbnail",
        "images-retina-large",
    ]


def test_the_newest_are_those_that_were_uploaded_last(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b", "c", "a"):
        store(images, f"ingest/{name}.jpg", b"x")
    pages = images.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    for hour, name in enumerate(("b", "c", "a")):
        [entry] = [each for each in pages if each["Key"] == f"ingest/{name}.jpg"]
        entry["LastModified"] = entry["LastModified"].replace(year=2000, hour=hour)
    monkeypatch.setattr("shop.images._originals", lambda _: iter(pages))
    listing = list_newest(images, 2)
    assert ([image.name for image in listing.images], listing.has_more) == (["a.jpg", "c.jpg"], True)


@pytest.mark.parametrize(
    ("image_format", "kind"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]
)
def test_a_picture_is_served_as_what_it_is(browser: FlaskClient, images: Images, image_format: str, kind: str) -> None:
    store(images, "ingest/x.jpg", picture(image_format))
    answer = browser.get("/images/file/original?name=x.jpg")
    assert (answer.data, answer.headers["Content-Type"]) == (picture(image_format), kind)
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("content", [b"<script>alert(1)</script>", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b""])
def test_what_is_no_picture_is_not_served(browser: FlaskClient, images: Images, content: bytes) -> None:
    store(images, "ingest/x.jpg", content)
    answer = browser.get("/images/file/original?name=x.jpg")
    assert answer.status_code == 404
    assert b"script" not in answer.data
    assert b"svg" not in answer.data


@pytest.mark.parametrize("address", ["original?name=gone.jpg", "thumbnail?name=gone.jpg", "huge?name=x.jpg"])
def test_what_is_not_there_is_not_found(browser: FlaskClient, address: str) -> None:
    assert browser.get(f"/images/file/{address}").status_code == 404


def test_an_image_that_is_gone_is_said(browser: FlaskClient) -> None:
    answer = browser.get("/images/shown?name=gone.jpg")
    assert answer.status_code == 422
    assert "there is no image gone.jpg" in answer.text


def test_a_stage_is_asked_once_what_it_makes_until_its_cloud_is_another(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []

    def reopen(where: Target) -> Images:
        opened.append(where.cloud)
        return replace(images, where=where)

    monkeypatch.setattr("shop.console.images.open_images", reopen)
    systems = {"image-fanout": images.where}
    browser = browse(KnownStage(systems, "dev"))
    for _ in range(2):
        assert browser.get("/images/gallery").status_code == 200
    assert opened == [None]
    other = cast("Any", object())
    systems["image-fanout"] = replace(images.where, cloud=other)
    for _ in range(2):
        assert browser.get("/images/gallery").status_code == 200
    assert opened == [None, other]


def test_who_may_only_look_is_shown_no_form_and_refused(images: Images) -> None:
    browser = browse(KnownStage({"image-fanout": images.where}, "dev", may_act=False))
    assert not list(parse(browser.get("/images/").text).iter("form"))
    assert send(browser, picture()).status_code == 403
    assert "Contents" not in images.s3.list_objects_v2(Bucket=BUCKET)


def test_an_upload_that_ends_before_it_is_answered_is_told_at_once(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AtOnce(Thread):
        def start(self) -> None:
            self.run()

    monkeypatch.setattr("shop.console.jobs.Thread", AtOnce)
    answer = send(browser, b"x", "notes.txt")
    assert "notes.txt: the stage makes images of" in answer.text
    assert 'aria-invalid="true"' in answer.text
