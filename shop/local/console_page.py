"""The local cloud's console page as a process: `python -m shop console` in the background, for as long as the cloud is.

The page is for looking on, so a cloud without it is a cloud all the same: whoever starts it goes on without.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from shop.errors import ShopError
from shop.local import process, tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shop.local.paths import Paths
    from shop.local.process import Running

PREFERRED_PORT = 4580

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_LOG_TAIL_LINES = 1
_PORTS = 65_536
_CODE = ("shop", "stacks", "lambdas/shared")
"""Folders with what the page runs; changed files there take effect with a new process."""
_SUFFIXES = (".py", ".html", ".json")


class ConsolePageError(ShopError):
    """The page does not start."""


def url(running: Running) -> str:
    """The page's address: by number, as another program may listen to what `localhost` names first, ::1."""
    return f"http://{process.HOST}:{running.port}/"


def find(paths: Paths) -> Running | None:
    """The page's process, or None where none runs."""
    return process.find(paths.console_pid)


def launch(paths: Paths) -> Running:
    """The page's process, started if there is none; `wait` says when it answers. Raises ConsolePageError.

    One that does not answer, or is older than its code, is replaced. The port is that of the last one, so that a page
    that is open in a browser goes on; else 4580; else any.
    """
    running = find(paths)
    if running and _is_up(paths, running) and not _is_older_than_code(paths.console_pid):
        return running
    stop(paths)
    return _launch(paths, _choose_port(paths))


def wait(paths: Paths, launched: Running) -> Running:
    """The page as it answers: `launched`, or another on another port where that one was taken meanwhile.

    Raises ConsolePageError where it ends before it answers, or takes too long.
    """
    try:
        return _wait(paths, launched)
    except ConsolePageError:
        # Another program may have taken the port since it was found free, such as a second cloud that starts now.
        if process.is_free(launched.port):
            raise
        return _wait(paths, _launch(paths, process.any_free_port()))


def stop(paths: Paths) -> None:
    """Stop the page's process, if there is one, and wait for its end."""
    running = find(paths)
    if running:
        process.stop(paths.console_pid, running, seconds=_STOP_SECONDS)
    paths.console_pid.unlink(missing_ok=True)


def _choose_port(paths: Paths) -> int:
    wanted = (_last_port(paths) or PREFERRED_PORT, PREFERRED_PORT)
    return next((port for port in wanted if process.is_free(port)), None) or process.any_free_port()


def _last_port(paths: Paths) -> int | None:
    try:
        port = int(paths.console_port.read_text())
    except (FileNotFoundError, ValueError):  # none yet, or a file that was cut short
        return None
    return port if 0 < port < _PORTS else None


def _launch(paths: Paths, port: int) -> Running:
    page = [sys.executable, "-m", "shop", "console", "--port", str(port)]
    holder = [sys.executable, "-P", process.__file__, str(paths.console_pid), str(port)]
    with paths.console_log.open("wb") as log:
        child = subprocess.Popen(  # noqa: S603 - both programs are the project's own
            [*holder, *page],
            env={**os.environ, "SHOP_LOCAL_DIR": str(paths.folder), "PYTHONUNBUFFERED": "1"},
            cwd=tools.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while find(paths) is None:
        if child.poll() is not None:
            raise ConsolePageError(f"it ended while starting: {_log_tail(paths)}")
        time.sleep(process.POLL_SECONDS)
    paths.console_port.write_text(str(port))
    return process.Running(pid=child.pid, port=port)


def _wait(paths: Paths, launched: Running) -> Running:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_up(paths, launched):
        if find(paths) is None:
            raise ConsolePageError(f"it ended while starting: {_log_tail(paths)}")
        if time.monotonic() > deadline:
            os.killpg(launched.pid, signal.SIGKILL)
            raise ConsolePageError(f"it did not answer in {_START_SECONDS:.0f} s: {_log_tail(paths)}")
        time.sleep(process.POLL_SECONDS)
    return launched


def _is_up(paths: Paths, running: Running) -> bool:
    """Whether it answers itself: a page of another cloud may have come first to the port that was found free."""
    # The page says its address once it has the port.
    said = paths.console_log.read_text(errors="replace") if paths.console_log.exists() else ""
    return url(running) in said and _answers(running.port)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(process.HOST, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_older_than_code(pid_file: Path) -> bool:
    started = pid_file.stat().st_mtime_ns
    return any(file.stat().st_mtime_ns > started for file in _code())


def _code() -> Iterator[Path]:
    yield tools.ROOT / "requirements.txt"
    for folder in _CODE:
        for file in (tools.ROOT / folder).rglob("*"):
            if file.suffix in _SUFFIXES and file.is_file():
                yield file


def _log_tail(paths: Paths) -> str:
    lines = [line.strip() for line in paths.console_log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-_LOG_TAIL_LINES:]) + f" (log: {paths.console_log})"
