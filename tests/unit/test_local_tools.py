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


LOCKED = "uv==1.2 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb"


@pytest.fixture
def installing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A lock file, and a file that notes with which arguments the programs of a virtual environment were started."""
    bin_folder = tmp_path / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    for name in ("python", "uv"):
        _tool(bin_folder, name, f'"$0" "$@" >> {tmp_path}/calls')
    monkeypatch.setattr(tools, "VENV", tmp_path / "venv")
    monkeypatch.setattr(tools, "venv_python", lambda: bin_folder / "python")
    lock = tmp_path / "requirements.txt"
    lock.write_text(f"tool==1.0 \\\n    --hash=sha256:00\n    # via x\n{LOCKED}\n    # via y\nuvloop==3.0\n")
    return lock, tmp_path / "calls"


def test_uv_itself_is_installed_by_its_hashes(installing: tuple[Path, Path]) -> None:
    lock, calls = installing
    tools._install_uv(lock)
    last = calls.read_text().splitlines()[-1].split()
    assert last[1:4] == ["-m", "pip", "install"]
    assert "--require-hashes" in last
    assert Path(last[-1]).read_text() == LOCKED


def test_what_is_installed_has_to_have_the_locked_hashes(installing: tuple[Path, Path]) -> None:
    lock, calls = installing
    tools._install(["--target", "there"], [lock])
    [call] = calls.read_text().splitlines()
    assert "--require-hashes" in call.split()
    assert call.endswith(f"--target there --requirement {lock}")


def test_set_up_builds_nothing(installing: tuple[Path, Path]) -> None:
    """A build runs whatever of its tools is the newest: those no lock file pins."""
    lock, calls = installing
    tools._install_uv(lock)
    tools._install(["--target", "there"], [lock])
    installs = [call for call in calls.read_text().splitlines() if " pip install " in call]
    assert len(installs) == 2
    assert all("--only-binary :all:" in call and "--no-binary" not in call for call in installs)


def test_what_only_benchmarks_need_is_built_by_locked_tools(installing: tuple[Path, Path]) -> None:
    _, calls = installing
    tools.set_up_bench(lambda _: None)
    tools.set_up_bench(lambda _: None)  # is there
    [call] = calls.read_text().splitlines()
    assert "--require-hashes --only-binary :all: --no-binary pyvips" in call
    assert f"--build-constraints {tools.ROOT}/requirements-bench-build.txt" in call
    assert call.endswith(f"--requirement {tools.ROOT}/requirements-bench.txt")


@pytest.mark.usefixtures("installing")
def test_benchmarks_go_without_what_cannot_be_had() -> None:
    tools.venv_python().with_name("uv").write_text("#!/bin/sh\nexit 1\n")
    said: list[str] = []
    tools.set_up_bench(said.append)
    assert said[-1].startswith("No libvips, so the benchmark of images leaves it out: exit code 1 from: ")
    tools.set_up_bench(said.append)
    assert len(said) == 4, "it is tried again"


def test_a_lock_without_hashes_is_refused(installing: tuple[Path, Path]) -> None:
    lock, _ = installing
    lock.write_text("uv==1.2\n    # via y\n")
    with pytest.raises(tools.SetUpError, match=r"requirements\.txt: uv is not pinned with hashes"):
        tools._install_uv(lock)
