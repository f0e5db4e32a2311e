"""HTTP requests to a target's APIs: connections that stay open, the way out, and how patiently a request is repeated.

What an answer means, and whether a request may be repeated at all, is for the module of each API to say.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError, SSLError

from shop.output import shorten
from shop.target import Target

REQUEST_SECONDS = 35.0
"""API Gateway answers within 29 s (its integration timeout); a little more tells its 504 from our own timeout."""


class UnreachableError(Exception):
    """No connection to the API: the request was not sent."""


class LostAnswerError(Exception):
    """The request was sent and no answer came: it may have been carried out or not."""


@dataclass(frozen=True)
class Backoff:
    """How often and how patiently a request is repeated: full jitter, doubling from `first` up to `longest` seconds."""

    attempts: int = 6
    first: float = 0.2
    longest: float = 5.0

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after attempt number `attempt` (counted from 0) failed."""
        return random.uniform(0, min(self.longest, self.first * 2**attempt))  # noqa: S311  (no secret)


def open_pool(target: Target, url: str, connections: int) -> urllib3.PoolManager:
    """Return up to `connections` connections to `url`, trusting what the target trusts, through the user's proxy.

    No proxy stands between the local cloud and its user.
    """
    options: dict[str, Any] = {"maxsize": connections, "block": True, "ca_certs": target.ca_bundle}
    proxy = None if target.cloud is not None else _proxy(url)
    return urllib3.PoolManager(**options) if proxy is None else urllib3.ProxyManager(proxy, **options)


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for `url`, which urllib3 by itself does not look for."""
    host = urlsplit(url).hostname or ""
    return None if proxy_bypass(host) else getproxies().get("https")


def api_key(target: Target, output: str) -> str:
    """Return the value of the API key whose id is the stack output `output`."""
    answer = target.client("apigateway").get_api_key(apiKey=target.output(output), includeValue=True)
    value: str = answer["value"]
    return value


def post(pool: urllib3.PoolManager, url: str, headers: Mapping[str, str], body: bytes) -> urllib3.BaseHTTPResponse:
    """Send `body` once and return the answer, whatever its status; follow no redirect.

    Raises UnreachableError when no connection can be made, LostAnswerError when no answer came.
    """
    try:
        return pool.request(
            "POST",
            url,
            body=body,
            headers=headers,
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(connect=5.0, read=REQUEST_SECONDS),
        )
    except (NewConnectionError, ConnectTimeoutError, ProxyError, SSLError) as error:
        raise UnreachableError(shorten(str(error), 200)) from None
    except HTTPError as error:
        raise LostAnswerError(shorten(str(error), 120)) from None


def is_throttled(answer: urllib3.BaseHTTPResponse) -> bool:
    """Return whether API Gateway or the service asks for patience: nothing was done, and waiting helps.

    The daily quota's 429 is left out: it has the type LimitExceeded (API Gateway, "Gateway response types"), and no
    retry outlasts it.
    """
    if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
        return False
    return not answer.headers.get("x-amzn-errortype", "").startswith("LimitExceeded")
