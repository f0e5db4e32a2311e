"""Makes a small sRGB image of an image file: pure, no AWS.

An image is decoded at the smallest scale that its format offers and reduced; only then is it turned upright and
converted to sRGB, so that the costly steps see few pixels. What a bad file does to the decoders ends as `BadImage`.
docs/decisions/0015 has what was measured for the choices made here.
"""

import io
import math
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, cast

from PIL import Image, ImageCms, ImageFile, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

# Image.open loads the plugins of the first four itself; for these two, unless they are there, it would load all.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", WebPImagePlugin.WebPImageFile.format, TiffImagePlugin.TiffImageFile.format)
_MAX_SIDE = 65_535
"""Pixels; the most that a JPEG or a GIF can have. Pillow keeps a pointer for each row, which no pixel count limits."""
_MAX_RUN_LENGTH_PIXELS = 4_000_000
"""Of a run-length encoded BMP, which Pillow decodes in Python: a million pixels take 0.3 s where a run is one pixel."""
_MAX_SCANS = 100
"""Of a JPEG: encoders write about ten, and each costs a pass over the whole image."""
_MAX_READS = 200_000
"""Of a file. Pillow reads its parts one by one in Python: 100 MB of empty segments, chunks or blocks would take it
minutes and several gigabytes, where a PNG of 100 MB in pieces as small as encoders make takes 100,000 reads."""
_MAX_HEADER_BYTES = 20_000_000
"""Of a JPEG, PNG or GIF. A profile has at most 16 MB, and Pillow's time grows with the square of EXIF's length."""
_MAX_EXIF_BYTES = 1_000_000
"""Where orientation is looked for; a JPEG's segment has room for 65,533, but Pillow joins several."""
_MAX_TIFF_TAGS = 4_096
_MAX_TIFF_VALUES = 300_000
"""Of all tags together: Pillow makes an object of each, of up to 500 bytes. Tiles of 60 megapixels have 235,000."""
_BYTES_A_PIXEL = 4
"""Of a decoded image, as Pillow holds it."""
_REDUCING_GAP = 2.0
"""At least this factor is left to LANCZOS; the rest is averaged, which is faster."""
_STRIP_PIXELS = 1_000_000
_DETAILED_BYTES, _DETAILED_BITS_A_PIXEL = 16_000, 0.5
"""A JPEG of more than both is of a picture with so much detail that progressive is the smaller encoding."""
_STRAIGHT = {"La": "LA", "RGBa": "RGBA"}
"""The modes whose colours are multiplied by their transparency, and the same without."""

_TIFF_LAYOUTS = {42: ("4xL", "H", "HHL4x"), 43: ("8xQ", "Q", "HHQ8x")}
"""By version: the header with the first directory's offset, how many tags that has, and a tag: number, type, length."""
_TIFF_TEXT = {1, 2, 7}
"""The types that Pillow leaves as they are: bytes, text, anything."""
_TILE_WIDTH, _TILE_LENGTH = 0x0142, 0x0143
_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation (Exif 2.32, 4.6.4 A, tag Orientation); 1 is upright."""
_SIDEWAYS = range(5, 9)


class BadImage(Exception):
    """The file cannot be made into an image, now or ever; `reason` says why in a line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Spec:
    """What to make: the box that the image must fit, in pixels, and how it is encoded."""

    width: int
    height: int
    quality: int
    """1 to 95, as the encoders understand it."""
    image_format: Literal["jpeg", "webp"]
    max_pixels: int
    """Files with more are refused, by what their header says, before anything is decoded."""


@dataclass(frozen=True)
class Result:
    """An encoded image without metadata, and its size in pixels."""

    content: bytes
    content_type: str
    width: int
    height: int


def resize(source: BinaryIO, spec: Spec) -> Result:
    """Makes an image that fits the box, upright and in sRGB; an animation gives its first frame.

    The content of `source` decides what format it is read as. The same content and spec give the same bytes. An image
    that fits already keeps its size. Transparency is kept for WebP and laid on white for JPEG.

    Takes `source` over: it is closed afterwards, and before decoding where the decoder has a copy of its own. At its
    peak it takes, beside the file, 12 bytes for each of `max_pixels` (docs/decisions/0015).

    Raises:
        BadImage: the file is empty, no JPEG, PNG, WebP, GIF, BMP or TIFF, cut short or corrupt, or too large.
    """
    with source, _pillow_limited_to(spec.max_pixels), _blame_on_file():
        image = _open(source, spec.max_pixels)
        small = _to_srgb(_upright_and_small(image, (spec.width, spec.height)), image.info.get("icc_profile"))
    return _encode(small, spec)


@contextmanager
def _pillow_limited_to(max_pixels: int) -> Iterator[None]:
    """Makes our limit Pillow's own, which guards what decoders allocate before we see a size, and keeps it quiet."""
    usual = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, which we check, and about odd metadata, which goes anyway
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = usual


@contextmanager
def _blame_on_file() -> Iterator[None]:
    """Turns whatever Pillow raises while it reads a file into `BadImage`: its parsers have no common exception."""
    try:
        yield
    except BadImage:
        raise
    except Exception as error:
        detail = " ".join(str(error).split()) or "no detail"
        raise BadImage(f"the file cannot be decoded: {type(error).__name__}: {detail}") from error


def _open(source: BinaryIO, max_pixels: int) -> ImageFile.ImageFile:
    """Reads the header and refuses what it tells to be too large; no pixel is decoded yet."""
    if not source.seek(0, io.SEEK_END):
        raise BadImage("the file is empty")
    _check_tiff_tags(source)
    reader = _Reader(source)
    try:
        image = Image.open(cast("BinaryIO", reader), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise BadImage("no JPEG, PNG, WebP, GIF, BMP or TIFF image, or its header is broken") from error
    except Image.DecompressionBombError as error:
        raise BadImage(f"more than {max_pixels:,} pixels, by its header: {error}") from error
    reader.most_bytes = sys.maxsize
    _check_size(image, max_pixels)
    _check_cost(image, source, max_pixels)
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        source.close()
        image._decoder = _FirstFrame(image._decoder)
    return image


class _Reader:
    """A file that is read only so often, and of whose header only so much."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._reads = 0
        source.seek(0)
        is_read_whole = not source.read(4).startswith((b"\xff\xd8", b"\x89PNG", b"GIF8"))
        self.most_bytes = sys.maxsize if is_read_whole else _MAX_HEADER_BYTES
        source.seek(0)

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the file."""
        content = self._source.read(size)
        self._reads += 1
        if self._reads > _MAX_READS:
            raise BadImage(f"a file of more than {_MAX_READS:,} segments, chunks or blocks")
        if self._source.tell() > self.most_bytes:
            raise BadImage(f"a header of more than {_MAX_HEADER_BYTES:,} bytes")
        return content

    def __getattr__(self, name: str) -> Any:
        """Whatever else a file can."""
        return getattr(self._source, name)


def _check_tiff_tags(source: BinaryIO) -> None:
    """Refuses a TIFF whose tags would take far more memory than their bytes (TIFF 6.0, section 2; BigTIFF)."""
    source.seek(0)
    head = source.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = struct.unpack(f"{order}H", head[2:4])[0] if order and len(head) == 16 else 0  # noqa: PLR2004
    if version not in _TIFF_LAYOUTS:
        return
    header_format, count_format, tag_format = (f"{order}{each}" for each in _TIFF_LAYOUTS[version])
    source.seek(min(struct.unpack_from(header_format, head)[0], sys.maxsize))
    count = int.from_bytes(source.read(struct.calcsize(count_format)), "little" if order == "<" else "big")
    if count > _MAX_TIFF_TAGS:
        raise BadImage(f"a TIFF of {count:,} tags, more than {_MAX_TIFF_TAGS:,}")
    tags = source.read(count * struct.calcsize(tag_format))
    whole = tags[: len(tags) - len(tags) % struct.calcsize(tag_format)]
    values = sum(length for _, kind, length in struct.iter_unpack(tag_format, whole) if kind not in _TIFF_TEXT)
    if values > _MAX_TIFF_VALUES:
        raise BadImage(f"a TIFF whose tags have {values:,} values, more than {_MAX_TIFF_VALUES:,}")


class _FirstFrame:
    """A decoder of WebP that is gone once it has given a frame.

    It holds two images of the full size and a copy of the file, which would stay while Pillow makes two more.
    """

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def get_next(self) -> Any:
        """The frame and its time, as `WebPImageFile` asks for it."""
        frame = self._decoder.get_next()
        self._decoder = None
        return frame


def _check_size(image: ImageFile.ImageFile, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width:,} by {height:,} are {width * height:,} pixels, more than {max_pixels:,}")
    if max(width, height) > _MAX_SIDE:
        raise BadImage(f"{width:,} by {height:,}: a side is longer than {_MAX_SIDE:,} pixels")


def _check_cost(image: ImageFile.ImageFile, source: BinaryIO, max_pixels: int) -> None:
    """Refuses what would take far more memory or time than its size in pixels lets expect."""
    piece = _tiff_piece(image) if isinstance(image, TiffImagePlugin.TiffImageFile) else 0
    if piece > max_pixels * _BYTES_A_PIXEL:
        raise BadImage(f"a TIFF strip or tile of {piece:,} bytes, more than {max_pixels * _BYTES_A_PIXEL:,}")
    if image.tile and image.tile[0][0] == "bmp_rle" and image.width * image.height > _MAX_RUN_LENGTH_PIXELS:
        raise BadImage(f"a run-length encoded BMP of more than {_MAX_RUN_LENGTH_PIXELS:,} pixels")
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    if is_jpeg and not _is_in_one_scan(image, source) and (scans := _scans(source)) > _MAX_SCANS:
        raise BadImage(f"a JPEG of {scans:,} scans, more than {_MAX_SCANS:,}")


def _tiff_piece(image: TiffImagePlugin.TiffImageFile) -> int:
    """Bytes of a strip or tile, which libtiff decodes whole beside the image (TIFF 6.0, sections 3, 8 and 15)."""
    tags = image.tag_v2
    samples = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    bits = max(samples) * max(len(samples), tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1), 1)
    width = tags.get(_TILE_WIDTH, tags[TiffImagePlugin.IMAGEWIDTH])
    length = tags.get(_TILE_LENGTH, min(tags.get(TiffImagePlugin.ROWSPERSTRIP, _MAX_SIDE), max(image.size)))
    return int(width * length * bits // 8)


def _is_in_one_scan(image: ImageFile.ImageFile, source: BinaryIO) -> bool:
    """Whether the first scan of a JPEG, after whose header Pillow stopped reading, has all of the image (T.81, B.2.3).

    Such are the JPEGs that cameras make, and the decoder is done after it. To search a large file takes longer than
    all else here but decoding.
    """
    if image.format == "MPO" or "progressive" in image.info:
        return False
    components = len(image.getbands())
    header_length = 6 + 2 * components
    source.seek(-header_length, io.SEEK_CUR)
    return source.read(3) == bytes([0, header_length, components])


def _scans(source: BinaryIO) -> int:
    """How often a JPEG's marker "start of scan" is in the file, put back to where it was."""
    position = source.seek(0, io.SEEK_CUR)
    source.seek(0)
    scans, last = 0, b""
    while block := source.read(1 << 20):
        scans += (last + block).count(b"\xff\xda")
        last = block[-1:]
    source.seek(position)
    return scans


def _upright_and_small(image: ImageFile.ImageFile, box: tuple[int, int]) -> Image.Image:
    """The image within the box, in one of the modes `_working_mode` gives."""
    orientation = _orientation(image)
    sideways = orientation in _SIDEWAYS
    width, height = _fit(image.size[::-1] if sideways else image.size, box)
    size = (height, width) if sideways else (width, height)
    scaled = image.draft(None, size)  # JPEG's decoder can give 1/2, 1/4 or 1/8
    area = scaled[1] if scaled else (0, 0, *image.size)
    small = _reduce(image, size, (area[2], area[3]))
    return small.transpose(_TURNS[orientation]) if orientation in _TURNS else small


def _orientation(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation; 1 where it has none or a broken one, and for TIFF, which Pillow turns as it loads it."""
    if image.format == "TIFF":
        return 1
    if image.format == "PNG":
        image.load()  # its EXIF may come after the pixels; what is wrong with these must not be hidden here
    if len(image.info.get("exif", b"")) > _MAX_EXIF_BYTES:
        return 1
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - broken metadata is no reason to refuse a picture, whatever its parser raises
        return 1


def _fit(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest size within the box with the same aspect, to the nearest pixel and at least 1; never enlarged."""
    (width, height), (box_width, box_height) = size, box
    if width <= box_width and height <= box_height:
        return size
    aspect = width / height
    if box_width / box_height >= aspect:
        return _nearest(box_height * aspect, lambda x: abs(aspect - x / box_height)), box_height
    return box_width, _nearest(box_width / aspect, lambda y: abs(aspect - box_width / y) if y else 0)


def _nearest(length: float, error: Callable[[int], float]) -> int:
    """Of the whole pixels beside the length, that whose aspect is nearer, as `Image.thumbnail` rounds."""
    return max(min(math.floor(length), math.ceil(length), key=error), 1)


def _reduce(image: ImageFile.ImageFile, size: tuple[int, int], area: tuple[float, float]) -> Image.Image:
    """Averages by a whole factor, then resamples what is left with LANCZOS.

    The area is what of the decoded image, in its pixels, the original covers: a scaled JPEG's last row and column
    may be cells that it covers in part.
    """
    image.load()
    factors = tuple(max(1, int(length / target / _REDUCING_GAP)) for length, target in zip(area, size, strict=True))
    reduced = _averaged(image, (factors[0], factors[1]))
    box = (0, 0, area[0] / factors[0], area[1] / factors[1])
    return reduced.resize(size, Image.Resampling.LANCZOS, box=box)


def _averaged(image: Image.Image, factors: tuple[int, int]) -> Image.Image:
    """The image in its working mode, reduced; in strips, so that no second image of the full size is in memory."""
    mode = _working_mode(image)
    if image.mode == mode:
        return image if factors == (1, 1) else image.reduce(factors)
    across, down = factors
    reduced = Image.new(mode, (math.ceil(image.width / across), math.ceil(image.height / down)))
    rows = max(1, _STRIP_PIXELS // image.width // down) * down
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        reduced.paste(_converted(strip, mode).reduce(factors), (0, top // down))
    return reduced


def _working_mode(image: Image.Image) -> str:
    """The mode in which pixels can be averaged: with transparency, colours that are multiplied by it.

    Raises:
        BadImage: pixels of 32 bits, whose black and white no standard fixes.
    """
    if image.mode in {"I", "F"}:
        raise BadImage("pixels of 32 bits a channel are not supported")
    if image.mode in {"CMYK", "LAB"}:
        return image.mode
    if image.mode.startswith("I;16"):
        return "L"
    if image.has_transparency_data:
        return "La" if image.mode == "LA" else "RGBa"
    return "L" if image.mode in {"1", "L"} else "RGB"


def _converted(strip: Image.Image, mode: str) -> Image.Image:
    if strip.mode.startswith("I;16"):
        return strip.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if mode == "RGBa" and strip.mode not in {"RGBA", "RGBa"}:
        return strip.convert("RGBA").convert("RGBa")
    return strip.convert(mode)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in L, RGB or RGBA, its colours by the embedded profile, or plainly where that is broken."""
    if image.mode in _STRAIGHT:
        straight = image.convert(_STRAIGHT[image.mode])
        coloured = _to_srgb(straight.convert(straight.mode.removesuffix("A")), profile).convert("RGB")
        coloured.putalpha(straight.getchannel("A"))
        return coloured
    converted = _by_profile(image, profile) if profile or image.mode == "LAB" else None
    return converted or (image if image.mode in {"L", "RGB"} else image.convert("RGB"))


def _by_profile(image: Image.Image, profile: bytes | None) -> Image.Image | None:
    """The image in sRGB by its profile (Lab's is implied); None where the profile is broken or of another mode."""
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(
            image,
            embedded,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return _by_profile(image, None) if profile and image.mode == "LAB" else None
    if converted is None:
        return None
    return converted.convert("L") if image.mode == "L" else converted


def _encode(image: Image.Image, spec: Spec) -> Result:
    """Encodes without metadata: what Pillow would copy from `info` is not there."""
    image.info = {}
    if spec.image_format == "webp":
        return Result(_saved(image, "WEBP", quality=spec.quality), "image/webp", *image.size)
    with _room_for_a_whole_jpeg(image.size):
        content = _smaller_jpeg(_on_white(image), spec.quality)
    return Result(content, "image/jpeg", *image.size)


def _smaller_jpeg(image: Image.Image, quality: int) -> bytes:
    """Progressive or baseline, whichever is smaller; a photo's progressive is taken without trying the other.

    What is small or smooth is often smaller as baseline, by a tenth. Beyond these bounds that was never by more than
    0.5 % (noise), and progressive up to 10 % smaller (docs/decisions/0015).
    """
    progressive = _saved(image, "JPEG", quality=quality, optimize=True, progressive=True)
    if len(progressive) > max(_DETAILED_BYTES, image.width * image.height * _DETAILED_BITS_A_PIXEL / 8):
        return progressive
    return min(_saved(image, "JPEG", quality=quality, optimize=True), progressive, key=len)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    return white


@contextmanager
def _room_for_a_whole_jpeg(size: tuple[int, int]) -> Iterator[None]:
    """Pillow's buffer for an optimised JPEG, a byte a pixel, is too small for noise at a quality of 94."""
    usual = ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(usual, 2 * size[0] * size[1])
    try:
        yield
    finally:
        ImageFile.MAXBLOCK = usual


def _saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, image_format, **options)
    return content.getvalue()
