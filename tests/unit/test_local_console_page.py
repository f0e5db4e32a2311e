"""The console page as a process of the local cloud: found, kept, replaced, given up."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from shop.local import cloud as local_cloud
from shop.local import console_page, emulator, process, tools
from shop.local.paths import Paths
from tests.polling import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shop.local.process import Running


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """The folder of a cloud of which nothing but the page runs, with a space in its path."""
    found = Paths(tmp_path_factory.mktemp("only a page"))
    yield found
    console_page.stop(found)


@pytest.fixture
def page(paths: Paths) -> Running:
    """A page that answers."""
    return console_page.wait(paths, console_page.launch(paths))


def _kill(paths: Paths, running: Running) -> None:
    os.killpg(running.pid, signal.SIGKILL)
    eventually(lambda: console_page.find(paths) is None)


def test_a_page_that_answers_is_kept(paths: Paths, page: Running) -> None:
    assert console_page.launch(paths) == page
    assert console_page.find(paths) == page
    assert console_page.url(page) == f"http://127.0.0.1:{page.port}/"


def test_a_killed_page_comes_back_at_its_address(paths: Paths, page: Running) -> None:
    _kill(paths, page)
    again = console_page.wait(paths, console_page.launch(paths))
    assert again.pid != page.pid
    assert again.port == page.port


def test_the_page_of_the_next_cloud_has_the_address_of_the_last(paths: Paths, page: Running) -> None:
    with socket.create_server((process.HOST, 0)) as other:
        port = other.getsockname()[1]
    local_cloud.down(paths.folder, progress=lambda _: None)
    paths.console_port.write_text(str(port))
    again = console_page.wait(paths, console_page.launch(paths))
    assert again.port == port != page.port
    local_cloud.down(paths.folder, progress=lambda _: None)
    assert console_page.launch(paths).port == port


@pytest.mark.parametrize("kept", ["", "x", "0", "70000"])
def test_a_port_that_was_not_kept_whole_is_none(tmp_path: Path, kept: str) -> None:
    (tmp_path / "console.port").write_text(kept)
    assert console_page._choose_port(Paths(tmp_path)) > 1023


def test_the_page_ends_before_the_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(console_page, "stop", lambda _: ended.append("page"))
    monkeypatch.setattr(emulator, "find", lambda _: process.Running(pid=1, port=1))
    monkeypatch.setattr(emulator, "stop", lambda *_: ended.append("emulator"))
    assert local_cloud.down(tmp_path, progress=lambda _: None)
    assert ended == ["page", "emulator"]


@pytest.mark.slow
def test_a_page_that_hangs_is_replaced(paths: Paths, page: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_page, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(console_page, "_STOP_SECONDS", 0.1)
    os.kill(page.pid, signal.SIGSTOP)
    launched = console_page.launch(paths)
    monkeypatch.undo()
    assert console_page.wait(paths, launched).pid != page.pid


@pytest.mark.slow
def test_a_page_older_than_its_code_is_replaced(paths: Paths, page: Running) -> None:
    os.utime(paths.console_pid, (0, 0))
    again = console_page.wait(paths, console_page.launch(paths))
    assert again.pid != page.pid
    assert console_page.launch(paths) == again


def test_a_port_that_is_taken_is_left_to_its_owner(paths: Paths, page: Running) -> None:
    _kill(paths, page)
    with socket.create_server((process.HOST, page.port)):
        other = console_page.wait(paths, console_page.launch(paths))
    assert other.port != page.port


@pytest.mark.slow
def test_a_port_that_is_taken_while_the_page_starts_is_left_as_well(
    paths: Paths, page: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kill(paths, page)
    monkeypatch.setattr(console_page, "_ANSWER_SECONDS", 0.5)  # the owner takes connections and says nothing
    with socket.create_server((process.HOST, page.port)):
        with monkeypatch.context() as patched:
            patched.setattr(process, "is_free", lambda port: port == page.port)
            launched = console_page.launch(paths)
        eventually(lambda: console_page.find(paths) is None)
        again = console_page.wait(paths, launched)
    assert launched.port == page.port
    assert again.port != page.port


@pytest.mark.slow
def test_the_page_of_another_cloud_is_not_taken_for_its_own(
    page: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Paths(tmp_path)
    other.console_port.write_text(str(page.port))
    with monkeypatch.context() as patched:
        patched.setattr(process, "is_free", lambda _: True)  # as it was when both began
        launched = console_page.launch(other)
    try:
        found = console_page.wait(other, launched)
        assert launched.port == page.port != found.port
        assert console_page.find(other) == found
    finally:
        console_page.stop(other)


def test_a_page_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    nowhere = Paths(tmp_path)
    (tmp_path / "shop.py").write_text("raise SystemExit('no page today')")
    monkeypatch.setattr(tools, "ROOT", tmp_path)
    (tmp_path / "requirements.txt").touch()
    with pytest.raises(console_page.ConsolePageError, match=r"ended while starting: no page today \(log: .*console"):
        console_page.wait(nowhere, console_page.launch(nowhere))
    assert console_page.find(nowhere) is None
    assert capfd.readouterr() == ("", "")


def test_down_ends_the_page_that_an_interrupted_up_has_left(paths: Paths, page: Running) -> None:
    assert local_cloud.status(paths.folder).console == page
    assert local_cloud.down(paths.folder, progress=lambda _: None) is False  # there was no emulator
    assert local_cloud.status(paths.folder).console is None


def test_stop_ends_it_and_is_harmless_when_repeated(paths: Paths, page: Running) -> None:
    assert console_page.find(paths) == page
    for _ in range(2):
        console_page.stop(paths)
        assert console_page.find(paths) is None
        assert not paths.console_pid.exists()
