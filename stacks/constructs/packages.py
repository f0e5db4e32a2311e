"""Builds each function's deployment package on the machine that synthesises, without Docker.

A package holds one function's folder, the modules of `lambdas/shared` that it imports, what the SDK needs to know of
the services that it calls (`sdk_data`) and whom it trusts (`authorities`), and what its `requirements.txt` pins, as
wheels for the function's processor and Python that have one of the hashes given there, byte-compiled for that Python,
without what its `exclude.txt` names of them. It is addressed by its content: the same input gives the same hash on
every machine, and the hash tells whether byte-code is in it. What was installed and built is cached, so that a
synthesis after set-up needs no network.

`python -m stacks.constructs.packages` builds every function's package for AWS and for this machine (part of set-up).
"""

import fnmatch
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Literal

import uv

from stacks.constructs import authorities, sdk_data

REPOSITORY = Path(__file__).resolve().parents[2]
LAMBDAS = REPOSITORY / "lambdas"
CACHE = REPOSITORY / ".local" / "packages"

TASK_ROOT = "/var/task"
"""Where Lambda unpacks a package (Lambda Developer Guide, `LAMBDA_TASK_ROOT`)."""
_ZONES = "tzdata/zoneinfo"
_LAMBDA_PYTHON = "3.13"
_LAMBDA_ARCHITECTURE: Literal["arm64", "x86_64"] = "arm64"
_LAMBDA_PLATFORM = "aarch64-manylinux_2_34"
"""Lambda's python3.13 runtime is Amazon Linux 2023, which has glibc 2.34 (AWS, "Lambda runtimes")."""
_FIXED_TIME = 315_532_800
"""1980-01-01, the oldest time that a zip file can hold."""
_INSTRUCTIONS = {"requirements.in", "requirements.txt", "exclude.txt"}
"""Files of a function's folder that tell how to build its package, and are not in it."""
_INSTALLER_RECORDS = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json"}


class PackageError(Exception):
    """A package cannot be built; the text is one line that says which, for what, and why."""


@dataclass(frozen=True)
class Target:
    """What a package is built for."""

    architecture: Literal["arm64", "x86_64"]
    python: str
    """Major and minor version, such as `3.13`."""
    wheel_platform: str | None
    """uv's name of the platform that wheels are chosen for; None is this machine's own."""

    @property
    def description(self) -> str:
        """The target in words, for messages."""
        return f"Python {self.python} on {self.wheel_platform or 'this machine'} ({self.architecture})"


@dataclass(frozen=True)
class Package:
    """A built package."""

    folder: Path
    content_hash: str
    has_byte_code: bool

    def zones_at(self, root: str) -> dict[str, str]:
        """The variable by which Python finds time zones in this package, unpacked at `root`; none where it has none.

        Otherwise it has to work out where the system's are and, where there are none, to import `importlib.resources`
        before it can read the package's: 1 and 11 ms of a cold start.
        """
        return {"PYTHONTZPATH": f"{root}/{_ZONES}"} if (self.folder / _ZONES).is_dir() else {}


def aws_target() -> Target:
    """What runs on AWS Lambda."""
    return Target(_LAMBDA_ARCHITECTURE, _LAMBDA_PYTHON, _LAMBDA_PLATFORM)


def host_target() -> Target:
    """What runs on this machine: its processor, and the Python that runs this code."""
    architecture: Literal["arm64", "x86_64"] = (
        "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"
    )
    return Target(architecture, f"{sys.version_info.major}.{sys.version_info.minor}", None)


def functions(lambdas: Path = LAMBDAS) -> list[str]:
    """The names of all functions: the folders with a `handler.py`."""
    return sorted(path.parent.name for path in lambdas.glob("*/handler.py"))


def build(function: str, target: Target, *, lambdas: Path = LAMBDAS, cache: Path = CACHE) -> Package:
    """Builds the package of the function in `lambdas/<function>`, or finds it in the cache.

    Raises:
        PackageError: a requirement is not pinned by `==` and SHA-256 hashes, has no wheel for the target, cannot be
            had, or has none of the hashes; a pattern in `exclude.txt` matches nothing; a client is made of a service
            that the SDK does not have.
    """
    sources = _sources(function, lambdas)
    dependencies = _dependencies(function, target, lambdas, cache)
    compiler = find_python(target.python)
    installed = _without_excluded(function, lambdas, dict(_files(dependencies))) if dependencies else {}
    files = {**installed, **_sdk_data(function, sources, cache), **sources}
    content_hash = _hash(files, target, with_byte_code=compiler is not None)
    folder = cache / "built" / f"{function}-{content_hash[:32]}"
    if not folder.is_dir():
        with _atomic_folder(folder) as draft:
            _write(files, draft)
            if compiler:
                _compile(compiler, draft)
            _fix_times(draft)
    return Package(folder, content_hash, compiler is not None)


@functools.cache
def find_python(version: str) -> str | None:
    """An interpreter of that major and minor version, to compile byte-code with; None where there is none."""
    if version == host_target().python:
        return sys.executable
    candidates = [_uv_python(version), *_pyenv_pythons(version)]
    return next((found for found in candidates if found and _is_python(found, version)), None)


def fetch_python(version: str) -> str | None:
    """Like `find_python`, but lets uv download an interpreter where the machine has none."""
    if not find_python(version) and _run_uv("python", "install", "--quiet", version).returncode == 0:
        find_python.cache_clear()
    return find_python(version)


def _uv_python(version: str) -> str | None:
    found = _run_uv("python", "find", "--offline", "--no-project", "--no-python-downloads", version)
    return found.stdout.strip() if found.returncode == 0 else None


def _pyenv_pythons(version: str) -> list[str]:
    """pyenv's own interpreters: its shims, which uv finds first, refuse to run a version that is not selected."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return [str(path) for path in sorted(root.glob(f"versions/{version}*/bin/python{version}"), reverse=True)]


def _is_python(executable: str, version: str) -> bool:
    program = "import sys; print('%d.%d' % sys.version_info[:2], sys.version_info.releaselevel)"
    try:
        answer = subprocess.run([executable, "-I", "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return False
    return answer.stdout.split() == [version, "final"]


def _sources(function: str, lambdas: Path) -> dict[str, Path]:
    """The function's own files and the shared modules that it imports, by their paths in the package."""
    folder = lambdas / function
    if not (folder / "handler.py").is_file():
        raise PackageError(f"{function}: there is no {folder / 'handler.py'}")
    files = {
        f"{function}/{name}": path
        for name, path in _files(folder)
        if path.suffix != ".pyc" and name not in _INSTRUCTIONS
    }
    finder = ModuleFinder(path=[str(lambdas)])
    try:
        for path in folder.glob("**/*.py"):
            finder.load_file(str(path))
        _check_imports(function, finder, lambdas)
    except SyntaxError as error:
        raise PackageError(f"{function}: {error.filename}, line {error.lineno}: {error.msg}") from error
    places = (getattr(module, "__file__", None) for module in finder.modules.values())
    imported = (Path(place) for place in places if place)
    return files | {path.relative_to(lambdas).as_posix(): path for path in imported if path.is_relative_to(lambdas)}


def _check_imports(function: str, finder: ModuleFinder, lambdas: Path) -> None:
    """Refuses imports of our own modules that would fail in Lambda: the finder only makes a note of them."""
    for name in finder.badmodules:
        parent, _, last = name.rpartition(".")
        path = lambdas / f"{name.replace('.', '/')}.py"
        if path.is_file():
            compile(path.read_bytes(), str(path), "exec")  # raises the SyntaxError that the finder met
        is_value_of_parent = last in getattr(finder.modules.get(parent), "globalnames", ())
        if (lambdas / name.partition(".")[0]).is_dir() and not is_value_of_parent:
            raise PackageError(f"{function}: imports {name}, which is not in {lambdas}")


def _dependencies(function: str, target: Target, lambdas: Path, cache: Path) -> Path | None:
    """The folder with the function's installed requirements; None where it has none."""
    requirements = lambdas / function / "requirements.txt"
    if not requirements.is_file():
        return None
    text = requirements.read_text()
    _check_pins(function, text)
    key = hashlib.sha256(repr((text, target, _host_tag(target))).encode()).hexdigest()[:32]
    folder = cache / "dependencies" / key
    if not folder.is_dir():
        with _atomic_folder(folder) as draft:
            _install(function, requirements, target, draft)
    return folder


def _host_tag(target: Target) -> str:
    return "" if target.wheel_platform else f"{sys.platform} {sys.implementation.cache_tag}"


def _check_pins(function: str, text: str) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = line.partition("#")[0].strip().split(" --hash=sha256:")
        if not requirement or requirement.startswith("-"):
            continue
        requirement = requirement.rstrip()
        if "==" not in requirement:
            raise PackageError(f"{function}: requirements.txt has {requirement!r}, which no `==` pins to one version")
        if not hashes:
            raise PackageError(
                f"{function}: requirements.txt has {requirement!r} without a hash; `make lock` adds them"
            )


def _sdk_data(function: str, sources: dict[str, Path], cache: Path) -> dict[str, Path]:
    """What the SDK has to know of the services that the sources call, and whom it trusts; by the paths in a package."""
    code = [path for path in sources.values() if path.suffix == ".py"]
    try:
        services = sdk_data.services(code)
    except sdk_data.UnknownClient as error:
        raise PackageError(f"{function}: {error}") from error
    if not services:
        return {}
    called = sdk_data.words(code)
    key = hashlib.sha256(repr((services, called, sdk_data.EDITION, authorities.EDITION)).encode()).hexdigest()[:32]
    folder = cache / "sdk_data" / key
    if not folder.is_dir():
        with _atomic_folder(folder) as draft:
            try:
                sdk_data.write(services, called, draft / sdk_data.FOLDER)
            except sdk_data.UnknownClient as error:
                raise PackageError(f"{function}: {error}") from error
            authorities.write(authorities.SDK_LIST, draft / authorities.FOLDER)
    return dict(_files(folder))


def _without_excluded(function: str, lambdas: Path, files: dict[str, Path]) -> dict[str, Path]:
    """The installed files that no pattern (of `fnmatch`, one a line) of the function's `exclude.txt` matches."""
    exclusions = lambdas / function / "exclude.txt"
    if not exclusions.is_file():
        return files
    excluded: set[str] = set()
    for line in exclusions.read_text().splitlines():
        pattern = line.partition("#")[0].strip()
        matched = {name for name in files if fnmatch.fnmatchcase(name, pattern)}
        if pattern and not matched:  # what it was to leave out may be there under another name
            raise PackageError(f"{function}: exclude.txt has {pattern!r}, which matches nothing that is installed")
        excluded |= matched
    return {name: path for name, path in files.items() if name not in excluded}


def _install(function: str, requirements: Path, target: Target, folder: Path) -> None:
    """Installs wheels: from uv's cache where it has them all, from the package index otherwise."""
    platform_options = ("--python-platform", target.wheel_platform) if target.wheel_platform else ()
    arguments = (
        "pip", "install", "--quiet", "--no-config", "--python", sys.executable, "--python-version", target.python,
        *platform_options, "--only-binary", ":all:", "--link-mode", "copy", "--target", str(folder),
        "--require-hashes", "--requirements", str(requirements),
    )  # fmt: skip
    if _run_uv(*arguments, "--offline").returncode != 0:
        answer = _run_uv(*arguments)
        if answer.returncode != 0:
            reason = " ".join(answer.stderr.replace("error:", "").split())
            # A version has a hash a wheel, and Pillow eighty wheels.
            reason = re.sub(r"Expected:(?: sha256:\w+)+", "its hash is not in requirements.txt;", reason)
            raise PackageError(f"{function}: cannot install for {target.description}: {reason}")
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for path in [*folder.glob("*.dist-info/*"), folder / ".lock"]:
        if path.name in {*_INSTALLER_RECORDS, ".lock"}:
            path.unlink(missing_ok=True)


def _run_uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs uv with the system's certificates, which companies' proxies need."""
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    return subprocess.run(  # noqa: S603
        [uv.find_uv_bin(), *arguments], capture_output=True, text=True, check=False, env=environment
    )


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path


def _hash(files: dict[str, Path], target: Target, *, with_byte_code: bool) -> str:
    digest = hashlib.sha256(repr((target.architecture, target.python, with_byte_code)).encode())
    for name, path in sorted(files.items()):
        digest.update(f"\0{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()


def _write(files: dict[str, Path], folder: Path) -> None:
    for name, path in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _compile(python: str, folder: Path) -> None:
    """Byte-compiles; unchecked-hash files are valid whatever times the files have once they are unpacked (PEP 552)."""
    answer = subprocess.run(  # noqa: S603
        [python, "-s", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
         "-s", str(folder), "-p", TASK_ROOT, str(folder)],
        capture_output=True, text=True, check=False, cwd=folder, env={"PYTHONHASHSEED": "0"},
    )  # fmt: skip
    if answer.returncode != 0:
        raise PackageError(f"{folder.name}: byte-compilation failed: {' '.join(answer.stdout.split())}")


def _fix_times(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (_FIXED_TIME, _FIXED_TIME))


@contextmanager
def _atomic_folder(folder: Path) -> Iterator[Path]:
    """A draft that becomes the folder only when it is whole, so that a build cut short leaves nothing behind."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        draft.chmod(0o755)
        yield draft
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another build of the same content was faster
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def main() -> int:
    """Builds all packages for AWS and for this machine; returns the exit code."""
    for version in {aws_target().python, host_target().python}:
        if not fetch_python(version):
            sys.stderr.write(f"{without_byte_code(version)}\n")
    try:
        for target in (aws_target(), host_target()):
            for function in functions():
                build(function, target)
    except PackageError as error:
        sys.stderr.write(f"packages: {error}\n")
        return 1
    return 0


def without_byte_code(version: str) -> str:
    """What to say where no interpreter of that version was found."""
    return (
        f"note: no Python {version} on this machine, so functions are packaged for AWS without byte-code, and start "
        "more slowly (docs/decisions/0004-packages-without-docker.md). Once there is one "
        f"(.venv/bin/uv python install {version}) it is used."
    )


if __name__ == "__main__":
    sys.exit(main())
