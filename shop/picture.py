"""The demo's picture: made in code, and yet what a camera makes."""

import io
from typing import Final

from PIL import ExifTags, Image, ImageChops, ImageDraw

MEASURES: Final = (3_000, 4_000)
"""Width and height in pixels as one sees the picture upright: 12 megapixels."""
TURNED: Final = 6
"""EXIF's Orientation of a camera held upright: what is stored lies on its side (CIPA DC-008, Exif 2.32, 4.6.4)."""
_GRAIN: Final = 12
_QUALITY: Final = 90


def make() -> bytes:
    """Return a JPEG of a cup before an evening sky, with the grain of a sensor, stored on its side as by a camera."""
    upright = ImageChops.add(_scene(), _grain(), scale=1, offset=-128)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = TURNED
    exif[ExifTags.Base.Make] = "serverless-shop"
    content = io.BytesIO()
    # To be turned a quarter clockwise by whoever shows it.
    upright.transpose(Image.Transpose.ROTATE_90).save(content, "JPEG", quality=_QUALITY, exif=exif)
    return content.getvalue()


def _scene() -> Image.Image:
    width, height = MEASURES
    down = Image.linear_gradient("L")
    sky = Image.merge("RGB", (down.point(lambda v: 70 + v // 2), down.point(lambda v: 90 + v // 4), down.rotate(180)))
    scene = sky.resize(MEASURES, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(scene)
    draw.rectangle((0, height * 3 // 4, width, height), fill=(94, 60, 38))
    draw.ellipse((width * 3 // 4, height // 4, width, height * 7 // 16), outline=(250, 246, 240), width=width // 24)
    draw.rounded_rectangle(
        (width // 5, height // 5, width * 7 // 8, height * 4 // 5), radius=width // 8, fill=(250, 246, 240)
    )
    draw.ellipse((width // 4, height // 4, width * 5 // 6, height * 3 // 8), fill=(58, 32, 18))
    return scene


def _grain() -> Image.Image:
    """Noise around the middle grey, at half the resolution: a sensor's grain is coarser than a pixel."""
    half = (MEASURES[0] // 2, MEASURES[1] // 2)
    return Image.merge("RGB", [Image.effect_noise(half, _GRAIN).resize(MEASURES)] * 3)
