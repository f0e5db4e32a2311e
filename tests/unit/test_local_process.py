from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from shop.local import process
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "server.pid"


@pytest.fixture
def server(pid_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has become a server which ignores being asked to end, with a child in its group."""
    script = "trap '' TERM; sleep 60 & echo ready; while :; do wait; done"
    command = [sys.executable, "-P", process.__file__, str(pid_file), "4999", "/bin/sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield child
        if process.find(pid_file):
            os.killpg(child.pid, signal.SIGKILL)


def test_a_pid_file_that_nobody_holds_is_stale_even_if_the_number_is_somebodys(pid_file: Path) -> None:
    pid_file.write_text(json.dumps({"pid": os.getpid(), "port": 4566}))
    assert process.find(pid_file) is None


def test_a_held_pid_file_tells_process_and_port(pid_file: Path) -> None:
    with process.hold(pid_file, 4999):
        assert process.find(pid_file) == process.Running(pid=os.getpid(), port=4999)
    assert process.find(pid_file) is None


def test_a_held_file_without_a_number_yet_is_waited_for(pid_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pid_file.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)

        def write(_: float) -> None:
            stream.write(json.dumps({"pid": 7, "port": 4999}))
            stream.flush()

        monkeypatch.setattr(time, "sleep", write)
        assert process.find(pid_file) == process.Running(pid=7, port=4999)


def test_the_program_that_a_process_becomes_keeps_the_lock(pid_file: Path, server: subprocess.Popen[bytes]) -> None:
    assert process.find(pid_file) == process.Running(pid=server.pid, port=4999)


def test_what_does_not_end_is_ended_with_its_children(pid_file: Path, server: subprocess.Popen[bytes]) -> None:
    running = process.find(pid_file)
    assert running is not None
    process.stop(pid_file, running, seconds=0.1)
    assert server.wait(10) == -signal.SIGKILL
    assert not pid_file.exists()
    # The child has the other end of the pipe as long as it lives.
    assert server.stdout is not None
    assert server.stdout.read() == b""


def test_a_killed_server_is_not_found_though_its_file_is_there(pid_file: Path, server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGKILL)
    eventually(lambda: process.find(pid_file) is None)
    assert pid_file.exists()


def test_a_second_server_is_refused(
    pid_file: Path, server: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert process.find(pid_file) == process.Running(server.pid, 4999)
    monkeypatch.setattr(process, "_LOCK_SECONDS", 0.1)
    with pytest.raises(SystemExit, match="another server holds"):
        process.hold(pid_file, 5000)


def test_a_port_that_somebody_has_is_not_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert not process.is_free(other.getsockname()[1])
    assert process.is_free(process.any_free_port())
    assert not process.is_free(70_000)
