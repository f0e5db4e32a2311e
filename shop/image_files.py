"""What a stored image is, by its own bytes: its name and its content type may be anybody's choice."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError
from PIL import ExifTags, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from shop.images import ORIGINAL, Images, key_of

_START_BYTES: Final = 512 * 1024
"""An image's measures stand at its beginning, after what a camera wrote about it."""
_SIGNATURES: Final = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
_READERS: Final[Mapping[str, Callable[[io.BytesIO], ImageFile.ImageFile]]] = {
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/png": PngImagePlugin.PngImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
}
_LYING: Final = (5, 6, 7, 8)
"""EXIF's orientations that swap width and height (CIPA DC-008, Exif 2.32, 4.6.4)."""


@dataclass(frozen=True)
class StoredImage:
    """One object of an image: the original, or what was made of it in one size."""

    label: str
    """Name of the size, `original` for the original."""
    bytes: int
    pixels: tuple[int, int] | None
    """Width and height as one sees it upright; None where that cannot be told."""
    content_type: str | None
    """None for what no browser should show as a picture."""
    etag: str


def look(images: Images, name: str) -> list[StoredImage]:
    """Return what there is of an image: the original first, then its sizes, the smallest first."""
    labels = [ORIGINAL, *(size.name for size in images.sizes)]
    return [found for label in labels if (found := _look_at(images, name, label))]


def _look_at(images: Images, name: str, label: str) -> StoredImage | None:
    found = _first_bytes(images, key_of(images, name, label))
    if found is None:
        return None
    start = found["Body"].read()
    total = int(found["ContentRange"].rpartition("/")[2])
    return StoredImage(label, total, pixels(start), content_type(start), found["ETag"].strip('"'))


def _first_bytes(images: Images, key: str) -> Mapping[str, Any] | None:
    try:
        return images.s3.get_object(Bucket=images.bucket, Key=key, Range=f"bytes=0-{_START_BYTES - 1}")
    except ClientError as error:
        # The second is S3's answer for an object without a byte.
        if error.response["Error"].get("Code") in {"NoSuchKey", "InvalidRange"}:
            return None
        raise


def content_type(start: bytes) -> str | None:
    """Return the media type of a JPEG, PNG or WebP by the bytes that it starts with, None for anything else."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)


def pixels(start: bytes) -> tuple[int, int] | None:
    """Return width and height of an image as one sees it upright, from its first bytes; None where they do not say."""
    kind = content_type(start)
    if kind is None:
        return None
    try:
        # Not by Image.open, which refuses what has many pixels: nothing is decoded here.
        opened = _READERS[kind](io.BytesIO(start))
        exif = Image.Exif()
        exif.load(opened.info.get("exif", b""))
        turned = exif.get(ExifTags.Base.Orientation) in _LYING
    except (OSError, SyntaxError, ValueError):
        return None
    width, height = opened.size
    return (height, width) if turned else (width, height)
