"""That the largest image that is taken fits the memory of the function: what a process has at its peak."""

import subprocess
import sys
from pathlib import Path

import pytest

_WIDTH, _HEIGHT = 7_740, 7_750
_PIXELS = 60_000_000
_BYTES_A_PIXEL = 12
"""What `resize` says it takes; the check of the settings is made with it (docs/decisions/0015)."""
_INTERPRETER_BYTES = 40_000_000

_MAKE = f"""
import sys
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
mode, kind, options = sys.argv[2], sys.argv[3], eval(sys.argv[4])
image = Image.new(mode, ({_WIDTH}, {_HEIGHT}), (90, 120, 60, 200)[: len(Image.new(mode, (1, 1)).getbands())])
image.save(sys.argv[1], kind, **options)
"""
_RESIZE = f"""
import io, pathlib, resource, sys
sys.path.insert(0, sys.argv[1])
from image_resizer.resize import Spec, resize
content = io.BytesIO(pathlib.Path(sys.argv[2]).read_bytes())
side = int(sys.argv[3])
result = resize(content, Spec(side, side, 85, "jpeg", {_PIXELS}))
assert max(result.width, result.height) == side
status = pathlib.Path("/proc/self/status")
if status.exists():  # what getrusage(2) gives on Linux begins with the peak of the process that started this one
    print(1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS
"""


def _run(program: str, *arguments: object) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "kind", "options", "side"),
    [
        ("RGB", "JPEG", {"progressive": True, "subsampling": 0}, 640),
        ("CMYK", "JPEG", {"progressive": True}, 4_096),
        ("RGBA", "PNG", {"compress_level": 1}, 4_096),
        ("RGBA", "WEBP", {"lossless": True, "quality": 0, "method": 0}, 640),
        ("RGBA", "TIFF", {"compression": "tiff_lzw", "tiffinfo": {278: _HEIGHT, 274: 6}}, 640),
    ],
)
def test_the_largest_image_of_each_kind_fits(
    tmp_path: Path, mode: str, kind: str, options: dict[str, object], side: int
) -> None:
    picture = tmp_path / "picture"
    _run(_MAKE, picture, mode, kind, repr(options))
    lambdas = Path(__file__).resolve().parents[2] / "lambdas"
    peak = int(_run(_RESIZE, lambdas, picture, side))
    assert peak <= _BYTES_A_PIXEL * _PIXELS + 2 * picture.stat().st_size + _INTERPRETER_BYTES
