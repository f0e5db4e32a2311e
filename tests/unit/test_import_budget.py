"""What each function imports at its start: from its built package, with the SDK of the runtime and nothing else.

Imports are most of a cold start (docs/performance.md). Times differ from machine to machine, so the budget is of names,
of which each is here for a reason, and of a count, which finds what they bring along.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest

from stacks.constructs.packages import build, functions, host_target

pytestmark = pytest.mark.slow

_SDK: Final = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six.py", "urllib3")
"""What Lambda's Python runtime brings (AWS Lambda Developer Guide, "Runtime-included SDK versions")."""
_MOST_MODULES: Final = 400
"""Of all kinds, the standard library's included. The largest has 375 with Python 3.11; boto3 would add 55."""
_CLIENTS: Final = {"botocore", "dateutil", "jmespath", "six", "urllib3"}
"""botocore with what it imports itself."""
_BESIDES: Final[Mapping[str, set[str]]] = {
    "bucket_notifications": _CLIENTS,
    "database_migrator": {"pymysql"},
    "database_setup": _CLIENTS,
    "image_resizer": _CLIENTS | {"PIL"},
    "order_notifier": _CLIENTS,
    "order_processor": _CLIENTS | {"msgspec"},
    "order_service": _CLIENTS | {"msgspec"},
    "order_simulator": _CLIENTS,
    "sales_data_extractor": {"pymysql"},
    "sales_recorder": {"pymysql"},
    "sales_report": _CLIENTS,
    "sales_report_api": _CLIENTS,
    "sales_report_watch": _CLIENTS,
}
"""What a function imports beyond itself and `shared`, at its start. Those that ask only the database need no SDK."""
_PROGRAM: Final = """
import builtins, decimal, importlib, json, logging, sys, traceback
folders, module = sys.argv[1:-1], sys.argv[-1]
sys.path[:0] = folders
importers, opened, importing = {}, [], builtins.__import__
def recorded(name, globals=None, *others):
    if name and name not in sys.modules:
        importers.setdefault(name.partition(".")[0], (globals or {}).get("__name__", "?"))
    return importing(name, globals, *others)
builtins.__import__ = recorded
sys.addaudithook(lambda event, found: opened.append(str(found[0])) if event == "open" else None)
importlib.import_module(module)
deferred = [name for name in sys.modules if name.startswith(("botocore.docs", "importlib.metadata"))]
tops = {name.partition(".")[0] for name, each in sys.modules.items()}
foreign = sorted(name for name in tops - set(sys.stdlib_module_names) - {"__main__"} if not name.startswith("_"))
data = [name for name in opened if "botocore/data/" in name]
tls = getattr(sys.modules.get("botocore.httpsession"), "SSLContext", None)
found = {"foreign": foreign, "importers": importers, "data": data, "deferred": deferred, "tls": tls and tls.__module__}
print(json.dumps({**found, "count": len(sys.modules)}))
"""


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runtime's SDK alone, this environment's version of it."""
    folder = tmp_path_factory.mktemp("sdk")
    installed = Path(str(metadata.distribution("botocore").locate_file("")))
    for name in _SDK:
        (folder / name).symlink_to(installed / name)
    return folder


@dataclass(frozen=True)
class Started:
    """What a process has after it imported a function's handler."""

    foreign: list[str]
    """Top-level modules that are not the standard library's."""
    importers: Mapping[str, str]
    """Which module imported each of them first."""
    count: int
    data: list[str]
    """Files of the SDK's own data that were read."""
    deferred: list[str]
    """What `shared.sdk_import` was to leave out."""
    tls: str | None
    """Where the class is from that the SDK makes TLS contexts of; None without the SDK."""

    def beyond(self, allowed: set[str]) -> list[str]:
        """What is too much, each with who imported it."""
        return [f"{name}, imported by {self.importers[name]}" for name in self.foreign if name not in allowed]


def start(package: Path, sdk: Path, handler: str) -> Started:
    """Imports a handler in a fresh interpreter that has the package and the SDK."""
    region_and_credentials = {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _PROGRAM, str(package), str(sdk), handler],
        env=region_and_credentials,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Started(**json.loads(done.stdout))


def test_each_function_has_a_budget() -> None:
    assert set(_BESIDES) == set(functions())


@pytest.mark.parametrize("function", sorted(_BESIDES))
def test_a_function_imports_what_its_budget_has(function: str, sdk: Path) -> None:
    started = start(build(function, host_target()).folder, sdk, f"{function}.handler")
    budget = {"shared", function} | _BESIDES[function]
    assert started.beyond(budget) == []
    assert set(started.foreign) == budget, "the budget has what is not imported any more"
    assert started.count <= _MOST_MODULES
    assert started.data == [], "the SDK's own data is read where the package's would do"
    assert started.deferred == [], "the SDK was not imported by shared.sdk_import first"
    assert started.tls == ("shared.aws_tls" if "botocore" in budget else None), "the SDK reads its list of authorities"


def test_what_is_beyond_the_budget_is_named_with_who_imported_it(tmp_path: Path, sdk: Path) -> None:
    (tmp_path / "greeter").mkdir()
    (tmp_path / "greeter" / "handler.py").write_text("import greeter.store\n")
    (tmp_path / "greeter" / "store.py").write_text("import asyncio\nimport boto3\nboto3.client('sns')\n")
    started = start(tmp_path, sdk, "greeter.handler")
    assert "boto3, imported by greeter.store" in started.beyond(_CLIENTS | {"greeter"})
    assert started.count > _MOST_MODULES
    assert any("/sns/" in name for name in started.data)
    assert "botocore.docs" in started.deferred
