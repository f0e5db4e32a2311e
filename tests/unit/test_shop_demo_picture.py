"""The demo's picture is what a camera makes, and the demo's books notice every size that is missing or wrong."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from PIL import Image, ImageOps

from shop import demo, image_uploads, picture
from shop.image_uploads import Result, Upload
from shop.images import Images
from shop.ledger import Ledger, Picture, Resized, fitted
from shop.target import Target
from tests.unit import image_stack

GOOD = Resized("thumbnail", "made", (96, 128), (96, 128), 1_912, "demo/thumbnail.jpg")
SHOWN = Picture("run/original.jpg", (3_000, 4_000), 3_032_421, [GOOD])


def jpeg(measures: tuple[int, int], *, exif: bool = False) -> bytes:
    kept = Image.Exif()
    if exif:
        kept[0x0112] = picture.TURNED
    content = io.BytesIO()
    Image.new("RGB", measures, "brown").save(content, "JPEG", exif=kept)
    return content.getvalue()


def test_the_picture_is_stored_on_its_side_as_by_a_camera() -> None:
    content = picture.make()
    with Image.open(io.BytesIO(content)) as stored:
        assert (stored.format, stored.mode, stored.size) == ("JPEG", "RGB", (4_000, 3_000))
        upright = ImageOps.exif_transpose(stored)
    assert upright.size == picture.MEASURES
    small = upright.resize((30, 40), Image.Resampling.BOX)
    top, bottom = small.getpixel((1, 1)), small.getpixel((1, 38))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    # The sky is above and the table below: whoever turned it the wrong way would have one of them at a side.
    assert top[2] > top[0] + 50
    assert bottom[0] > bottom[2] + 30
    assert 1_000_000 < len(content) < 10_000_000


@pytest.mark.parametrize(
    ("measures", "box", "expected"),
    [
        ((3_000, 4_000), (128, 128), (96, 128)),
        ((4_000, 3_000), (640, 640), (640, 480)),
        ((3_000, 4_000), (128, 1_000), (128, 171)),
        ((100, 50), (640, 640), (100, 50)),
        ((30_000, 1), (128, 128), (128, 1)),
    ],
)
def test_a_size_keeps_the_aspect_and_never_enlarges(
    measures: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitted(measures, box) == expected


def test_sizes_as_they_should_be_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(picture=SHOWN)
    assert ledger.differences() == []
    assert ledger.summary()["picture"] == SHOWN
    demo._print_picture(SHOWN)
    shown = capsys.readouterr().out.splitlines()
    assert shown[3].split() == ["original", "3,000", "x", "4,000", "pixels", "3,032,421"]
    assert shown[4].split() == ["thumbnail", "96", "x", "128", "pixels", "1,912", "demo/thumbnail.jpg"]


def test_a_size_that_was_not_made_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    lost = replace(SHOWN, sizes=[GOOD, Resized("mobile", "failed", (480, 640))])
    assert Ledger(picture=lost).differences() == ["the picture's mobile was not made: failed"]
    demo._print_picture(lost)
    assert "failed" in capsys.readouterr().out


def test_a_size_that_lies_on_its_side_is_noticed() -> None:
    turned = replace(SHOWN, sizes=[replace(GOOD, measures=(128, 96))])
    assert Ledger(picture=turned).differences() == [
        "the picture's thumbnail has 128 x 96 pixels where 96 x 128 pixels should be"
    ]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Target]:
    """A stage that makes the thumbnail at once and never the larger size; its cloud's folder is a test's own."""
    monkeypatch.setenv("SHOP_LOCAL_DIR", str(tmp_path))
    monkeypatch.setattr(picture, "MEASURES", (30, 192))
    monkeypatch.setattr(picture, "make", lambda: jpeg((192, 30), exif=True))
    put = image_uploads.put

    def put_and_resize(images: Images, *arguments: Any) -> list[Upload]:
        (upload,) = put(images, *arguments)
        key = images.key(str(upload.name), images.sizes[0])
        made = {"source-version": str(upload.version)}
        images.s3.put_object(Bucket=images.bucket, Key=key, Body=jpeg((15, 96)), Metadata=made)
        return [upload]

    monkeypatch.setattr(image_uploads, "put", put_and_resize)
    monkeypatch.setattr(image_uploads, "POLL_EVERY", 0.01)
    monkeypatch.setattr(image_uploads, "_patience", lambda _: 0.2)
    with mock_aws():
        yield image_stack.deploy()


def test_results_are_written_to_the_clouds_folder(stage: Target, tmp_path: Path) -> None:
    resized = demo._resize(stage, "demo-x")
    file = tmp_path / "demo" / "thumbnail.jpg"
    assert (resized.name, resized.measures) == ("demo-x/original.jpg", (30, 192))
    assert resized.sizes == [
        Resized("thumbnail", "made", (15, 96), (15, 96), file.stat().st_size, str(file)),
        Resized("retina-large", Result("missing").state, (30, 192)),
    ]
    assert sorted(each.name for each in file.parent.iterdir()) == ["original.jpg", "thumbnail.jpg"]
