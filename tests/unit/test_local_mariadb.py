from __future__ import annotations

from pathlib import Path

import pytest

from shop.local import mariadb, tools

_PLAN = """\
Inst libaio1 (0.3.113-4 Debian:12.15/oldstable [amd64])
Inst libc6 [2.36-9] (2.36-10 Debian:12.15/oldstable [amd64])
Inst mariadb-server-core (1:10.11.19-0+deb12u1 Debian-Security:12/oldstable-security [amd64])
Conf libaio1 (0.3.113-4 Debian:12.15/oldstable [amd64])
"""


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(mariadb.CHOICE, raising=False)


def _program(path: Path, prints: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{prints}\n")
    path.chmod(0o755)
    return path


def _install(prefix: Path, names: str = "mysql", folder: str = "sbin", share: str = "share/mysql") -> Path:
    """A server as packages lay it out; returns its program."""
    (prefix / share).mkdir(parents=True)
    for part in ("system_tables", "performance_tables", "system_tables_data"):
        (prefix / share / f"{names}_{part}.sql").touch()
    return _program(prefix / folder / "mariadbd")


def _only(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """The machine has programs in these folders and nowhere else."""
    monkeypatch.setenv("PATH", ":".join(map(str, folders)))
    monkeypatch.setattr(mariadb, "_FOLDERS", ())


@pytest.mark.parametrize(("names", "share"), [("mysql", "share/mysql"), ("mariadb", "share/mariadb")])
def test_the_machines_server_is_used_with_its_sql_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: str, share: str
) -> None:
    program = _install(tmp_path / "usr", names, share=share)
    _only(monkeypatch, program.parent)
    server = mariadb.find(tmp_path / "unpacked")
    assert server == mariadb.Server(program, tmp_path / "usr" / share)
    assert [path.name for path in server.sql_files] == [
        f"{names}_system_tables.sql",
        f"{names}_performance_tables.sql",
        f"{names}_system_tables_data.sql",
    ]
    assert "LD_LIBRARY_PATH" not in server.environment()


def test_a_server_behind_a_link_has_its_files_where_the_link_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = _install(tmp_path / "Cellar" / "mariadb", folder="bin")
    link = tmp_path / "bin" / "mariadbd"
    link.parent.mkdir()
    link.symlink_to(program)
    _only(monkeypatch, link.parent)
    found = mariadb.find(tmp_path / "unpacked")
    assert found is not None
    assert found.program == program


def test_an_unpacked_server_is_used_with_its_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, tmp_path)
    program = _install(tmp_path / "unpacked" / "usr")
    library = tmp_path / "unpacked" / "usr" / "lib" / "x86_64-linux-gnu" / "libaio.so.1"
    library.parent.mkdir(parents=True)
    library.touch()
    server = mariadb.find(tmp_path / "unpacked")
    assert server is not None
    assert server.program == program
    assert server.environment()["LD_LIBRARY_PATH"] == str(library.parent)


def test_a_server_without_its_sql_files_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "bin" / "mariadbd")
    _only(monkeypatch, tmp_path / "bin")
    assert mariadb.find(tmp_path / "unpacked") is None


def test_the_user_can_choose_the_server_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed, other = _install(tmp_path / "usr"), _install(tmp_path / "other")
    _only(monkeypatch, installed.parent)
    monkeypatch.setenv(mariadb.CHOICE, str(other))
    assert mariadb.find(tmp_path) == mariadb.Server(other, tmp_path / "other" / "share" / "mysql")
    monkeypatch.setenv(mariadb.CHOICE, "none")
    assert mariadb.find(tmp_path) is None
    monkeypatch.setenv(mariadb.CHOICE, str(tmp_path / "missing"))
    with pytest.raises(mariadb.MariadbError, match=r"SHOP_MARIADBD: .*/missing is no mariadbd"):
        mariadb.find(tmp_path)


def test_without_debians_tools_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, tmp_path)
    with pytest.raises(mariadb.MariadbError, match="brew install mariadb"):
        mariadb.unpack(tmp_path / "mariadb")


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a machine's programs: apt-get and apt-cache that know packages, dpkg that unpacks them."""
    folder = tmp_path / "bin"
    (tmp_path / "plan").write_text(_PLAN)
    search = "printf 'mariadb-server-core - the server\\nmariadb-server-core-10.6 - the server\\n'"
    _program(folder / "apt-cache", search)
    simulate, download = f"*--simulate*) cat {tmp_path}/plan;;", "*download*) touch a.deb;;"
    _program(folder / "apt-get", f'echo "$@" >> {tmp_path}/calls\ncase "$*" in {simulate} {download} esac')
    layout = _install(tmp_path / "package" / "usr")
    _program(folder / "dpkg", f'cp -r {layout.parent.parent} "$3/usr"')
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return tmp_path


def test_the_package_and_what_is_missing_is_fetched_and_unpacked(debian: Path) -> None:
    folder = debian / "tools" / "mariadb"
    mariadb.unpack(folder)
    assert (folder / "usr" / "sbin" / "mariadbd").is_file()
    update, _simulate, download = (debian / "calls").read_text().splitlines()
    assert update.endswith("update")
    assert download.endswith("download libaio1=0.3.113-4 mariadb-server-core=1:10.11.19-0+deb12u1")
    # Nothing of the machine's own lists and caches is touched.
    assert f"Dir::State::lists={folder}.draft/lists" in update
    assert f"Dir::Cache={folder}.draft/cache" in update
    assert [path.name for path in folder.parent.iterdir()] == ["mariadb"]


def test_an_older_release_names_the_package_after_its_version(debian: Path) -> None:
    _program(debian / "bin" / "apt-cache", "printf 'mariadb-server-core-10.6 - x\\nmariadb-server-core-10.11 - y\\n'")
    (debian / "plan").write_text("Inst mariadb-server-core-10.11 (1:10.11.2 Ubuntu:22.04/jammy [amd64])\n")
    mariadb.unpack(debian / "tools" / "mariadb")
    assert "download mariadb-server-core-10.11=1:10.11.2" in (debian / "calls").read_text()


@pytest.mark.parametrize(
    ("program", "prints", "says"),
    [
        ("apt-get", "echo E: no network >&2; exit 100", "apt-get failed: E: no network"),
        ("apt-cache", "true", "the package sources of this machine have no mariadb-server-core"),
        ("dpkg", "true", "has no mariadbd"),
    ],
)
def test_what_fails_is_said_in_one_line_and_leaves_what_was_there(
    debian: Path, program: str, prints: str, says: str
) -> None:
    folder = debian / "tools" / "mariadb"
    _install(folder / "usr")
    _program(debian / "bin" / program, prints)
    with pytest.raises(mariadb.MariadbError, match=says) as failure:
        mariadb.unpack(folder)
    assert "\n" not in str(failure.value)
    assert (folder / "usr" / "sbin" / "mariadbd").is_file()
    assert [path.name for path in folder.parent.iterdir()] == ["mariadb"]


def test_set_up_goes_on_without_a_server_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    _only(monkeypatch, tmp_path)
    monkeypatch.setattr(tools, "MARIADB", tmp_path / "mariadb")
    monkeypatch.setattr(tools, "TOOLS", tmp_path)
    tools._set_up_mariadb(said.append)
    assert len(said) == 2
    assert said[1].startswith("No MariaDB, so the local cloud does without the sales report: ")


def test_set_up_unpacks_once(debian: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mariadb, "find_installed", lambda: None)
    monkeypatch.setattr(tools, "TOOLS", debian / "tools")
    monkeypatch.setattr(tools, "MARIADB", debian / "tools" / "mariadb")
    said: list[str] = []
    for _ in range(2):
        tools._set_up_mariadb(said.append)
    assert said == ["MariaDB is not installed; fetching it into .local/tools"]
