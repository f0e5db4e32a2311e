"""Small colour profiles for tests, written by hand (ICC.1:2001-04) so that what they do is known."""

import struct

from PIL import ImageCms


def swapped_rgb() -> bytes:
    """sRGB with red and green exchanged: a pixel's first number is how green it is."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")


def linear_grey() -> bytes:
    """Grey whose numbers are amounts of light: 55 is what sRGB has as 128."""
    curve = b"curv" + bytes(4) + struct.pack(">I", 0)  # no entries: the identity
    return _profile(b"GRAY", b"XYZ ", {b"wtpt": _d50(), b"kTRC": curve})


def inverted_cmyk() -> bytes:
    """CMYK in which no ink is black and all of any ink is white."""
    identity = bytes(range(256))
    grid = b"".join(bytes([255 if corner else 0, 128, 128]) for corner in range(2**4))
    matrix = struct.pack(">9i", *(65536 if index % 4 == 0 else 0 for index in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + grid + identity * 3
    return _profile(b"CMYK", b"Lab ", {b"wtpt": _d50(), b"A2B0": table, b"A2B1": table})


def _d50() -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    directory, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        directory += name + struct.pack(">II", start + len(data), len(content))
        data += content.ljust(-(-len(content) // 4) * 4, b"\0")
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"prtr", space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _d50()[8:]
    return header.ljust(128, b"\0") + directory + data
