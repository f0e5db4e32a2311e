"""Holds a process to a share of a processor, as Lambda does by memory: by control groups, where this user may make one.

Both versions of control groups will do (Linux kernel documentation, "CPU Controller" and "CFS Bandwidth Control").
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PERIOD_MICROSECONDS: Final = 20_000
_ROOT: Final = Path("/sys/fs/cgroup")


@contextmanager
def limited(share: float) -> Iterator[Path | None]:
    """A file that a process writes its id to, in order to get that share of one processor; None where it cannot be."""
    group = _make(share)
    if group is None:
        yield None
        return
    try:
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def _make(share: float) -> Path | None:
    quota = round(share * _PERIOD_MICROSECONDS)
    name = f"serverless-shop-bench-{os.getpid()}"
    for group, files in (
        (_ROOT / name, {"cpu.max": f"{quota} {_PERIOD_MICROSECONDS}"}),
        (_ROOT / "cpu" / name, {"cpu.cfs_period_us": str(_PERIOD_MICROSECONDS), "cpu.cfs_quota_us": str(quota)}),
    ):
        if _is_made(group, files):
            return group
    return None


def _is_made(group: Path, files: dict[str, str]) -> bool:
    try:
        group.mkdir()
    except OSError:
        return False
    try:
        # Opened for what is there already: in a file system that is no control group these would be made.
        for name, text in files.items():
            with (group / name).open("r+") as limit:
                limit.write(text)
    except OSError:
        group.rmdir()
        return False
    return True
