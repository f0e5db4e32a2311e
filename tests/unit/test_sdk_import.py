"""The SDK without what functions do not use of it, in fresh processes: what stands for it, and the way back."""

import os
import subprocess
import sys
from pathlib import Path

LAMBDAS = Path(__file__).resolve().parents[2] / "lambdas"


def run(program: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, [*folders, LAMBDAS]))
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path, "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=False,
    )


def make_sdk(folder: Path, session: str) -> Path:
    """An SDK that has documentation, and does as told at its import."""
    files = {
        "__init__.py": "",
        "exceptions.py": "class ClientError(Exception): pass",
        "session.py": session,
        "docs/__init__.py": "",
        "docs/docstring.py": "class ClientMethodDocstring: kind = 'real'",
    }
    for name, source in files.items():
        place = folder / "botocore" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(source)
    return folder


def test_what_is_deferred_is_the_real_one_once_it_is_used() -> None:
    done = run("""
import sys
from shared.aws import make_client
assert not any(name.startswith("botocore.docs") or name == "importlib.metadata" for name in sys.modules)
sns = make_client("sns")
import urllib3.http2, importlib.metadata, botocore
assert "Sends a message" in sns.publish.__doc__.expandtabs()
assert urllib3.http2.version("botocore").strip() == importlib.metadata.version("botocore") == botocore.__version__
from unittest.mock import MagicMock
section = MagicMock(available_sections=["checksum"])
sns.meta.events.emit("docs.request-params.glacier.UploadArchive.complete-section", section=section)
section.get_section.assert_any_call("checksum")
import botocore.docs.docstring
assert botocore.docs.docstring.ClientMethodDocstring.__mro__[-2] is str
""")
    assert done.returncode == 0, done.stderr
    assert "as a whole" not in done.stdout + done.stderr


def test_any_name_may_be_imported_and_called(tmp_path: Path) -> None:
    session = "from botocore.docs.utils import of_next_year\nhandler = of_next_year('a').document"
    done = run("import shared.sdk_import, botocore.session", make_sdk(tmp_path, session))
    assert done.returncode == 0, done.stderr
    assert "as a whole" not in done.stdout + done.stderr


def test_the_sdk_is_imported_on_an_empty_stack_while_the_garbage_collector_rests(tmp_path: Path) -> None:
    session = """
import gc, threading
assert threading.current_thread() is not threading.main_thread()
assert not gc.isenabled()
"""
    done = run("import gc, shared.sdk_import\nassert gc.isenabled()", make_sdk(tmp_path, session))
    assert done.returncode == 0, done.stderr


def test_an_sdk_that_does_more_is_imported_as_ever(tmp_path: Path) -> None:
    session = (
        "from botocore.docs.docstring import ClientMethodDocstring\n"
        "from botocore.exceptions import ClientError\n"
        "class Mine(ClientMethodDocstring): pass"
    )
    program = """
import gc
from botocore.exceptions import ClientError
import shared.sdk_import, botocore.session
assert botocore.session.Mine.kind == "real"
assert botocore.session.ClientError is ClientError, "handlers would not catch what the SDK raises"
assert gc.isenabled()
"""
    done = run(program, make_sdk(tmp_path, session))
    assert done.returncode == 0, done.stderr
    assert "the SDK is imported as a whole" in done.stdout + done.stderr


def test_an_sdk_that_is_broken_is_told_as_it_is(tmp_path: Path) -> None:
    done = run("import shared.sdk_import", make_sdk(tmp_path, "import nowhere_to_be_found"))
    assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" in done.stderr
    assert done.returncode == 1
