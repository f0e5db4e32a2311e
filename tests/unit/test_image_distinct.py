"""What tells the result of one version of an original from that of another with the same picture."""

import io
from typing import Literal

import pytest
from PIL import Image, ImageChops

from image_resizer.distinct import distinct
from image_resizer.resize import Spec, resize

FORMATS: tuple[Literal["jpeg", "webp"], ...] = ("jpeg", "webp")


def result(mode: str, image_format: Literal["jpeg", "webp"]) -> bytes:
    original = io.BytesIO()
    Image.linear_gradient("L").convert(mode).save(original, "PNG")
    return resize(original, Spec(128, 128, 85, image_format, 1_000_000)).content


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("image_format", FORMATS)
def test_each_version_has_bytes_of_its_own_and_the_same_pixels(
    mode: str, image_format: Literal["jpeg", "webp"]
) -> None:
    content = result(mode, image_format)
    versions = {distinct(content, str(number)) for number in range(20)}
    assert len(versions) == 20
    expected = Image.open(io.BytesIO(content)).convert("RGBA")
    for version in versions:
        found = Image.open(io.BytesIO(version))
        assert ImageChops.difference(found.convert("RGBA"), expected).getbbox(alpha_only=False) is None
        assert "dpi" not in found.info


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_same_version_has_the_same_bytes(image_format: Literal["jpeg", "webp"]) -> None:
    content = result("RGB", image_format)
    assert distinct(content, "1") == distinct(content, "1")


def test_a_jpeg_keeps_its_length_and_pixels_their_aspect() -> None:
    content = result("RGB", "jpeg")
    version = distinct(content, "1")
    assert len(version) == len(content)
    across, down = Image.open(io.BytesIO(version)).info["jfif_density"]
    assert across == down > 0


def test_anything_else_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        distinct(b"GIF89a", "1")
