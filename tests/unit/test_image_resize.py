"""What becomes of an image, whatever its format, mode, orientation and profile, and how a bad file ends."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat, TiffImagePlugin

from image_resizer.resize import BadImage, Result, Spec, resize
from tests.unit import colour_profiles

RED, GREEN, BLUE, WHITE = (230, 30, 30), (30, 200, 30), (30, 30, 230), (250, 250, 250)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SMALL = Spec(128, 128, 85, "jpeg", 1_000_000)
WEBP = Spec(128, 128, 85, "webp", 1_000_000)
SHARP = Spec(1280, 1280, 95, "jpeg", 4_000_000)
EXIF_ORIENTATION = 0x0112


def quarters(width: int = 400, height: int = 300) -> Image.Image:
    """Red, green; blue, white."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(WHITE, (width // 2, height // 2, width, height))
    return image


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, image_format, **options)
    return content.getvalue()


def made(content: bytes, spec: Spec = SMALL) -> Image.Image:
    return Image.open(io.BytesIO(resize(io.BytesIO(content), spec).content))


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours amid the four quarters."""
    width, height = image.size
    rgb = image.convert("RGB")
    places = [(x, y) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    pixels = [rgb.getpixel(place) for place in places]
    return [pixel for pixel in pixels if isinstance(pixel, tuple)]


def assert_close(found: list[tuple[int, ...]], expected: list[tuple[int, int, int]], within: int = 12) -> None:
    for one, other in zip(found, expected, strict=True):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) <= within, (found, expected)


def reason(content: bytes, spec: Spec = SMALL) -> str:
    with pytest.raises(BadImage) as refusal:
        resize(io.BytesIO(content), spec)
    assert str(refusal.value) == refusal.value.reason
    assert "\n" not in refusal.value.reason
    return refusal.value.reason


@pytest.mark.parametrize("image_format", FORMATS)
def test_each_format_is_read_by_its_content(image_format: str) -> None:
    image = made(encoded(quarters(), image_format))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (128, 96))
    assert_close(corners(image), [RED, GREEN, BLUE, WHITE], 25 if image_format == "GIF" else 12)


@pytest.mark.parametrize("image_format", ["PPM", "PCX", "TGA", "ICO", "SGI", "EPS", "PDF"])
def test_other_formats_are_refused(image_format: str) -> None:
    assert reason(encoded(quarters(), image_format)).startswith("no JPEG, PNG, WebP, GIF, BMP or TIFF image")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_upright(image_format: str, orientation: int) -> None:
    """Each orientation as Exif 2.32 has it: how what is stored must be turned to be what was seen."""
    stored = {
        1: [RED, GREEN, BLUE, WHITE], 2: [GREEN, RED, WHITE, BLUE], 3: [WHITE, BLUE, GREEN, RED],
        4: [BLUE, WHITE, RED, GREEN], 5: [RED, BLUE, GREEN, WHITE], 6: [GREEN, WHITE, RED, BLUE],
        7: [WHITE, GREEN, BLUE, RED], 8: [BLUE, RED, WHITE, GREEN],
    }[orientation]  # fmt: skip
    size = (300, 400) if orientation > 4 else (400, 300)
    image = Image.new("RGB", size)
    for index, colour in enumerate(stored):
        left, top = index % 2 * size[0] // 2, index // 2 * size[1] // 2
        image.paste(colour, (left, top, left + size[0] // 2, top + size[1] // 2))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    upright = made(encoded(image, image_format, exif=exif))
    assert upright.size == (128, 96)
    assert_close(corners(upright), [RED, GREEN, BLUE, WHITE])


def test_a_turned_jpeg_is_decoded_at_the_scale_of_the_turned_box() -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    content = encoded(quarters(2000, 1000), "JPEG", exif=exif)
    assert made(content, Spec(500, 1000, 85, "jpeg", 10_000_000)).size == (500, 1000)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"]
)
def test_broken_exif_is_no_reason_to_refuse(exif: bytes) -> None:
    assert_close(corners(made(encoded(quarters(), "JPEG", exif=exif))), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((100, 50), (128, 128), (100, 50)),
        ((1, 1), (128, 128), (1, 1)),
        ((128, 129), (128, 128), (127, 128)),
        ((30_000, 1), (128, 128), (128, 1)),
        ((1, 30_000), (128, 128), (1, 128)),
        ((400, 301), (128, 128), (128, 96)),
        ((300, 400), (64, 128), (64, 85)),
    ],
)
def test_the_aspect_is_kept_and_nothing_enlarged(
    size: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]
) -> None:
    result = resize(io.BytesIO(encoded(Image.new("RGB", size), "PNG")), Spec(*box, 85, "jpeg", 1_000_000))
    assert (result.width, result.height) == made(result.content).size == expected


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 200), st.integers(1, 200))
@settings(deadline=None, max_examples=150)
def test_the_size_is_that_of_pillows_own_thumbnail(width: int, height: int, across: int, down: int) -> None:
    image = Image.new("L", (width, height))
    result = resize(io.BytesIO(encoded(image, "PNG", compress_level=1)), Spec(across, down, 85, "jpeg", 1_000_000))
    image.thumbnail((across, down))
    assert (result.width, result.height) == image.size


def grey_ramp(mode: str) -> bytes:
    ramp = Image.linear_gradient("L").resize((512, 512))
    deep = ramp.convert("I").point(lambda value: value * 257.0)
    if mode == "I;16":
        return encoded(deep.convert("I;16"), "PNG")
    if mode == "I;16B":
        return encoded(deep.convert("I;16B"), "TIFF")
    if mode == "RGB;16":
        rows = b"".join(b"\0" + bytes([level, level]) * 3 * 512 for level in ramp.resize((1, 512)).tobytes())
        header = struct.pack(">IIBBBBB", 512, 512, 16, 2, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
    if mode == "LAB":
        lightness = ramp
        neutral = Image.new("L", ramp.size, 128)
        return encoded(Image.merge("LAB", (lightness, neutral, neutral)), "TIFF")
    return encoded(ramp.convert(mode), "JPEG" if mode == "CMYK" else "PNG")


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "RGB;16"])
@pytest.mark.parametrize("spec", [SMALL, WEBP], ids=["jpeg", "webp"])
def test_every_mode_keeps_its_shades(mode: str, spec: Spec) -> None:
    image = made(grey_ramp(mode), spec).convert("L")
    for y in (10, 64, 118):
        assert image.getpixel((64, y)) == pytest.approx(y * 2 + 0.5, abs=7)


def test_lab_is_converted_by_its_definition() -> None:
    image = made(grey_ramp("LAB")).convert("L")
    levels = [float(str(image.getpixel((64, y)))) for y in (0, 64, 127)]
    assert levels == pytest.approx([0, 119, 255], abs=5)  # L* = 50 is 119 in sRGB


def test_black_and_white_becomes_grey() -> None:
    image = made(encoded(Image.effect_noise((512, 512), 200).convert("1"), "PNG"))
    assert image.mode == "L"
    assert len(set(image.get_flattened_data())) > 20


def transparent(mode: str) -> Image.Image:
    """Red on the left; on the right a green that nobody must see."""
    image = Image.new("RGBA", (400, 400), (*RED, 255))
    image.paste((*GREEN, 0), (200, 0, 400, 400))
    if mode == "P":
        palette = image.quantize(4)
        assert palette.has_transparency_data
        return palette
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "image_format"),
    [("RGBA", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("RGBA", "GIF")],
)
def test_transparency_becomes_white_and_colours_nothing(mode: str, image_format: str) -> None:
    image = made(encoded(transparent(mode), image_format)).convert("RGB")
    left = (84, 84, 84) if mode == "LA" else RED
    assert_close([tuple(image.getpixel((20, 64))), tuple(image.getpixel((110, 64)))], [left, (255, 255, 255)])  # type: ignore[arg-type]
    for x in range(56, 72):  # along the edge: between red and white, never greenish
        red, green, blue = image.getpixel((x, 64))  # type: ignore[misc]
        assert green <= blue + 12
        assert red >= green - 12


def test_a_transparent_colour_of_an_opaque_mode_becomes_white() -> None:
    content = encoded(quarters(), "PNG", transparency=GREEN)
    assert_close(corners(made(content)), [RED, (255, 255, 255), BLUE, WHITE])


def test_webp_keeps_transparency() -> None:
    image = made(encoded(transparent("RGBA"), "PNG"), WEBP)
    assert image.mode == "RGBA"
    alpha = image.getchannel("A")
    assert (alpha.getpixel((20, 64)), alpha.getpixel((110, 64))) == (255, 0)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colours_are_converted_from_the_embedded_profile(image_format: str) -> None:
    swapped = encoded(Image.new("RGB", (300, 300), GREEN), image_format, icc_profile=colour_profiles.swapped_rgb())
    assert_close([tuple(made(swapped).getpixel((64, 64)))], [(GREEN[1], GREEN[0], GREEN[2])])  # type: ignore[arg-type]


def test_a_profile_leaves_transparency_alone() -> None:
    content = encoded(transparent("RGBA"), "PNG", icc_profile=colour_profiles.swapped_rgb())
    image = made(content, WEBP)
    red, green, blue, alpha = image.getpixel((20, 64))  # type: ignore[misc]
    assert_close([(red, green, blue)], [(RED[1], RED[0], RED[2])])
    assert (alpha, image.getchannel("A").getpixel((110, 64))) == (255, 0)


def test_grey_is_converted_from_its_profile_and_stays_grey() -> None:
    image = made(encoded(Image.new("L", (300, 300), 55), "JPEG", icc_profile=colour_profiles.linear_grey()))
    assert image.mode == "L"
    assert image.getpixel((64, 64)) == pytest.approx(128, abs=2)


def test_cmyk_is_converted_from_its_profile() -> None:
    inks = Image.new("CMYK", (300, 300), (0, 0, 0, 0))
    plain, profiled = (
        made(encoded(inks, "JPEG", icc_profile=profile)) for profile in (None, colour_profiles.inverted_cmyk())
    )
    assert_close([tuple(plain.getpixel((64, 64))), tuple(profiled.getpixel((64, 64)))], [(255, 255, 255), (0, 0, 0)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile at all",
        colour_profiles.swapped_rgb()[:200],
        colour_profiles.linear_grey(),
        colour_profiles.inverted_cmyk(),
    ],
)
def test_a_profile_that_is_broken_or_of_another_mode_is_passed_over(profile: bytes) -> None:
    assert_close(corners(made(encoded(quarters(), "JPEG", icc_profile=profile))), [RED, GREEN, BLUE, WHITE])


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (300, 300), colour) for colour in (RED, GREEN, BLUE)]
    for image_format in ("GIF", "WEBP", "PNG", "TIFF"):
        content = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        assert_close([tuple(made(content).getpixel((64, 64)))], [RED])  # type: ignore[arg-type]


def segments(jpeg: bytes) -> list[int]:
    """The markers before the first scan (ITU-T T.81, B.1)."""
    found, at = [], 2
    while jpeg[at + 1] != 0xDA:
        assert jpeg[at] == 0xFF
        found.append(jpeg[at + 1])
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return found


@pytest.mark.parametrize("spec", [SMALL, WEBP], ids=["jpeg", "webp"])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_no_metadata_is_left(image_format: str, spec: Spec) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    options = {"exif": exif, "icc_profile": colour_profiles.swapped_rgb(), "comment": "secret", "dpi": (300, 300)}
    content = resize(io.BytesIO(encoded(quarters(), image_format, **options, xmp=b"<secret/>")), spec).content
    assert b"secret" not in content
    if spec is WEBP:
        assert content[12:16] == b"VP8 "  # the plain form of the container, which has no room for more
        return
    # JFIF's own (APP0), tables, the frame and nothing else.
    assert set(segments(content)) <= {0xE0, 0xDB, 0xC0, 0xC2, 0xC4}
    assert segments(content).count(0xE0) == 1


def test_the_smaller_of_baseline_and_progressive_is_taken() -> None:
    tiny = resize(io.BytesIO(encoded(Image.new("RGB", (8, 8), RED), "PNG")), SMALL).content
    large = resize(io.BytesIO(encoded(Image.effect_noise((400, 400), 90), "PNG")), SMALL).content
    smooth = resize(io.BytesIO(encoded(Image.linear_gradient("L").resize((1280, 960)), "PNG")), SHARP).content
    assert 0xC0 in segments(tiny)
    assert 0xC2 in segments(large)
    assert len(smooth) > 16_000
    assert 0xC0 in segments(smooth)


def test_a_photo_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encodings: list[bool] = []
    save = Image.Image.save

    def counted(image: Image.Image, *arguments: Any, **options: Any) -> None:
        encodings.append(options.get("progressive", False))
        save(image, *arguments, **options)

    content = encoded(Image.effect_noise((400, 400), 90), "PNG")
    monkeypatch.setattr(Image.Image, "save", counted)
    result = resize(io.BytesIO(content), SHARP).content
    assert encodings == [True]
    assert 0xC2 in segments(result)


def test_noise_at_the_highest_quality_is_encoded() -> None:
    noise = Image.merge("RGB", [Image.effect_noise((700, 700), 200) for _ in range(3)])
    for quality in (94, 95):
        assert made(encoded(noise, "BMP"), Spec(640, 640, quality, "jpeg", 1_000_000)).size == (640, 640)


@pytest.mark.parametrize("spec", [SMALL, WEBP], ids=["jpeg", "webp"])
def test_the_same_content_gives_the_same_bytes(spec: Spec) -> None:
    content = encoded(quarters(), "JPEG")
    first, second = (resize(io.BytesIO(content), spec) for _ in range(2))
    assert first == second
    assert first.content_type == ("image/jpeg" if spec is SMALL else "image/webp")


def test_a_reduced_image_looks_like_the_slow_ones() -> None:
    photo = Image.merge("RGB", [Image.radial_gradient("L").resize((2000, 1500)).rotate(turn) for turn in (0, 90, 180)])
    content = encoded(photo, "JPEG", quality=92)
    whole = Image.open(io.BytesIO(content)).resize((128, 96), Image.Resampling.LANCZOS)
    difference = ImageChops.difference(made(content, Spec(128, 128, 95, "jpeg", 10_000_000)), whole)
    assert max(ImageStat.Stat(difference).mean) < 2.5


def test_an_empty_file_is_named() -> None:
    assert reason(b"") == "the file is empty"


def test_text_is_no_image() -> None:
    assert reason(b"Testing Hello world").startswith("no JPEG, PNG, WebP, GIF, BMP or TIFF image")


@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_of_too_many_pixels_is_refused_by_its_header(image_format: str) -> None:
    content = encoded(Image.new("RGB", (200, 200)), image_format)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for limit in (39_999, 20_000, 1_000, 1):
            assert "pixels" in reason(content, Spec(128, 128, 85, "jpeg", limit))
        assert made(content, Spec(128, 128, 85, "jpeg", 40_000)).size == (128, 128)


def png_claiming(width: int, height: int) -> bytes:
    content = bytearray(encoded(Image.new("L", (1, 1)), "PNG"))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize(
    ("width", "height"), [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (900_000, 1), (0, 5), (1, 900_000)]
)
def test_impossible_sizes_are_refused(width: int, height: int) -> None:
    reason(png_claiming(width, height))


def test_a_tiff_tile_far_larger_than_its_image_is_refused() -> None:
    tags = {256: 16, 257: 16, 258: 8, 259: 5, 262: 1, 277: 1, 322: 60_000, 323: 60_000, 324: 8, 325: 1}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    content = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + directory + bytes(4)
    assert "a TIFF strip or tile of 3,600,000,000 bytes" in reason(content)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    content = encoded(quarters(), "JPEG", progressive=True)
    scan = content.rindex(b"\xff\xda")
    assert "scans" in reason(content[:-2] + content[scan:-2] * 200 + b"\xff\xd9")


def flooded(kind: str, length: int = 4_000_000) -> bytes:
    """A good image with very many parts that say nothing, or very long metadata, before its pixels."""
    content = encoded(quarters(), kind.partition(" ")[0])
    fillings = {
        "JPEG comments": (2, b"\xff\xfe\x00\x02" * (length // 4)),
        "JPEG application segments": (2, b"\xff\xe9\x00\x02" * (length // 4)),
        "JPEG fill bytes": (2, b"\xff" * length),
        "PNG chunks": (33, b"\0\0\0\0abCd" + struct.pack(">I", zlib.crc32(b"abCd"))),
        "GIF comments": (content.find(b",\0\0\0\0"), b"\x21\xfe\x01a\x00" * (length // 5)),
    }
    place, filling = fillings[kind]
    repeated = filling * (length // 12) if kind == "PNG chunks" else filling
    return content[:place] + repeated + content[place:]


@pytest.mark.parametrize(
    "kind", ["JPEG comments", "JPEG application segments", "JPEG fill bytes", "PNG chunks", "GIF comments"]
)
def test_a_file_of_very_many_parts_is_refused(kind: str) -> None:
    assert "segments, chunks or blocks" in reason(flooded(kind))


@pytest.mark.slow
def test_a_very_long_header_is_refused() -> None:
    segment = b"\xff\xe1\xff\xff" + b"Exif\0\0".ljust(65_533, b"\0")
    content = encoded(quarters(), "JPEG")
    assert "a header of more than" in reason(content[:2] + segment * 320 + content[2:])
    assert made(content[:2] + segment * 3 + content[2:]).size == (128, 96)


@pytest.mark.parametrize("big_tiff", [False, True])
def test_a_tiff_whose_tags_have_very_many_values_is_refused(big_tiff: bool) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[65_000], tags.tagtype[65_000] = (1,) * 300_000, 3
    assert "values" in reason(encoded(quarters(), "TIFF", tiffinfo=tags, big_tiff=big_tiff))
    tags[65_000], tags.tagtype[65_000] = b"\1" * 300_000, 7
    assert made(encoded(quarters(), "TIFF", tiffinfo=tags, big_tiff=big_tiff)).size == (128, 96)


@pytest.mark.parametrize("directory", [b"", b"\xff\xff", b"\x05\x00\x00"])
def test_a_tiff_whose_tags_are_cut_short_is_refused(directory: bytes) -> None:
    assert reason(b"II*\0\x10\0\0\0".ljust(16, b"\0") + directory)


def test_exif_too_long_to_be_any_is_not_read() -> None:
    values = 600_000
    orientation = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, EXIF_ORIENTATION, 3, values, 26, 0) + b"\6\0" * values
    image = quarters()
    assert made(encoded(image, "PNG", exif=orientation)).size == (128, 96)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_of_one_scan_is_not_searched_for_more(mode: str) -> None:
    content = encoded(quarters().convert(mode), "JPEG")
    assert made(content + b"\xff\xda" * 200).size == (128, 96)


@pytest.mark.parametrize("image_format", ["PROGRESSIVE", *FORMATS, "LZW"])
def test_a_file_cut_short_is_refused(image_format: str) -> None:
    """Wherever pixels are missing; the last bytes of some formats only say that the file ends."""
    image = Image.merge("RGB", [Image.effect_noise((500, 400), 90) for _ in range(3)])
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "PROGRESSIVE": ("JPEG", {"progressive": True}),
        "LZW": ("TIFF", {"compression": "tiff_lzw"}),
    }
    kind, options = kinds.get(image_format, (image_format, {}))
    content = encoded(image, kind, **options)
    for length in [*range(1, len(content) - 600, len(content) // 40), len(content) - 600]:
        reason(content[:length])


SEEDS = [
    encoded(quarters(60, 40), "JPEG"),
    encoded(quarters(60, 40), "JPEG", progressive=True, icc_profile=colour_profiles.swapped_rgb()),
    encoded(quarters(60, 40).convert("CMYK"), "JPEG"),
    encoded(quarters(60, 40), "PNG", icc_profile=colour_profiles.swapped_rgb()),
    encoded(quarters(60, 40).quantize(8), "PNG"),
    encoded(quarters(60, 40), "WEBP"),
    encoded(quarters(60, 40), "WEBP", lossless=True),
    encoded(quarters(60, 40), "GIF"),
    encoded(quarters(60, 40), "BMP"),
    encoded(quarters(60, 40).quantize(8), "BMP"),
    encoded(quarters(60, 40), "TIFF"),
    encoded(quarters(60, 40), "TIFF", compression="tiff_lzw"),
    encoded(quarters(60, 40), "TIFF", compression="jpeg"),
]


def made_or_refused(content: bytes) -> Result | None:
    try:
        return resize(io.BytesIO(content), Spec(16, 16, 85, "jpeg", 100_000))
    except BadImage:
        return None


@given(st.binary(max_size=300), st.sampled_from([b"", *(seed[:12] for seed in SEEDS)]))
@settings(deadline=None, max_examples=400)
def test_random_bytes_are_refused_and_nothing_else(content: bytes, start: bytes) -> None:
    made_or_refused(start + content)


@pytest.mark.slow
@given(st.sampled_from(SEEDS), st.data())
@settings(deadline=None, max_examples=600, suppress_health_check=[HealthCheck.too_slow])
def test_flipped_bytes_give_an_image_or_a_refusal(seed: bytes, data: st.DataObject) -> None:
    content = bytearray(seed)
    places = st.one_of(st.integers(0, min(200, len(seed) - 1)), st.integers(0, len(seed) - 1))
    for place in data.draw(st.lists(places, min_size=1, max_size=5)):
        content[place] ^= data.draw(st.integers(1, 255))
    result = made_or_refused(bytes(content))
    assert result is None or (1 <= result.width <= 16 and 1 <= result.height <= 16)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_every_truncation_gives_an_image_or_a_refusal(seed: int) -> None:
    for length in range(len(SEEDS[seed])):
        made_or_refused(SEEDS[seed][:length])


def test_a_file_on_disk_is_read_like_one_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    for image_format in FORMATS:
        path.write_bytes(encoded(quarters(), image_format))
        assert resize(path.open("rb"), SMALL) == resize(io.BytesIO(path.read_bytes()), SMALL)
