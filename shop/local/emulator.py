"""The emulator: started in the background with the environment that it needs, found again, stopped."""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from shop.errors import ShopError
from shop.local import permissions_log, process, rds, tls, tools

if TYPE_CHECKING:
    from collections.abc import Callable

    from shop.local.paths import Paths
    from shop.local.process import Running

PREFERRED_PORT = 4566
REGION = "us-east-1"

_START_SECONDS = 30.0
_STOP_SECONDS = 2.0
_LOG_TAIL_LINES = 5


class EmulatorError(ShopError):
    """The emulator does not start, or cannot have the port."""


def find(paths: Paths) -> Running | None:
    """The emulator of this folder, or None where none runs."""
    return process.find(paths.pid_file)


def start(paths: Paths, port: int | None, progress: Callable[[str], None]) -> Running:
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
        if port is not None or process.is_free(chosen):
            raise
        return _start_on(paths, process.any_free_port(), progress)


def _start_on(paths: Paths, port: int, progress: Callable[[str], None]) -> Running:
    progress(f"Starting the emulator on port {port}")
    launched = _launch(paths, port)
    _wait_until_healthy(paths, launched, port)
    return process.Running(pid=launched.pid, port=port)


def stop(paths: Paths, emulator: Running) -> None:
    """End the emulator and the functions' processes, and wait for the end.

    Its state ends with it: the emulator could keep it over a restart, but then the readers of a table's stream lose
    their place and announce nothing any more, and stopping takes half a minute.
    """
    process.stop(paths.pid_file, emulator, seconds=_STOP_SECONDS)


def _with_port(running: Running, port: int | None) -> Running:
    if port is not None and port != running.port:
        raise EmulatorError(f"port: the local cloud already runs on {running.port}; `make down` it to use {port}")
    return running


def _choose_port(port: int | None) -> int:
    if port is not None:
        if not process.is_free(port):
            raise EmulatorError(f"port: {port} is used by another program, or not allowed")
        return port
    return PREFERRED_PORT if process.is_free(PREFERRED_PORT) else process.any_free_port()


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
    authority, certificate, key = tls.ensure_certificates(paths.tls)
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
        "BIND_HOST": process.HOST,
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
        rds.FOLDER_VARIABLE: str(paths.folder),
        # For the functions: what the database's certificate is verified against, instead of the bundle of RDS.
        "DB_CA_BUNDLE": str(authority),
        # It would otherwise remove containers of other emulators on this machine.
        "DOCKER_HOST": "unix:///nonexistent",
        # Where the decisions about requests are to be kept; without it, they are not.
        permissions_log.VARIABLE: os.environ.get(permissions_log.VARIABLE, ""),
    }


def _wait_until_healthy(paths: Paths, launched: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _is_healthy(paths, port):
        if launched.poll() is not None:
            raise EmulatorError(f"the emulator ended while starting: {_log_tail(paths)}")
        if time.monotonic() > deadline:
            os.killpg(launched.pid, signal.SIGKILL)
            raise EmulatorError(f"the emulator did not answer in {_START_SECONDS:.0f} s: {_log_tail(paths)}")
        time.sleep(process.POLL_SECONDS)


def _is_healthy(paths: Paths, port: int) -> bool:
    try:
        context = ssl.create_default_context(cafile=str(tls.ensure_certificates(paths.tls)[0]))
        connection = http.client.HTTPSConnection(process.HOST, port, timeout=5, context=context)
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
