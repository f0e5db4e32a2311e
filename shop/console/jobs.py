"""Work that outlasts a request: it goes on in a thread, and the page asks now and then how far it is.

One of a kind runs at a time, since what is started twice by accident would be mailed or sent twice; the last of each
kind is kept with its result. A job ends with the console at the latest: whatever it had begun is then the stage's.
"""

import logging
from collections.abc import Callable
from threading import Lock, Thread
from typing import Any, Final, Generic, Literal, TypeVar

from shop.errors import ShopError, explain

T = TypeVar("T")

State = Literal["running", "done", "failed"]

_log: Final = logging.getLogger(__name__)


class Progress:
    """How far a job is, told by its work and read by the page: a text, and `done` of `total`, 0 where that is open."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.text = ""
        self.done = 0
        self.total = 0

    def begin(self, text: str, total: int = 0) -> None:
        """Say what is done from now on, and how many steps of it there are."""
        with self._lock:
            self.text, self.done, self.total = text, 0, total

    def advance(self, steps: int = 1) -> None:
        """Count steps as done; may be called by several threads."""
        with self._lock:
            self.done += steps


class Job(Generic[T]):
    """One piece of work and what became of it: `result` once it is done, `error`, one line, once it has failed."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.progress = Progress()
        self.state: State = "running"
        self.result: T | None = None
        self.error: str | None = None

    def run(self, work: Callable[[Progress], T]) -> None:
        """Do the work in the thread that calls, and keep how it ended."""
        try:
            self.result = work(self.progress)
        except Exception as error:  # noqa: BLE001 - nobody is there to catch it: the page shows it instead
            self.error = explain(error) or self._report_bug(error)
            self.state = "failed"
        else:
            self.state = "done"

    def _report_bug(self, error: Exception) -> str:
        _log.error("%s failed", self.kind, exc_info=error)
        return f"{self.kind} failed: {type(error).__name__}; the console's log has the traceback"


class Jobs:
    """The jobs of a console, by kind; may be used by many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: dict[str, Job[Any]] = {}

    def start(self, kind: str, work: Callable[[Progress], T]) -> Job[T]:
        """Begin work in the background; return its job. Raises ShopError while another of the kind runs.

        `kind` names it in what a person reads, such as `the upload`.
        """
        job: Job[T] = Job(kind)
        with self._lock:
            last = self._last.get(kind)
            if last is not None and last.state == "running":
                raise ShopError(f"{kind} is running already: wait until it has ended")
            self._last[kind] = job
        Thread(target=job.run, args=(work,), name=kind, daemon=True).start()
        return job

    def last(self, kind: str) -> Job[Any] | None:
        """Return the newest job of a kind, None where none was started."""
        with self._lock:
            return self._last.get(kind)
