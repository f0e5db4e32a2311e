from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from shop.local import tools


def _tool(folder: Path, name: str, prints: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho {prints}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("version", "is_used"), [("v22.1.0", True), ("v24.0.0", True), ("v20.9.9", False), ("?", False)]
)
def test_the_systems_node_is_used_where_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_used: bool
) -> None:
    _tool(tmp_path, "node", version)
    _tool(tmp_path, "npm", "10")
    monkeypatch.setenv("PATH", str(tmp_path))
    chosen = Path(tools.cdk_command()[0])
    assert (chosen == tmp_path / "node") is is_used
    assert is_used or chosen.is_relative_to(tools.NODE)


def test_a_node_without_npm_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tool(tmp_path, "node", "v24.0.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Path(tools.cdk_command()[0]).is_relative_to(tools.NODE)


def test_programs_find_the_node_that_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tool(tmp_path, "node", "v24.0.0")
    _tool(tmp_path, "npm", "10")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.node_path("/usr/bin") == f"{tmp_path}:/usr/bin"


@pytest.mark.parametrize("arguments", [[], ["set-up"], ["setup", "more"]])
def test_wrong_usage_is_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_set_up_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tools, "MINIMUM_PYTHON", (99, 0))
    assert tools.main(["setup"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: Python 3.")
    assert error.endswith("; 99.0 or later is needed\n")


def test_every_command_of_the_makefile_is_in_its_help() -> None:
    makefile = (tools.ROOT / "Makefile").read_text()
    [phony] = [line for line in makefile.splitlines() if line.startswith(".PHONY:")]
    # Without MAKEFLAGS, or a make that runs the tests would have this one print where it is.
    environment = {"PATH": os.environ["PATH"]}
    command = ["make", "help"]
    shown = subprocess.run(command, cwd=tools.ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in shown.splitlines()} == set(phony.split()[1:])


def test_a_setting_without_a_value_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["cdk", "synth", "--context", "stage=dev", "-c", "alarm_email"]) == 2
    assert "alarm_email" in capsys.readouterr().err


def test_what_a_program_is_does_not_depend_on_the_users_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tool(tmp_path, "node", "v24.0.0${NODE_OPTIONS:+ broken}")
    _tool(tmp_path, "npm", "10")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NODE_OPTIONS", "--no-such-option")
    assert tools._output(["node"]) == "v24.0.0"
