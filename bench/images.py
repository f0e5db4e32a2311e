"""What it costs to make a small image: our `resize` against naive Pillow, libvips and the bare scaled decoding.

    PYTHONPATH=lambdas python -m bench.images [--megapixels 2 12 24 48] [--rounds 2] [--json FILE]

Makes JPEG, progressive JPEG and PNG files of about a photo's detail, and measures each way in processes of their own:
CPU (median of the rounds, imports not counted) and peak memory. Quality is the PSNR against the naive way's pixels.
"""

import argparse
import importlib
import importlib.util
import json
import math
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from PIL import Image, ImageChops, ImageStat

from bench import harness
from bench.fresh_process import FUNCTION_ENVIRONMENT, run
from bench.harness import Row, Sample, Table
from image_resizer.resize import Spec, resize

T = TypeVar("T")

_QUALITY: Final = 85
_SIDES: Final = (128, 640)
_TURNS: Final = 3
_KINDS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "JPEG": ("JPEG", {"quality": 90}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "PNG": ("PNG", {"compress_level": 6}),
}
# Without libvips where `make bench` could not have it.
_HAS_VIPS: Final = importlib.util.find_spec("pyvips") is not None
_WAYS: Final = ("naive", "ours", *(["vips"] if _HAS_VIPS else []), "simple", "decode")
_WORDS: Final = {
    "naive": "naive",
    "ours": "ours",
    "vips": "libvips",
    "simple": "simply after that",
    "decode": "bare decoding",
}

_VIPS_NOTE: Final = "Like ours, libvips saves progressive JPEGs; the naive way saves plain ones."
_LIMIT: Final = "the bare decoding at the smallest scale that is not below the target, nothing saved"
_LIMIT_NOTE: Final = (
    "The limit makes no image. Beside it is what makes one of it simply (LANCZOS, one plain encoding); ours "
    "also checks the file and encodes progressively."
)
_RESAMPLINGS: Final = {"LANCZOS": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}
_ENCODINGS: Final[dict[str, dict[str, object]]] = {
    "progressive": {"progressive": True, "optimize": True},
    "optimised": {"optimize": True},
    "plain": {},
}
_OURS_CHOICE: Final = "LANCZOS, progressive"
_CHOICES: Final = tuple(f"{filter_}, {encoding}" for filter_ in _RESAMPLINGS for encoding in _ENCODINGS)
_CHOICES_SIDE: Final = 640
_CHOICES_FROM_MEGAPIXELS: Final = 24


def _naive(path: Path, side: int) -> bytes:
    image = Image.open(path)
    image.load()
    width, height = image.size
    scale = side / max(width, height)
    small = image.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    content = BytesIO()
    small.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()


def _ours(path: Path, side: int) -> bytes:
    with path.open("rb") as source:
        return resize(source, Spec(side, side, _QUALITY, "jpeg", 60_000_000)).content


def _vips(path: Path, side: int) -> bytes:
    # Only here: it is a package that set-up leaves out, and the other ways are measured without it in memory.
    pyvips: Any = importlib.import_module("pyvips")
    small = pyvips.Image.thumbnail(str(path), side, height=side)
    return bytes(small.jpegsave_buffer(Q=_QUALITY, keep="none", interlace=True, optimize_coding=True))


def _decode(path: Path, side: int) -> bytes:
    """The least that any way does: decodes at the smallest scale that is not below the target."""
    image = Image.open(path)
    image.draft(None, (side, side * image.height // image.width))
    image.load()
    return b""


def _simple(path: Path, side: int) -> bytes:
    """The limit with an image made of it by Pillow, simply: LANCZOS and one plain encoding, nothing checked."""
    return _chosen(path, side, "LANCZOS, plain")


def _chosen(path: Path, side: int, choice: str) -> bytes:
    """An image made simply of the limit, with one of `_CHOICES` of how it is resampled and encoded."""
    resampling, encoding = choice.split(", ")
    image = Image.open(path)
    size = (side, round(side * image.height / image.width))
    scaled = image.draft(None, size)
    area = scaled[1] if scaled else (0, 0, *image.size)
    content = BytesIO()
    small = image.resize(size, _RESAMPLINGS[resampling], box=area)
    small.save(content, "JPEG", quality=_QUALITY, **_ENCODINGS[encoding])
    return content.getvalue()


_MAKERS: Final[dict[str, Callable[[Path, int], bytes]]] = {
    "naive": _naive,
    "ours": _ours,
    "vips": _vips,
    "simple": _simple,
    "decode": _decode,
    **{choice: partial(_chosen, choice=choice) for choice in _CHOICES},
}


def measure(way: str, path: str, side: int, rounds: int) -> dict[str, Any]:
    """CPU seconds of each round, peak memory and the result's bytes, of one way in this process, which does no more."""
    make = _MAKERS[way]
    Image.MAX_IMAGE_PIXELS = None
    times, content = [], b""
    for _ in range(rounds + 1):
        start = time.process_time()
        content = make(Path(path), side)
        times.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu": times[1:], "peak": peak if sys.platform == "darwin" else peak * 1024, "bytes": len(content)}


def _apart(function: Callable[..., T], *arguments: object) -> T:
    """Calls a function of this module in a process of its own. This one stays small: a child's peak starts at its."""
    program = (
        "import json, sys; from bench import images; "
        "print(json.dumps(getattr(images, sys.argv[1])(*json.loads(sys.argv[2]))))"
    )
    answer = run("-c", program, function.__name__, json.dumps(arguments), environment=FUNCTION_ENVIRONMENT)
    result: T = json.loads(answer)
    return result


def save_photo(megapixels: int, paths: dict[str, str]) -> None:
    """Saves one picture as each kind of file."""
    photo = _photo(megapixels)
    for name, path in paths.items():
        kind, options = _KINDS[name]
        photo.save(path, kind, **options)


def _photo(megapixels: int) -> Image.Image:
    """Smooth shapes, edges and fine grain, 4:3: it compresses about as a photo does."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = (width, width * 3 // 4)
    generator = random.Random(megapixels)  # noqa: S311 (a picture, no secret)
    bands = []
    for band in range(3):
        coarse = Image.frombytes("L", (24, 18), generator.randbytes(24 * 18)).resize(size, Image.Resampling.BICUBIC)
        edges = Image.frombytes("L", (240, 180), generator.randbytes(240 * 180)).resize(size, Image.Resampling.NEAREST)
        tile = Image.frombytes("L", (640, 640), generator.randbytes(640 * 640))
        grain = Image.new("L", size)
        for left in range(0, size[0], 640):
            for top in range(0, size[1], 640):
                grain.paste(tile.rotate(90 * band), (left, top))
        bands.append(Image.blend(Image.blend(coarse, edges, 0.2), grain, 0.12))
    return Image.merge("RGB", bands)


def psnr(way: str, path: str, side: int) -> float:
    """Peak signal-to-noise ratio of a way's result against the naive one, in decibels."""
    ours, naive = (Image.open(BytesIO(_MAKERS[each](Path(path), side))) for each in (way, "naive"))
    difference = ImageChops.difference(ours.convert("RGB"), naive.convert("RGB").resize(ours.size))
    error = statistics.mean(value**2 for value in ImageStat.Stat(difference).rms)
    return 10 * math.log10(255**2 / max(error, 1e-9))


class _Figures(NamedTuple):
    """What one way takes for one file and size."""

    cpu_ms: Sample
    peak_mb: Sample
    size_kb: Sample


class _Case(NamedTuple):
    """One file made into one size, by every way."""

    what: str
    figures: dict[str, _Figures]
    psnr_db: float


def _case(what: str, path: str, side: int, rounds: int) -> _Case:
    return _Case(f"{what} to {side} px", _in_turn(_WAYS, path, side, rounds), _apart(psnr, "ours", path, side))


def _in_turn(ways: Sequence[str], path: str, side: int, rounds: int) -> dict[str, _Figures]:
    """The figures of the ways, which take turns, so that all see the same machine."""
    turns = [{way: _apart(measure, way, path, side, rounds) for way in ways} for _ in range(_TURNS)]
    return {way: _together([turn[way] for turn in turns]) for way in ways}


def _together(turns: Sequence[dict[str, Any]]) -> _Figures:
    times = tuple(seconds * 1_000 for turn in turns for seconds in turn["cpu"])
    peaks = tuple(turn["peak"] / 1e6 for turn in turns)
    return _Figures(Sample(times), Sample(peaks), Sample((turns[0]["bytes"] / 1_000,)))


def _rows(what: str, samples: dict[str, Sample], ways: Sequence[str], baseline: str, unit: str) -> list[Row]:
    return [harness.row(f"{what}, {_WORDS[way]}", samples[way], samples[baseline], unit) for way in ways]


def _tables(cases: Sequence[_Case]) -> list[Table]:
    naive = "naive Pillow: full decoding, LANCZOS, saved as JPEG"
    quality = min(case.psnr_db for case in cases)
    cpu, to_limit, peak = [], [], []
    for case in cases:
        times = {way: figures.cpu_ms for way, figures in case.figures.items()}
        peaks = {way: figures.peak_mb for way, figures in case.figures.items()}
        cpu += _rows(case.what, times, _WAYS, "naive", "ms")
        to_limit += _rows(case.what, times, _WAYS[1:], "decode", "ms")
        peak += _rows(case.what, peaks, _WAYS[:-1], "naive", "MB")
    quality_note = f"PSNR of ours against the naive way's pixels: at least {quality:.1f} dB."
    return [
        Table("Small images: CPU time", naive, cpu, (quality_note, *([_VIPS_NOTE] if _HAS_VIPS else []))),
        Table("Small images against the limit: CPU time", _LIMIT, to_limit, (_LIMIT_NOTE,)),
        Table("Small images: peak memory of the process", naive, peak),
    ]


def _choice_tables(paths: dict[int, str], rounds: int) -> list[Table]:
    """What resampling and encoding cost at 640 pixels, of JPEGs of so many megapixels; ours is the first choice."""
    cpu, size, quality = [], [], []
    for megapixels, path in paths.items():
        figures = _in_turn(("decode", *_CHOICES), path, _CHOICES_SIDE, rounds)
        limit, ours, what = figures["decode"].cpu_ms, figures[_OURS_CHOICE].size_kb, f"{megapixels} MP"
        cpu += [harness.row(f"{what}, {way}", figures[way].cpu_ms, limit) for way in _CHOICES]
        size += [harness.row(f"{what}, {way}", figures[way].size_kb, ours, "kB") for way in _CHOICES]
        quality += [f"{_apart(psnr, way, path, _CHOICES_SIDE):.1f} dB at {what} by {way}" for way in _CHOICES]
    return [
        Table("What is chosen at 640 px: CPU time", _LIMIT, cpu, ("Of JPEGs. Nothing is checked in these.",)),
        Table("What is chosen at 640 px: the image's size", _OURS_CHOICE, size, (f"PSNR: {'; '.join(quality)}.",)),
    ]


def main() -> None:
    """Measures all and hands the tables in."""
    parser = argparse.ArgumentParser(description="Compare ways to make a small image.")
    parser.add_argument("--megapixels", type=int, nargs="+", default=[2, 12, 24, 48])
    parser.add_argument("--rounds", type=int, default=2, help=f"how often each is measured in each of {_TURNS} turns")
    harness.add_options(parser)
    options = parser.parse_args()
    cases, photos = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            paths = {name: str(Path(folder) / f"{megapixels}-{name}") for name in _KINDS}
            _apart(save_photo, megapixels, paths)
            for name, path in paths.items():
                cases += [_case(f"{megapixels} MP {name}", path, side, options.rounds) for side in _SIDES]
            if megapixels >= _CHOICES_FROM_MEGAPIXELS:
                photos[megapixels] = paths["JPEG"]
        choices = _choice_tables(photos, options.rounds) if photos else []
    harness.hand_in("images", [*_tables(cases), *choices], options.json)


if __name__ == "__main__":
    main()
