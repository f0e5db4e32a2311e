"""The stage that a console page shows: how to reach it, and what may be done to it."""

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from botocore.config import Config
from flask import current_app

from shop import target as targets
from shop.console.jobs import Jobs
from shop.target import Target

if TYPE_CHECKING:
    from flask import Flask

    from shop.local.cloud import Cloud

_EXTENSION: Final = "shop_console"
_LOCAL_REFRESH: Final = 2
_AWS_REFRESH: Final = 15
"""Seconds: calls to AWS cost money and count towards limits that the stage itself needs."""
_PATIENT: Final = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard"})
"""A call that hangs holds one of the page's threads and of a browser's six connections: what is polled gives up in good
time, as it is asked for again anyway. What may take longer says so by a configuration of its own.
"""


class Console:
    """A stage as a page serves it; may be used by many threads.

    `may_act` says whether the page may change anything: place orders, send back, upload. `token` is what a browser has
    to show once, None where anybody on this machine may look, as at the local cloud itself. `jobs` is what it has at
    work in the background.
    """

    def __init__(self, stage: str, *, may_act: bool, token: str | None = None) -> None:
        self.stage = stage
        self.may_act = may_act
        self.token = token
        self.jobs = Jobs()
        self._clients = _Clients()
        self._connection: Target | None = None

    @property
    def is_local(self) -> bool:
        """Whether this is the local cloud of the checkout."""
        return self.stage == targets.LOCAL

    @property
    def refresh_seconds(self) -> int:
        """How often the page asks again for what is live."""
        return _LOCAL_REFRESH if self.is_local else _AWS_REFRESH

    def connect(self) -> Target:
        """Return the stage's cloud, its clients shared by all requests; raise ShopError as `target.connect` does."""
        if self._connection is None or self.is_local:  # a local cloud may have been replaced by another
            found = targets.connect(self.stage)
            self._connection = _Shared(
                found.stage, found.outputs, found.session, found.cloud, found.system, self._clients
            )
        return self._connection

    def find(self, system: str = targets.ORDER_PIPELINE) -> Target:
        """Return one of the stage's systems as it is deployed now; raise ShopError as `target.find` does."""
        return targets.at(self.connect(), system)


class _Clients:
    """Clients by cloud and service: to make one takes some 50 ms, and a session may not be used by two threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._found: dict[tuple[Cloud | None, str], Any] = {}

    def get(self, target: Target, service: str) -> Any:
        with self._lock:
            key = (target.cloud, service)
            if key not in self._found:
                self._found[key] = Target.client(target, service, _PATIENT)
            return self._found[key]

    def make(self, target: Target, service: str, config: Config) -> Any:
        with self._lock:
            return Target.client(target, service, config)


@dataclass(frozen=True)
class _Shared(Target):
    """A target whose clients are made once."""

    clients: _Clients = field(default_factory=_Clients, repr=False)

    def client(self, service: str, config: Config | None = None) -> Any:
        return self.clients.make(self, service, config) if config else self.clients.get(self, service)


def install(app: "Flask", console: Console) -> None:
    """Have the app serve this console."""
    app.extensions[_EXTENSION] = console


def current() -> Console:
    """Return the console of the request that is being answered."""
    found: Console = current_app.extensions[_EXTENSION]
    return found
