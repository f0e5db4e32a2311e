"""Where the smaller image of an original is kept."""

from typing import Final

_SUFFIXES: Final = {"jpeg": ".jpg", "webp": ".webp"}
"""The suffix that a result has, by its format."""
_MOST_BYTES: Final = 1024
"""Of a key in UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects")."""


class KeyTooLong(Exception):
    """An original's key leaves no room for its result's, which is longer."""

    def __init__(self, size: int) -> None:
        """Keeps the length that the result's key would have, in bytes, as one line."""
        self.reason = f"the result's key would have {size} bytes, more than {_MOST_BYTES}"
        super().__init__(self.reason)


def target_key(key: str, source_prefix: str, target_prefix: str, image_format: str) -> str:
    """The key of the result: the original's path below the prefix of its size.

    An original whose suffix is the result's own keeps its name (`ingest/a/b.jpg` gives `thumbnail/a/b.jpg`); any
    other keeps its whole name and gets the result's suffix (`ingest/x.png` gives `thumbnail/x.png.jpg`), so that
    `x.png` and `x.jpg` do not take each other's place.

    Raises:
        ValueError: the key does not begin with the source prefix.
        KeyError: no such format.
        KeyTooLong: S3 takes no key as long as the result's.
    """
    if not key.startswith(source_prefix):
        raise ValueError(f"{key}: not below {source_prefix}")
    suffix = _SUFFIXES[image_format]
    name = target_prefix + key.removeprefix(source_prefix)
    target = name if name.endswith(suffix) else name + suffix
    if (size := len(target.encode())) > _MOST_BYTES:
        raise KeyTooLong(size)
    return target
