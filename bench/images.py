"""What it costs to make a small image: our `resize` against naive Pillow, libvips and the bare scaled decoding.

    PYTHONPATH=lambdas python -m bench.images [--megapixels 2 12 24 48] [--rounds 5]

Makes JPEG, progressive JPEG and PNG files of about a photo's detail, and measures each way in processes of their own:
CPU (median of the rounds, imports not counted) and peak memory. Quality is the PSNR against the naive way's pixels.
"""

import argparse
import json
import math
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Final, TypeVar

import pyvips  # type: ignore[import-untyped]
from PIL import Image, ImageChops, ImageStat

from bench.fresh_process import FUNCTION_ENVIRONMENT, run
from image_resizer.resize import Spec, resize

T = TypeVar("T")

_QUALITY: Final = 85
_SIDES: Final = (128, 640)
_KINDS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "JPEG": ("JPEG", {"quality": 90}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "PNG": ("PNG", {"compress_level": 6}),
}
_WAYS: Final = ("naive", "ours", "vips", "decode")


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
    small = pyvips.Image.thumbnail(str(path), side, height=side)
    return bytes(small.jpegsave_buffer(Q=_QUALITY, keep="none"))


def _decode(path: Path, side: int) -> bytes:
    """The least that any way does: decodes at the smallest scale that is not below the target."""
    image = Image.open(path)
    image.draft(None, (side, side * image.height // image.width))
    image.load()
    return b""


def measure(way: str, path: str, side: int, rounds: int) -> dict[str, float]:
    """CPU seconds (the median) and peak memory in bytes of one way in this process, which does nothing else."""
    make: Callable[[Path, int], bytes] = {"naive": _naive, "ours": _ours, "vips": _vips, "decode": _decode}[way]
    Image.MAX_IMAGE_PIXELS = None
    times = []
    for _ in range(rounds + 1):
        start = time.process_time()
        make(Path(path), side)
        times.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu": statistics.median(times[1:]), "peak": peak if sys.platform == "darwin" else peak * 1024}


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


def _row(name: str, path: str, side: int, rounds: int) -> str:
    figures = {way: _apart(measure, way, path, side, rounds) for way in _WAYS}
    naive = figures["naive"]["cpu"]
    cells = [f"{naive * 1000:.0f}"]
    cells += [f"{naive / figures[way]['cpu']:.1f}" for way in ("ours", "vips", "decode")]
    cells += [f"{figures[way]['peak'] / 1e6:.0f}" for way in ("naive", "ours", "vips")]
    cells.append(f"{_apart(psnr, path, side):.1f}")
    return f"| {name} | {side} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measures all and prints a table: the naive way's milliseconds, how many times as fast the others are, peaks."""
    parser = argparse.ArgumentParser(description="Compare ways to make a small image.")
    parser.add_argument("--megapixels", type=int, nargs="+", default=[2, 12, 24, 48])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    options = parser.parse_args()
    print(
        "| file | side | naive, ms | ours | libvips | bare decoding | naive, MB | ours, MB | libvips, MB | PSNR, dB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in options.megapixels:
            paths = {name: str(Path(folder) / name) for name in _KINDS}
            _apart(save_photo, megapixels, paths)
            for name, path in paths.items():
                for side in _SIDES:
                    print(_row(f"{megapixels} MP {name}", path, side, options.rounds), flush=True)


if __name__ == "__main__":
    main()
