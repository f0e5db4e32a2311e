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
_SLACK: Final = 20
"""Modules that a count may be below its budget: Python 3.11 to 3.13 differ by 5, and the SDK's releases by a few."""
_CLIENTS: Final = {"botocore", "dateutil", "jmespath", "six", "urllib3"}
"""botocore with what it imports itself."""
_BUDGETS: Final[Mapping[str, tuple[int, set[str]]]] = {
    "bucket_notifications": (315, _CLIENTS),
    "database_migrator": (160, {"pymysql"}),
    "database_setup": (315, _CLIENTS),
    "image_resizer": (345, _CLIENTS | {"PIL"}),
    "order_notifier": (320, _CLIENTS),
    "order_processor": (330, _CLIENTS | {"msgspec"}),
    "order_service": (340, _CLIENTS | {"msgspec"}),
    "order_simulator": (315, _CLIENTS),
    "sales_data_extractor": (145, {"pymysql"}),
    "sales_recorder": (150, {"pymysql"}),
    "sales_report": (330, _CLIENTS),
    "sales_report_api": (320, _CLIENTS),
    "sales_report_watch": (320, _CLIENTS),
}
"""At its start a function has at most so many modules, the standard library's included, and imports these beyond itself
and `shared`. Those that ask only the database need no SDK; boto3 would be 55 modules more."""
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
    assert set(_BUDGETS) == set(functions())


@pytest.mark.parametrize("function", sorted(_BUDGETS))
def test_a_function_imports_what_its_budget_has(function: str, sdk: Path) -> None:
    started = start(build(function, host_target()).folder, sdk, f"{function}.handler")
    most, besides = _BUDGETS[function]
    budget = {"shared", function} | besides
    assert started.beyond(budget) == []
    assert set(started.foreign) == budget, "the budget has what is not imported any more"
    assert most - _SLACK <= started.count <= most
    assert started.data == [], "the SDK's own data is read where the package's would do"
    assert started.deferred == [], "the SDK was not imported by shared.sdk_import first"
    assert started.tls == ("shared.aws_tls" if "botocore" in budget else None), "the SDK reads its list of authorities"


def test_what_is_beyond_the_budget_is_named_with_who_imported_it(tmp_path: Path, sdk: Path) -> None:
    (tmp_path / "greeter").mkdir()
    (tmp_path / "greeter" / "handler.py").write_text("import greeter.store\n")
    (tmp_path / "greeter" / "store.py").write_text("import asyncio\nimport boto3\nboto3.client('sns')\n")
    started = start(tmp_path, sdk, "greeter.handler")
    assert "boto3, imported by greeter.store" in started.beyond(_CLIENTS | {"greeter"})
    assert started.count > max(most for most, _ in _BUDGETS.values())
    assert any("/sns/" in name for name in started.data)
    assert "botocore.docs" in started.deferred
