"""The emulator as a process: started in the background, found again, stopped.

Whether it runs is told by a lock that the emulator's process holds on its pid file, never by the number in the file
alone: the system frees the lock however the process ends, so a stale file or a number that another program has by now
mislead nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shop.errors import ShopError
from shop.local import tls, tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from shop.local.paths import Paths

PREFERRED_PORT = 4566
REGION = "us-east-1"

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
_STOP_SECONDS = 2.0
_KILL_SECONDS = 10.0
_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 5


class EmulatorError(ShopError):
    """The emulator does not start, or cannot have the port."""


@dataclass(frozen=True)
class Emulator:
    """An emulator that runs: its process and its port on the loopback address."""

    pid: int
    port: int


def find(paths: Paths) -> Emulator | None:
    """The emulator of this folder, or None where none runs."""
    try:
        stream = paths.pid_file.open()
    except FileNotFoundError:
        return None
    with stream:
        deadline = time.monotonic() + 1
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return None
            stream.seek(0)
            found = _parse_pid(stream.read())
            # Between taking the lock and writing the number the file is empty, or still the one of the last run.
            if found or time.monotonic() > deadline:
                return found
            time.sleep(_POLL_SECONDS)


def _parse_pid(text: str) -> Emulator | None:
    try:
        value = json.loads(text)
        return Emulator(pid=int(value["pid"]), port=int(value["port"]))
    except (ValueError, KeyError, TypeError):
        return None


def start(paths: Paths, port: int | None, progress: Callable[[str], None]) -> Emulator:
    """The running emulator of this folder, started if there is none. Raises EmulatorError.

    Without a `port` it is 4566, or any that is free where another program has that one.
    """
    running = find(paths)
    if running and _is_healthy(paths, running.port):
        return _with_port(running, port)
    if running:
        progress("The emulator does not answer; starting it anew")
        stop(paths, running)
    chosen = _choose_port(port)
    try:
        return _start_on(paths, chosen, progress)
    except EmulatorError:
        # Another program may have taken the port since it was found free, such as a second cloud that starts now.
        if port is not None or _is_free(chosen):
            raise
        return _start_on(paths, any_free_port(), progress)


def _start_on(paths: Paths, port: int, progress: Callable[[str], None]) -> Emulator:
    progress(f"Starting the emulator on port {port}")
    process = _launch(paths, port)
    _wait_until_healthy(paths, process, port)
    return Emulator(pid=process.pid, port=port)


def stop(paths: Paths, emulator: Emulator) -> None:
    """End the emulator and the functions' processes, and wait for the end.

    Its state ends with it: the emulator could keep it over a restart, but then the readers of a table's stream lose
    their place and announce nothing any more, and stopping takes half a minute.
    """
    _signal(emulator.pid, signal.SIGTERM)
    if not _ends(paths, _STOP_SECONDS):
        _signal(emulator.pid, signal.SIGKILL)
        _ends(paths, _KILL_SECONDS)
    # The emulator leads a process group of its own; what is left of it are functions that hang.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(emulator.pid, signal.SIGKILL)
    paths.pid_file.unlink(missing_ok=True)


def _ends(paths: Paths, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while find(paths):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _with_port(running: Emulator, port: int | None) -> Emulator:
    if port is not None and port != running.port:
        raise EmulatorError(f"port: the local cloud already runs on {running.port}; `make down` it to use {port}")
    return running


def _choose_port(port: int | None) -> int:
    if port is not None:
        if not _is_free(port):
            raise EmulatorError(f"port: {port} is used by another program, or not allowed")
        return port
    return PREFERRED_PORT if _is_free(PREFERRED_PORT) else any_free_port()


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without it a port whose last connections have just ended counts as used for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def any_free_port() -> int:
    """A port on the loopback address that nobody uses at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _launch(paths: Paths, port: int) -> subprocess.Popen[bytes]:
    launcher = Path(__file__).with_name("launcher.py")
    environment = _environment(paths, port)
    python = tools.venv_python(tools.EMULATOR)
    if not python.exists():
        raise EmulatorError("the emulator is not installed: run `make setup`")
    with paths.log_file.open("wb") as log:
        # -P: the launcher's folder must not be where the emulator looks for its modules.
        return subprocess.Popen(  # noqa: S603 - both files are the project's own
            [str(python), "-P", str(launcher), str(paths.pid_file)],
            env=environment,
            cwd=paths.data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _environment(paths: Paths, port: int) -> dict[str, str]:
    """The emulator's whole environment. Functions inherit it, so nothing of the user's own may be in it."""
    _, certificate, key = tls.ensure_certificates(paths.tls)
    folders = {name: paths.data / name for name in ("tmp", "state", "s3", "home")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folders["home"]),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONNOUSERSITE": "1",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": _HOST,
        "MINISTACK_REGION": REGION,
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(certificate),
        "MINISTACK_SSL_KEY": str(key),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "TMPDIR": str(folders["tmp"]),
        "STATE_DIR": str(folders["state"]),
        "S3_DATA_DIR": str(folders["s3"]),
        # It would otherwise remove containers of other emulators on this machine.
        "DOCKER_HOST": "unix:///nonexistent",
    }


def _wait_until_healthy(paths: Paths, process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_healthy(paths, port):
        if process.poll() is not None:
            raise EmulatorError(f"the emulator ended while starting: {_log_tail(paths)}")
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise EmulatorError(f"the emulator did not answer in {_START_SECONDS:.0f} s: {_log_tail(paths)}")
        time.sleep(_POLL_SECONDS)


def _is_healthy(paths: Paths, port: int) -> bool:
    try:
        context = ssl.create_default_context(cafile=str(tls.ensure_certificates(paths.tls)[0]))
        connection = http.client.HTTPSConnection(_HOST, port, timeout=5, context=context)
        try:
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


def _log_tail(paths: Paths) -> str:
    lines = paths.log_file.read_text(errors="replace").strip().splitlines()
    return " / ".join(line.strip() for line in lines[-_LOG_TAIL_LINES:]) + f" (log: {paths.log_file})"
