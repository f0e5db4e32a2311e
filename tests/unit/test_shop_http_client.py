"""The way out to an API, and the patience with it."""

from collections.abc import Callable

import pytest

from shop import http_client
from shop.http_client import Backoff


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(first=0.2, longest=1.0)
    for attempt, longest in enumerate((0.2, 0.4, 0.8, 1.0, 1.0)):
        delays = [backoff.delay(attempt) for _ in range(200)]
        assert 0 <= min(delays) < longest / 2 < max(delays) <= longest


def test_the_proxy_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy: Callable[[str], str | None] = http_client._proxy
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "internal.example")
    assert proxy("https://api.example/orders") == "http://proxy.example:3128"
    assert proxy("https://internal.example/orders") is None
