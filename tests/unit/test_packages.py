"""The package builder: what is in a package, when its hash changes, and how it fails. No network."""

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from stacks.constructs import packages
from stacks.constructs.packages import PackageError, Target, build, host_target


@pytest.fixture
def lambdas(tmp_path: Path) -> Path:
    root = tmp_path / "lambdas"
    write(root / "greeter" / "__init__.py", "")
    write(
        root / "greeter" / "handler.py",
        "from shared.used import WORD\n\n\ndef handler(event, context):\n    return WORD\n",
    )
    write(root / "shared" / "__init__.py", "")
    write(root / "shared" / "used.py", "from shared.deep import WORD as WORD\n")
    write(root / "shared" / "deep.py", "WORD = 'hello'\n")
    write(root / "shared" / "unused.py", "WORD = 'nobody imports me'\n")
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def sources(folder: Path) -> set[str]:
    return {name for name in contents(folder) if not name.endswith(".pyc")}


def test_a_package_has_the_function_and_the_shared_modules_that_it_imports(lambdas: Path, cache: Path) -> None:
    package = build("greeter", host_target(), lambdas=lambdas, cache=cache)
    assert sources(package.folder) == {
        "greeter/__init__.py", "greeter/handler.py", "shared/__init__.py", "shared/used.py", "shared/deep.py"
    }  # fmt: skip


def test_the_same_input_gives_the_same_bytes_and_hash(lambdas: Path, tmp_path: Path) -> None:
    first, second = (build("greeter", host_target(), lambdas=lambdas, cache=tmp_path / name) for name in "ab")
    assert first.content_hash == second.content_hash
    assert contents(first.folder) == contents(second.folder)
    for name in contents(first.folder):
        one, other = first.folder / name, second.folder / name
        assert one.read_bytes() == other.read_bytes(), name
        assert one.stat().st_mtime == other.stat().st_mtime == 315_532_800


@pytest.mark.parametrize("changed", ["greeter/handler.py", "shared/deep.py"])
def test_a_changed_source_changes_the_hash(lambdas: Path, cache: Path, changed: str) -> None:
    before = build("greeter", host_target(), lambdas=lambdas, cache=cache)
    with (lambdas / changed).open("a") as file:
        file.write("# changed\n")
    assert build("greeter", host_target(), lambdas=lambdas, cache=cache).content_hash != before.content_hash


def test_a_module_that_it_does_not_import_changes_nothing(lambdas: Path, cache: Path) -> None:
    before = build("greeter", host_target(), lambdas=lambdas, cache=cache)
    write(lambdas / "shared" / "unused.py", "WORD = 'changed'\n")
    write(lambdas / "shared" / "__pycache__" / "deep.cpython-311.pyc", "left by a test run")
    assert build("greeter", host_target(), lambdas=lambdas, cache=cache) == before


def test_byte_code_is_of_the_unchecked_hash_kind(lambdas: Path, cache: Path) -> None:
    package = build("greeter", host_target(), lambdas=lambdas, cache=cache)
    compiled = [package.folder / name for name in contents(package.folder) if name.endswith(".pyc")]
    assert len(compiled) == len(sources(package.folder))
    for path in compiled:
        header = path.read_bytes()[:8]
        assert header[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(header[4:], "little") == 0b01  # PEP 552: hash-based, source not checked


def test_without_an_interpreter_of_that_version_it_goes_on_and_the_hash_tells(
    lambdas: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = build("greeter", host_target(), lambdas=lambdas, cache=cache)
    monkeypatch.setattr(packages, "find_python", lambda _: None)
    bare = build("greeter", host_target(), lambdas=lambdas, cache=cache)
    assert not bare.has_byte_code
    assert not [name for name in contents(bare.folder) if name.endswith(".pyc")]
    assert bare.content_hash != compiled.content_hash


def test_an_interpreter_of_another_version_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_uv_python", lambda _: sys.executable)
    monkeypatch.setattr(packages, "_pyenv_pythons", lambda _: [])
    packages.find_python.cache_clear()
    try:
        assert packages.find_python("3.2") is None
    finally:
        packages.find_python.cache_clear()


def test_a_build_cut_short_leaves_nothing_that_looks_whole(
    lambdas: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packages, "_compile", fail)
        with pytest.raises(KeyboardInterrupt):
            build("greeter", host_target(), lambdas=lambdas, cache=cache)
    assert list((cache / "built").iterdir()) == []
    assert build("greeter", host_target(), lambdas=lambdas, cache=cache).folder.is_dir()


@pytest.mark.parametrize("line", ["requests", "requests>=2", "requests~=2.0  # about two"])
def test_a_requirement_that_is_not_pinned_is_refused(lambdas: Path, cache: Path, line: str) -> None:
    write(lambdas / "greeter" / "requirements.txt", f"msgspec==0.22.0 --hash=sha256:00\n{line}\n")
    with pytest.raises(PackageError, match=r"greeter.*'requests.*'.*=="):
        build("greeter", host_target(), lambdas=lambdas, cache=cache)


def test_a_requirement_without_a_hash_is_refused(lambdas: Path, cache: Path) -> None:
    write(lambdas / "greeter" / "requirements.txt", "msgspec==0.22.0 \\\n    --hash=sha256:00\npymysql==1.2.4\n")
    with pytest.raises(PackageError, match=r"greeter.*'pymysql==1\.2\.4' without a hash"):
        build("greeter", host_target(), lambdas=lambdas, cache=cache)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel on this machine, and no other source of packages than its folder."""
    path = tmp_path / "wheels" / "greeting-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("greeting.py", "WORD = 'hello'\n")
        archive.writestr("greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        archive.writestr(
            "greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("greeting-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(path.parent))
    return path


@pytest.mark.parametrize("target", [packages.aws_target(), host_target()])
def test_only_a_wheel_that_has_the_hash_is_packed(lambdas: Path, cache: Path, wheel: Path, target: Target) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    write(lambdas / "greeter" / "requirements.txt", f"greeting==1.0 --hash=sha256:{digest}\n")
    assert "greeting.py" in sources(build("greeter", target, lambdas=lambdas, cache=cache).folder)
    others = " ".join(f"--hash=sha256:{number:064}" for number in range(80))
    write(lambdas / "greeter" / "requirements.txt", f"greeting==1.0 {others}\n")
    with pytest.raises(PackageError, match=r"greeter: .*Hash mismatch") as refusal:
        build("greeter", target, lambdas=lambdas, cache=cache)
    assert digest in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_a_missing_wheel_stops_with_one_line(lambdas: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    requirement = f"no-such-package-for-serverless-shop==1.0 --hash=sha256:{'0' * 64}"
    write(lambdas / "greeter" / "requirements.txt", requirement)
    with pytest.raises(PackageError) as refusal:
        build("greeter", Target("arm64", "3.13", "aarch64-manylinux_2_34"), lambdas=lambdas, cache=cache)
    assert "\n" not in str(refusal.value)
    for word in ("greeter", "3.13", "aarch64", "no-such-package-for-serverless-shop"):
        assert word in str(refusal.value)
    assert not list((cache / "dependencies").glob("*"))


@pytest.mark.parametrize("broken", ["greeter/handler.py", "shared/deep.py"])
def test_a_syntax_error_is_named_with_its_place(lambdas: Path, cache: Path, broken: str) -> None:
    write(lambdas / broken, "WORD = 'fine'\ndef handler(:\n")
    with pytest.raises(PackageError, match=rf"greeter: .*{broken}, line 2: "):
        build("greeter", host_target(), lambdas=lambdas, cache=cache)


def test_an_import_of_a_shared_module_that_is_not_there_is_named(lambdas: Path, cache: Path) -> None:
    write(lambdas / "shared" / "deep.py", "from shared.mistyped import WORD as WORD\n")
    with pytest.raises(PackageError, match=r"greeter: imports shared\.mistyped"):
        build("greeter", host_target(), lambdas=lambdas, cache=cache)


def test_a_value_of_a_package_is_no_missing_module(lambdas: Path, cache: Path) -> None:
    write(lambdas / "shared" / "__init__.py", "GREETING = 'hello'\n")
    write(lambdas / "shared" / "deep.py", "from shared import GREETING\nWORD = GREETING\n")
    assert "shared/deep.py" in sources(build("greeter", host_target(), lambdas=lambdas, cache=cache).folder)


def test_an_unknown_function_is_named(lambdas: Path, cache: Path) -> None:
    with pytest.raises(PackageError, match="nobody"):
        build("nobody", host_target(), lambdas=lambdas, cache=cache)


def test_time_zones_are_read_from_the_package_and_without_looking_for_them() -> None:
    package = build("sales_data_extractor", host_target())
    program = (
        "import sys, zoneinfo\n"
        "zone = zoneinfo.ZoneInfo('Europe/Berlin')\n"
        "print(zoneinfo.TZPATH, {'tzdata', 'importlib.resources', '_sysconfigdata'} & set(sys.modules), zone)\n"
    )
    zones = package.zones_at(str(package.folder))
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True, env=zones
    )
    assert answer.stdout == f"('{package.folder}/tzdata/zoneinfo',) set() Europe/Berlin\n"


def test_a_package_without_time_zones_leaves_them_to_the_system() -> None:
    assert build("order_notifier", host_target()).zones_at("/var/task") == {}


def test_the_aws_package_of_the_processor_has_an_arm64_extension_for_python_3_13() -> None:
    """Set-up has built it, so this needs no network."""
    package = build("order_processor", packages.aws_target())
    names = contents(package.folder)
    assert "msgspec/_core.cpython-313-aarch64-linux-gnu.so" in names
    assert not [name for name in names if name.endswith(("requirements.txt", "RECORD"))]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What "installs" a package of three files in place of fetching one."""

    def install(_function: str, _requirements: Path, _target: Target, folder: Path) -> None:
        for name in ("tool/__init__.py", "tool/wanted.py", "tool/libs/libunwanted-1.so"):
            write(folder / name, "")

    monkeypatch.setattr(packages, "_install", install)


@pytest.mark.usefixtures("installed")
def test_what_a_function_excludes_of_its_requirements_is_left_out(lambdas: Path, cache: Path) -> None:
    write(lambdas / "greeter" / "requirements.txt", "tool==1.0 --hash=sha256:00\n")
    whole = build("greeter", host_target(), lambdas=lambdas, cache=cache)
    write(lambdas / "greeter" / "exclude.txt", "# libraries\n\n*/libunwanted*  # of no use\n")
    package = build("greeter", host_target(), lambdas=lambdas, cache=cache)
    assert sources(whole.folder) - sources(package.folder) == {"tool/libs/libunwanted-1.so"}
    assert sources(package.folder) < sources(whole.folder)
    assert package.content_hash != whole.content_hash


@pytest.mark.usefixtures("installed")
def test_a_pattern_that_excludes_nothing_is_named(lambdas: Path, cache: Path) -> None:
    write(lambdas / "greeter" / "requirements.txt", "tool==1.0 --hash=sha256:00\n")
    write(lambdas / "greeter" / "exclude.txt", "*/libunwanted*\n*/libgone*\n")
    with pytest.raises(PackageError, match=r"greeter: exclude\.txt has '\*/libgone\*'"):
        build("greeter", host_target(), lambdas=lambdas, cache=cache)


def test_the_image_resizers_package_has_all_that_its_formats_need(tmp_path: Path) -> None:
    """In an interpreter that has nothing else to import from, so that what was left out is missed."""
    picture = Image.linear_gradient("L").convert("RGB")
    for name in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        options = {"append_images": [picture], "save_all": True} if name == "MPO" else {}
        picture.save(tmp_path / name, name, **options)
    picture.save(tmp_path / "LZW", "TIFF", compression="tiff_lzw")
    package = build("image_resizer", host_target())
    program = (
        "import pathlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from image_resizer.resize import Spec, resize\n"
        "for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):\n"
        "    for output in ('jpeg', 'webp'):\n"
        "        result = resize(path.open('rb'), Spec(64, 64, 85, output, 1_000_000))\n"
        "        print(path.name, result.content_type, result.width)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, package.folder, tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    names = ["BMP", "GIF", "JPEG", "LZW", "MPO", "PNG", "TIFF", "WEBP"]
    assert answer.stdout.splitlines() == [f"{name} image/{kind} 64" for name in names for kind in ("jpeg", "webp")]


def zipped(folder: Path, names: Iterable[str], place: Path) -> int:
    """The bytes that these files take in a package for Lambda, made at `place`."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(folder / name, name)
    return place.stat().st_size


def is_pillows(name: str) -> bool:
    return name.lower().startswith(("pil/", "pillow"))


@pytest.mark.parametrize("function", packages.functions())
def test_a_package_for_aws_is_small_because_the_sdk_is_the_runtimes(function: str, tmp_path: Path) -> None:
    """Pillow's part has a limit of its own, below."""
    package = build(function, packages.aws_target())
    names = {name for name in contents(package.folder) if not is_pillows(name)}
    assert zipped(package.folder, names, tmp_path / "package.zip") < 1_000_000


def test_pillow_adds_little_to_a_package_for_aws(tmp_path: Path) -> None:
    """As it comes it is 7 MB; each takes its time in a cold start."""
    package = build("image_resizer", packages.aws_target())
    names = contents(package.folder)
    assert 3_000_000 < zipped(package.folder, filter(is_pillows, names), tmp_path / "package.zip") < 3_500_000
    assert not [name for name in names if "avif" in name.lower() or name.endswith("exclude.txt")]
    assert "PIL/_imaging.cpython-313-aarch64-linux-gnu.so" in names
