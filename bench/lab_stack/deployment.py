"""Deploys the plain lab's stack into a local cloud, for as long as a benchmark runs."""

import json
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shop.errors import ShopError
from shop.local import clients, deployment, tools
from shop.local.cloud import Cloud
from shop.local.outputs import reachable
from shop.target import Target

NAME = "bench-plain-lab"
"""Of the stack."""
_SYSTEM = "plain-lab"
_SHOWN_CHARACTERS = 2_000


@contextmanager
def deployed(cloud: Cloud) -> Iterator[Target]:
    """Give the stack's outputs as a target; it is deleted at the end.

    Raises ShopError with the end of the CDK's output when it cannot be deployed.
    """
    try:
        outputs = _deploy(cloud)
        yield Target(cloud.stage, outputs, clients.session(cloud), cloud, _SYSTEM)
    finally:
        cloudformation = clients.client(cloud, "cloudformation")
        cloudformation.delete_stack(StackName=NAME)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=NAME, WaiterConfig={"Delay": 1})


def _deploy(cloud: Cloud) -> dict[str, str]:
    app = f"{shlex.quote(str(tools.venv_python()))} -m bench.lab_stack.app"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outputs.json"
        words = ["deploy", NAME, "--app", app, "--output", f"{folder}/cdk.out", "--outputs-file", str(file)]
        done = subprocess.run(  # noqa: S603 - the pinned command line
            [*tools.cdk_command(), "--no-notices", "--no-color", *words, "--require-approval", "never"],
            cwd=tools.ROOT,
            env=deployment.emulator_environment(cloud),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ShopError(f"the plain lab's stack cannot be deployed: {done.stdout[-_SHOWN_CHARACTERS:]}")
        return reachable(json.loads(file.read_text(encoding="utf-8")), cloud.endpoint_url)[NAME]
