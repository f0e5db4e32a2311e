"""What it costs to make a small image: our `resize` against naive Pillow, libvips and the bare scaled decoding.

    PYTHONPATH=lambdas python -m bench.images [--megapixels 2 12 24 48] [--rounds 5] [--json FILE]

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

_LIMIT_NOTE: Final = (
    "The limit makes no image. Beside it is what makes one of it simply (LANCZOS, one plain encoding); ours "
    "also checks the file and encodes progressively, which costs 4 ms at 640 px and saves a tenth of the bytes."
)


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
    return bytes(small.jpegsave_buffer(Q=_QUALITY, keep="none"))


def _decode(path: Path, side: int) -> bytes:
    """The least that any way does: decodes at the smallest scale that is not below the target."""
    image = Image.open(path)
    image.draft(None, (side, side * image.height // image.width))
    image.load()
    return b""


def _simple(path: Path, side: int) -> bytes:
    """The limit with an image made of it by Pillow, simply: LANCZOS and one plain encoding, nothing checked."""
    image = Image.open(path)
    size = (side, round(side * image.height / image.width))
    image.draft(None, size)
    content = BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()


def measure(way: str, path: str, side: int, rounds: int) -> dict[str, Any]:
    """CPU seconds of each round and peak memory in bytes of one way in this process, which does nothing else."""
    make: Callable[[Path, int], bytes] = {
        "naive": _naive,
        "ours": _ours,
        "vips": _vips,
        "simple": _simple,
        "decode": _decode,
    }[way]
    Image.MAX_IMAGE_PIXELS = None
    times = []
    for _ in range(rounds + 1):
        start = time.process_time()
        make(Path(path), side)
        times.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu": times[1:], "peak": peak if sys.platform == "darwin" else peak * 1024}


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


def psnr(path: str, side: int) -> float:
    """Peak signal-to-noise ratio of our result against the naive one, in decibels."""
    ours, naive = (Image.open(BytesIO(make(Path(path), side))) for make in (_ours, _naive))
    difference = ImageChops.difference(ours.convert("RGB"), naive.convert("RGB").resize(ours.size))
    error = statistics.mean(value**2 for value in ImageStat.Stat(difference).rms)
    return 10 * math.log10(255**2 / max(error, 1e-9))


class _Case(NamedTuple):
    """One file made into one size, by every way."""

    what: str
    cpu_ms: dict[str, Sample]
    peak_mb: dict[str, Sample]
    psnr_db: float


def _case(what: str, path: str, side: int, rounds: int) -> _Case:
    figures = {way: _apart(measure, way, path, side, rounds) for way in _WAYS}
    return _Case(
        f"{what} to {side} px",
        {way: Sample(tuple(figure["cpu"])).times(1_000) for way, figure in figures.items()},
        {way: Sample((figure["peak"] / 1e6,)) for way, figure in figures.items()},
        _apart(psnr, path, side),
    )


def _rows(what: str, samples: dict[str, Sample], ways: Sequence[str], baseline: str, unit: str) -> list[Row]:
    return [harness.row(f"{what}, {_WORDS[way]}", samples[way], samples[baseline], unit) for way in ways]


def _tables(cases: Sequence[_Case]) -> list[Table]:
    naive = "naive Pillow: full decoding, LANCZOS, saved as JPEG"
    limit = "the bare decoding at the smallest scale that is not below the target, nothing saved"
    quality = min(case.psnr_db for case in cases)
    cpu = [row for case in cases for row in _rows(case.what, case.cpu_ms, _WAYS, "naive", "ms")]
    to_limit = [row for case in cases for row in _rows(case.what, case.cpu_ms, _WAYS[1:], "decode", "ms")]
    peak = [row for case in cases for row in _rows(case.what, case.peak_mb, _WAYS[:-1], "naive", "MB")]
    note = f"PSNR of ours against the naive way's pixels: at least {quality:.1f} dB."
    return [
        Table("Small images: CPU time", naive, cpu, (note,)),
        Table("Small images against the limit: CPU time", limit, to_limit, (_LIMIT_NOTE,)),
        Table("Small images: peak memory of the process", naive, peak),
    ]


def main() -> None:
    """Measures all and hands the tables in."""
    parser = argparse.ArgumentParser(description="Compare ways to make a small image.")
    parser.add_argument("--megapixels", type=int, nargs="+", default=[2, 12, 24, 48])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    harness.add_options(parser)
    options = parser.parse_args()
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            paths = {name: str(Path(folder) / name) for name in _KINDS}
            _apart(save_photo, megapixels, paths)
            for name, path in paths.items():
                cases += [_case(f"{megapixels} MP {name}", path, side, options.rounds) for side in _SIDES]
    harness.hand_in("images", _tables(cases), options.json)


if __name__ == "__main__":
    main()
