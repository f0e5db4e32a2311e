"""A server of the local cloud as a process: started in the background, found again, stopped.

Whether it runs is told by a lock that its process holds on a pid file, never by the number in the file alone: the
system frees the lock however the process ends, so a stale file or a number that another program has by now mislead
nobody. Run as a program it takes the lock and becomes the server, which keeps it. Only the standard library may be
imported here: the emulator's interpreter runs this, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HOST = "127.0.0.1"
POLL_SECONDS = 0.05

_LOCK_SECONDS = 5.0
_WRITTEN_SECONDS = 1.0
_KILL_SECONDS = 10.0


@dataclass(frozen=True)
class Running:
    """A server that runs: its process, which leads a process group, and its port on the loopback address."""

    pid: int
    port: int


def find(pid_file: Path) -> Running | None:
    """The server that holds this file, or None where none does."""
    try:
        stream = pid_file.open()
    except FileNotFoundError:
        return None
    with stream:
        deadline = time.monotonic() + _WRITTEN_SECONDS
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return None
            stream.seek(0)
            found = _parse(stream.read())
            # Between taking the lock and writing the number the file is empty, or still the one of the last run.
            if found or time.monotonic() > deadline:
                return found
            time.sleep(POLL_SECONDS)


def read(pid_file: Path) -> Running | None:
    """What the file says, whether that server runs or not; None where there is no such file."""
    try:
        return _parse(pid_file.read_text())
    except FileNotFoundError:
        return None


def _parse(text: str) -> Running | None:
    try:
        value = json.loads(text)
        return Running(pid=int(value["pid"]), port=int(value["port"]))
    except (ValueError, KeyError, TypeError):
        return None


def hold(pid_file: Path, port: int) -> IO[str]:
    """Say that this process is the server on `port`, for as long as it lives or the stream is open.

    Ends the process with one line where another one says so already.
    """
    stream = pid_file.open("a+")
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # Someone who asks for the status holds it for a moment.
            if time.monotonic() > deadline:
                sys.exit(f"another server holds {pid_file}")
            time.sleep(POLL_SECONDS)
    stream.truncate(0)
    stream.write(json.dumps({"pid": os.getpid(), "port": port}))
    stream.flush()
    return stream


def stop(pid_file: Path, running: Running, *, seconds: float) -> None:
    """End the server and all of its process group, and wait for the end; after `seconds` by force."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGTERM)
    ended = _ends(pid_file, seconds)
    # Also when it has ended: what is left of its group are children that hang, such as functions of the emulator.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(running.pid, signal.SIGKILL)
    if not ended:
        _ends(pid_file, _KILL_SECONDS)
    pid_file.unlink(missing_ok=True)


def _ends(pid_file: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while find(pid_file):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of the loopback address, and this user may."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without it a port whose last connections have just ended counts as used for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def any_free_port() -> int:
    """A port on the loopback address that nobody uses at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def become(pid_file: str, port: str, *command: str) -> None:
    """Take the lock and become the program of `command`, with the same process id and the lock."""
    stream = hold(Path(pid_file), int(port))
    os.set_inheritable(stream.fileno(), True)
    os.execv(command[0], command)  # noqa: S606 - the caller's program, no shell


if __name__ == "__main__":
    become(*sys.argv[1:])
