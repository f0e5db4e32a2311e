"""The one way in which tests wait for what takes a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5


def eventually(
    check: Callable[[], T | None], *, timeout: float = 30.0, describe: Callable[[], object] | None = None
) -> T:
    """The first true value that `check` gives, asked again and again for `timeout` seconds.

    An AssertionError of `check` counts as "not yet". When time is up the last one is raised, or an AssertionError
    that shows what `describe` gives, else the last value.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE_SECONDS
    while True:
        failure, value = None, None
        try:
            value = check()
        except AssertionError as error:
            failure = error
        if value:
            return value
        if time.monotonic() > deadline:
            shown = describe() if describe else value
            raise failure or AssertionError(f"after {timeout:g} s still: {shown!r}")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
