"""The MariaDB server's program: where it is, and on Debian and Ubuntu how it comes without being installed.

SHOP_MARIADBD, a path, names the `mariadbd` to use; `none` says to do without. Else it is the one of the machine, else
the one that set-up has unpacked under `.local/tools`: no root, no system service, nothing outside that folder. Runs
before any package is installed: only the standard library may be imported here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHOICE = "SHOP_MARIADBD"
NONE = "none"

_PACKAGE = "mariadb-server-core"
# Beyond PATH: where servers are that only root or a service manager is meant to start, and Homebrew's two prefixes.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin", "/usr/local/bin")
_SHARES = ("share/mysql", "share/mariadb")
# MariaDB 11.3 and later name them after MariaDB.
_SQL = ("{}_system_tables.sql", "{}_performance_tables.sql", "{}_system_tables_data.sql")
_FETCH_SECONDS = 300
# `Inst name (version …)` is a package that is missing; with `[old]` in between it would be upgraded.
_MISSING = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) ", re.MULTILINE)


class MariadbError(Exception):
    """No server can be had; its text is one line."""


@dataclass(frozen=True)
class Server:
    """A server's program, the folder of its messages and SQL files, and of libraries that the machine lacks."""

    program: Path
    share: Path
    libraries: tuple[Path, ...] = ()

    @property
    def sql_files(self) -> list[Path]:
        """What makes the system tables, in order."""
        prefix = "mariadb" if (self.share / _SQL[0].format("mariadb")).exists() else "mysql"
        return [self.share / name.format(prefix) for name in _SQL]

    def environment(self) -> dict[str, str]:
        """The environment to run it in."""
        own = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC"}
        return {**own, "LD_LIBRARY_PATH": os.pathsep.join(map(str, self.libraries))} if self.libraries else own


def find(unpacked: Path) -> Server | None:
    """The server to use, or None where there is none; `unpacked` is the folder of `unpack`.

    Raises MariadbError where SHOP_MARIADBD names a file that is no server.
    """
    choice = os.environ.get(CHOICE)
    if choice == NONE:
        return None
    if choice:
        server = _server(Path(choice))
        if server is None:
            raise MariadbError(f"{CHOICE}: {choice} is no mariadbd with its SQL files in ../share")
        return server
    return find_installed() or _unpacked(unpacked)


def find_installed() -> Server | None:
    """The server that the machine has, or None."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *_FOLDERS]
    program = shutil.which("mariadbd", path=os.pathsep.join(folders))
    return _server(Path(program)) if program else None


def _unpacked(folder: Path) -> Server | None:
    server = _server(folder / "usr" / "sbin" / "mariadbd")
    if server is None:
        return None
    libraries = {path.parent for top in ("usr/lib", "lib") for path in (folder / top).glob("*/*.so*")}
    return Server(server.program, server.share, tuple(sorted(libraries)))


def _server(program: Path) -> Server | None:
    if not os.access(program, os.X_OK):
        return None
    resolved = program.resolve()  # Homebrew's is a link into the folder that also has the share
    for share in _SHARES:
        server = Server(resolved, resolved.parent.parent / share)
        if all(path.is_file() for path in server.sql_files):
            return server
    return None


def unpack(folder: Path) -> None:
    """Fetch the server's package and the libraries that the machine lacks, and unpack them into `folder`.

    With lists and caches of its own, so that it needs no rights and works on a machine (a container, say) that has
    none or old ones. Raises MariadbError.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise MariadbError("install it (macOS: brew install mariadb)")
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    tree, packages = draft / "tree", draft / "packages"
    for path in (tree, packages, draft / "lists" / "partial", draft / "cache" / "archives" / "partial"):
        path.mkdir(parents=True)
    try:
        options = _apt_options(draft)
        _output(["apt-get", *options, "update"], packages)
        _output(["apt-get", *options, "download", *_wanted(options, packages)], packages)
        for package in sorted(packages.glob("*.deb")):
            _output(["dpkg", "-x", str(package), str(tree)], packages)
        server = _unpacked(tree)
        if server is None:
            raise MariadbError(f"the package {_PACKAGE} has no mariadbd with its SQL files")
        # A library that is missing after all shows here and not at the start of every cloud.
        _output([str(server.program), "--no-defaults", "--version"], packages, server.environment())
        shutil.rmtree(folder, ignore_errors=True)
        tree.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _apt_options(draft: Path) -> list[str]:
    settings = {
        "Dir::State::lists": str(draft / "lists"),
        "Dir::Cache": str(draft / "cache"),
        "Debug::NoLocking": "true",
        # As root apt would fetch as another user, who may not read this folder.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "20",
        "Acquire::https::Timeout": "20",
    }
    return ["-qq", *(part for name, value in settings.items() for part in ("-o", f"{name}={value}"))]


def _wanted(options: Sequence[str], folder: Path) -> list[str]:
    """The package and what of its dependencies is missing, as `name=version`."""
    package = _package(options, folder)
    plan = _output(["apt-get", *options, "--simulate", "--no-install-recommends", "install", package], folder)
    missing = {match["name"]: match["version"] for match in _MISSING.finditer(plan)}
    if package not in missing:
        raise MariadbError(f"{package} is installed, and has no mariadbd where one is looked for")
    return [f"{name}={version}" for name, version in missing.items()]


def _package(options: Sequence[str], folder: Path) -> str:
    """The package's name: older releases have the server's version in it."""
    # apt-cache knows -q only without a level, and the options for fetching do no harm.
    found = _output(["apt-cache", *options[1:], "search", "--names-only", rf"^{_PACKAGE}(-[0-9.]+)?$"], folder)
    names = sorted((line.split()[0] for line in found.splitlines() if line), key=_version)
    if not names:
        raise MariadbError(f"the package sources of this machine have no {_PACKAGE}")
    return names[0] if names[0] == _PACKAGE else names[-1]


def _version(name: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", name)]


def _output(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - programs of the system
            command,
            cwd=folder,
            env=environment or {**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_FETCH_SECONDS,
        )
    except OSError as error:
        raise MariadbError(f"cannot run {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise MariadbError(f"{command[0]} took more than {_FETCH_SECONDS} s") from error
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()
        raise MariadbError(f"{Path(command[0]).name} failed: {lines[-1].strip()}")
    return done.stdout
