from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from shop.local import cloud, emulator, process
from shop.local.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path)


def test_the_emulator_is_told_to_listen_on_the_loopback_address_alone(paths: Paths) -> None:
    environment = emulator._environment(paths, 4999)
    assert (environment["BIND_HOST"], environment["GATEWAY_PORT"]) == ("127.0.0.1", "4999")


def test_functions_inherit_the_databases_authority_and_no_setting_of_the_users(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    environment = emulator._environment(paths, 4999)
    assert environment["DB_CA_BUNDLE"] == str(paths.tls / "ca.crt")
    assert "AWS_PROFILE" not in environment


def test_without_a_pid_file_nothing_runs(paths: Paths) -> None:
    assert emulator.find(paths) is None
    status = cloud.status(paths.folder)
    assert (status.running, status.pid, status.cloud, status.stacks) == (False, None, None, ())


def test_a_port_that_another_program_has_is_refused_in_one_line(paths: Paths) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(emulator.EmulatorError, match=f"port: {port} is used by another program") as refusal:
            emulator.start(paths, port, lambda _: None)
    assert "\n" not in str(refusal.value)


def test_a_port_that_is_taken_while_starting_is_given_up_for_another(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {emulator.PREFERRED_PORT}
    started = []

    def start_on(_paths: Paths, port: int, _progress: object) -> process.Running:
        started.append(port)
        if port in taken:
            raise emulator.EmulatorError("already in use")
        return process.Running(pid=1, port=port)

    # The first question is asked before the other program takes the port, the next one after.
    answers = iter([True, False])
    monkeypatch.setattr(process, "is_free", lambda _: next(answers))
    monkeypatch.setattr(emulator, "_start_on", start_on)
    found = emulator.start(paths, None, lambda _: None)
    assert started == [emulator.PREFERRED_PORT, found.port]
    assert found.port not in taken


def test_down_of_what_does_not_run_removes_what_a_killed_cloud_left(paths: Paths) -> None:
    paths.cloud_json.write_text("{}")
    paths.data.mkdir()
    assert cloud.down(paths.folder, progress=lambda _: None) is False
    assert not paths.cloud_json.exists()
    assert not paths.data.exists()


def test_the_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_LOCAL_DIR", str(tmp_path))
    assert cloud.default_folder() == tmp_path
    monkeypatch.delenv("SHOP_LOCAL_DIR")
    assert cloud.default_folder().name == ".local"
