"""Calls to AWS in a function whose time is short: short timeouts, and retries while time is left.

The SDK's own retries are off, because they know nothing of the function's timeout.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 (botocore's name; the built-in one is not used here)
    HTTPClientError,
)
from botocore.parsers import ResponseParserError

RemainingTime = Callable[[], int]
"""Gives the milliseconds that the function has left, like `get_remaining_time_in_millis` of Lambda's context."""


class Context(Protocol):
    """What the functions use of Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the function."""


_CONNECT_SECONDS: Final = 0.5
_READ_SECONDS: Final = 2.0
"""Long enough for a loaded service, short enough that the shortest function (3 s) ends in order after one lost call."""
_CALL_SECONDS: Final = 0.5
"""What a call that gets an answer takes at the most, as a rule. One that gets none may outlive the function: then all
of its batch is delivered again, which costs a receive but loses nothing."""
_RESERVE_SECONDS: Final = 0.25
"""What a function needs to end in order after its last call."""
CLIENT_CONFIG: Final = Config(
    connect_timeout=_CONNECT_SECONDS,
    read_timeout=_READ_SECONDS,
    retries={"total_max_attempts": 1},
    parameter_validation=False,
    disable_request_compression=True,
    user_agent="serverless-shop",
)
"""Of every client. What the SDK does at each call and nobody needs is off (bench/processor_cpu.py): parameters are not
validated, which the service does; no operation used has a request that is compressed; and the header User-Agent is a
fixed text, because the SDK otherwise puts it together from some ten parts, cleaned twice, at each call."""

_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
_SERVER_ERROR: Final = 500


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
    while has_time_for_a_call(remaining_ms, pause := random.uniform(0, bound)):  # noqa: S311 (no secret)
        time.sleep(pause)
        attempt, bound = attempt + 1, min(2 * bound, _LONGEST_PAUSE_SECONDS)
        yield attempt


def error_code(error: ClientError | BotoCoreError) -> str:
    """The service's name of the error, or the SDK's where no answer came."""
    return str(error.response["Error"].get("Code")) if isinstance(error, ClientError) else type(error).__name__


def is_transient(error: ClientError | BotoCoreError) -> bool:
    """Whether the same call may succeed a moment later: throttled, failed in the service or on the way."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= _SERVER_ERROR or is_throttled(error_code(error))
    return isinstance(error, (HTTPClientError, ConnectionError, ResponseParserError))


def is_throttled(code: str) -> bool:
    """Whether an error code means "too fast", in the spellings of DynamoDB, SNS and SQS."""
    return "Throttl" in code or code.startswith(
        ("ProvisionedThroughputExceeded", "RequestLimitExceeded", "TooManyRequests")
    )
