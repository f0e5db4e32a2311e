"""What a Lambda function's memory size means for its response time and its price, from measured CPU time.

Arithmetic with the list prices of `shop.prices`: measuring is left to the benchmarks. The model takes a function that
computes on one thread and waits for other services, which get no faster with its memory.
"""

import math
from dataclasses import dataclass
from typing import Final

from shop.prices import read_prices

MEGABYTES_OF_ONE_VCPU: Final = 1_769
"""AWS Lambda Developer Guide, "Configure Lambda function memory": at 1,769 MB a function has one vCPU."""
SIZES_MB: Final = (128, 256, 512, 1_024, 1_769, 3_008)
BASELINE_MB: Final = 128
"""What Lambda gives a function that says nothing."""

_REQUESTS: Final = 1_000_000
_LIST: Final = read_prices()
PRICE_REGION: Final = _LIST.region
DOLLARS_A_GIGABYTE_SECOND: Final = _LIST.prices["lambda.gb_second_arm64"].price
"""AWS Lambda pricing, arm64, first tier."""
DOLLARS_A_MILLION_REQUESTS: Final = _LIST.prices["lambda.request"].price * _REQUESTS
"""AWS Lambda pricing."""
DOLLARS_A_MILLION_REST_REQUESTS: Final = _LIST.prices["api_gateway.rest_request"].price * _REQUESTS
"""Amazon API Gateway pricing, REST APIs, first tier."""
_MEGABYTES_OF_ONE_GIGABYTE: Final = 1_024

WORTH_DOUBLING: Final = 0.25
"""Doubling a size is worth it as long as it takes at least this part off a warm request."""


@dataclass(frozen=True)
class Work:
    """One request as the function sees it, in milliseconds."""

    cpu_ms: float
    """CPU time on one whole vCPU."""
    wait_ms: float
    """Time in which it waits for other services."""


@dataclass(frozen=True)
class Estimate:
    """What a memory size does to a function."""

    memory_mb: int
    warm_ms: float
    """Duration of a request in an environment that is there already."""
    cold_ms: float
    """Duration of import and first request together, without the start of the runtime itself."""
    dollars_a_million: float
    """Lambda's price of a million warm requests."""


def cpu_share(memory_mb: int) -> float:
    """Return the part of one vCPU that one thread gets; more than one vCPU is of no use to it."""
    return min(1.0, memory_mb / MEGABYTES_OF_ONE_VCPU)


def duration_ms(work: Work, memory_mb: int) -> float:
    """Return how long the work takes at a memory size, in milliseconds."""
    return work.cpu_ms / cpu_share(memory_mb) + work.wait_ms


def dollars_a_million(duration: float, memory_mb: int) -> float:
    """Return Lambda's price of a million requests of `duration` milliseconds, each rounded up to a whole one.

    AWS Lambda pricing: "Duration is calculated from the time your code begins executing until it returns or otherwise
    terminates, rounded up to the nearest 1 ms".
    """
    seconds = math.ceil(duration) / 1_000
    gigabyte_seconds = seconds * memory_mb / _MEGABYTES_OF_ONE_GIGABYTE * _REQUESTS
    return DOLLARS_A_MILLION_REQUESTS + gigabyte_seconds * DOLLARS_A_GIGABYTE_SECOND


def estimate(warm: Work, cold: Work, memory_mb: int) -> Estimate:
    """Return what a memory size does to a function whose warm and cold requests cost that much work."""
    duration = duration_ms(warm, memory_mb)
    return Estimate(memory_mb, duration, duration_ms(cold, memory_mb), dollars_a_million(duration, memory_mb))


def gain_of_doubling(work: Work, memory_mb: int) -> float:
    """Return the part of a request's duration that twice the memory takes off, from 0 to 1."""
    return 1 - duration_ms(work, 2 * memory_mb) / duration_ms(work, memory_mb)


def recommended_mb(warm: Work) -> int:
    """Return the smallest size for which doubling is not worth it any more.

    There always is one: beyond one vCPU doubling gains nothing.
    """
    return next(size for size in SIZES_MB if gain_of_doubling(warm, size) < WORTH_DOUBLING)
