"""Synthesises a stage for the commands that read templates: by the CDK app itself, in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from shop.errors import ShopError
from shop.local import tools

Template = Mapping[str, Any]

_ROOT: Final = Path(__file__).parents[1]


def synthesise(stage: str, context: Sequence[str] = ()) -> dict[str, Template]:
    """Return the stage's templates by stack name; `context` has more settings, each `name=value`.

    Needs no AWS account, and the packages of the functions are built as for a deployment.

    Raises:
        ShopError: a setting is unknown or wrong, or is the stage's name, there is no Node, or the CDK app failed.
    """
    flags = json.loads((_ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    given = dict(_split(setting) for setting in context)
    if "stage" in given:
        raise ShopError(f"--context: stage={given['stage']} is not a setting; name the stage with --stage")
    path = tools.node_path(os.environ.get("PATH", ""))
    if shutil.which("node", path=path) is None:
        # jsii says only that `_NodeProcess` has no attribute `_process`.
        raise ShopError("there is no Node.js: `make setup` fetches it")
    with tempfile.TemporaryDirectory(prefix="shop-synthesis-") as folder:
        environment = {
            **os.environ,
            "PATH": path,
            "CDK_CONTEXT_JSON": json.dumps({**flags, **given, "stage": stage}),
            "CDK_OUTDIR": folder,
        }
        done = subprocess.run(
            [sys.executable, "app.py"], cwd=_ROOT, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["no reason given"]
            raise ShopError(said[-1].removeprefix("serverless-shop: "))
        return {path.name.split(".")[0]: json.loads(path.read_text()) for path in Path(folder).glob("*.template.json")}


def _split(setting: str) -> tuple[str, str]:
    name, found, value = setting.partition("=")
    if not found:
        raise ShopError(f"--context: {setting!r} is not name=value")
    return name, value
