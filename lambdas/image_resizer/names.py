"""Where the smaller image of an original is kept."""

from typing import Final

_SUFFIXES: Final = {"jpeg": ".jpg", "webp": ".webp"}
"""The suffix that a result has, by its format."""


def target_key(key: str, source_prefix: str, target_prefix: str, image_format: str) -> str:
    """The key of the result: the original's path below the prefix of its size.

    An original whose suffix is the result's own keeps its name (`ingest/a/b.jpg` gives `thumbnail/a/b.jpg`); any
    other keeps its whole name and gets the result's suffix (`ingest/x.png` gives `thumbnail/x.png.jpg`), so that
    `x.png` and `x.jpg` do not take each other's place.

    Raises:
        ValueError: the key does not begin with the source prefix.
        KeyError: no such format.
    """
    if not key.startswith(source_prefix):
        raise ValueError(f"{key}: not below {source_prefix}")
    suffix = _SUFFIXES[image_format]
    name = target_prefix + key.removeprefix(source_prefix)
    return name if name.endswith(suffix) else name + suffix
