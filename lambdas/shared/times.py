"""Time left: what the functions use of Lambda's context, and attempts for as long as it lasts.

Without the SDK, which not every function needs.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

RemainingTime = Callable[[], int]
"""Gives the milliseconds that the function has left, like `get_remaining_time_in_millis` of Lambda's context."""


class Context(Protocol):
    """What the functions use of Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the function."""


_CALL_SECONDS: Final = 0.5
"""What a call that gets an answer takes at the most, as a rule. One that gets none may outlive the function: then all
of its batch is delivered again, which costs a receive but loses nothing."""
_RESERVE_SECONDS: Final = 0.25
"""What a function needs to end in order after its last call."""
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
_RANDOM: Final = random.SystemRandom()
"""The operating system's, because environments that start from one snapshot would share the generator's state."""


def has_time_for_a_call(remaining_ms: RemainingTime, pause_seconds: float = 0.0) -> bool:
    """Whether there is time for a call that gets an answer, after a pause."""
    needed = pause_seconds + _CALL_SECONDS + _RESERVE_SECONDS
    return remaining_ms() >= needed * 1000


def attempts(remaining_ms: RemainingTime) -> Iterator[int]:
    """Numbers attempts from 0: the first at once, the next ones after pauses, as long as time is left.

    Pauses are drawn at random below a bound that doubles: "full jitter" (AWS Architecture Blog, "Exponential
    Backoff And Jitter").
    """
    yield 0
    attempt, bound = 0, _FIRST_PAUSE_SECONDS
    while has_time_for_a_call(remaining_ms, pause := _RANDOM.uniform(0, bound)):
        time.sleep(pause)
        attempt, bound = attempt + 1, min(2 * bound, _LONGEST_PAUSE_SECONDS)
        yield attempt
