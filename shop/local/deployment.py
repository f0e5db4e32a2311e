"""Deploys the stacks into the local cloud with the CDK command line, as one would to AWS.

Two environments, kept apart: synthesis has the user's network settings (it may fetch packages) and no AWS account;
the deployment knows nothing but the emulator, so that no setting of the user's can send it to a real account.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

from shop.errors import ShopError
from shop.local import tools
from shop.local.clients import client
from shop.local.outputs import Outputs, reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from shop.local.cloud import Cloud
    from shop.local.paths import Paths

_TOOLKIT_STACK = "CDKToolkit"
# Kept in the emulator itself, so that it is gone when the deployment is.
_MARKER = "/serverless-shop/local-cloud/deployed"
_INPUTS = ("app.py", "cdk.json", "stacks", "lambdas", "requirements.txt", "package-lock.json")
_PROXY_SETTINGS = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})
_RELEVANT = ("error", "failed", "❌", "denied", "cannot", "invalid")
# A line of the CDK's progress: stack | done/all | time | status | type | name (logical id) reason
_FAILED = re.compile(r"(?P<stack>\S+) *\|.*\| (?:CREATE|UPDATE|DELETE)_FAILED +\| *\S+ *\| (?P<what>.*)")
_MAXIMUM_ERROR_LENGTH = 600
_STACKS_AT_A_TIME = 4


class DeploymentError(ShopError):
    """The CDK command line failed."""


def deploy(paths: Paths, cloud: Cloud, progress: Callable[[str], None], *, without: Sequence[str] = ()) -> None:
    """Synthesise and deploy all stacks but those of `without`, unless just this was deployed already.

    Raises DeploymentError.
    """
    inputs = fingerprint(tools.ROOT, _INPUTS)
    wanted = " without ".join([inputs, *without])
    if _deployed(cloud) == wanted:
        progress("The stacks are deployed and unchanged")
        return
    with paths.deploy_log.open("wb") as log, contextlib.ExitStack() as running:
        bootstrap = running.enter_context(_bootstrapping(paths, cloud, log, progress))
        if not _is_synthesised(paths, inputs):
            progress("Synthesising the stacks")
            _synthesise(paths, cloud.stage, inputs, log)
        if bootstrap:
            _finish(bootstrap, paths)
        # Exclusively: all that they depend on is in the list, and a stack that is left out must not come back.
        chosen = [*_stacks(paths.assembly, without), "--exclusively"] if without else ["--all"]
        arguments = ["deploy", *chosen, "--app", str(paths.assembly), "--require-approval", "never"]
        # Of a stack that takes longer than a moment the CDK asks every 5 s whether it is done.
        arguments += ["--concurrency", str(_STACKS_AT_A_TIME)]
        process = running.enter_context(_cdk(arguments, emulator_environment(cloud), paths.folder, log))
        _finish(process, paths, progress)
    _mark(cloud, wanted)


def _is_synthesised(paths: Paths, inputs: str) -> bool:
    """Whether the assembly is there from before, such as from a cloud that was stopped, made from the same inputs."""
    stamp = _assembly_stamp(paths)
    return stamp.is_file() and stamp.read_text() == inputs


def _synthesise(paths: Paths, stage: str, inputs: str, log: Any) -> None:
    stamp = _assembly_stamp(paths)
    stamp.unlink(missing_ok=True)
    app = f"{shlex.quote(str(tools.venv_python()))} app.py"
    arguments = ["synth", "--quiet", "--app", app, "--context", f"stage={stage}", "--output", str(paths.assembly)]
    with _cdk(arguments, synthesis_environment(), tools.ROOT, log) as process:
        _finish(process, paths)
    # Not of a mixture: somebody may have edited meanwhile.
    if fingerprint(tools.ROOT, _INPUTS) == inputs:
        stamp.write_text(inputs)


def _assembly_stamp(paths: Paths) -> Path:
    return paths.assembly / ".inputs"


def _stacks(assembly: Path, without: Sequence[str]) -> list[str]:
    """The names of the synthesised stacks but those of `without`."""
    artifacts = json.loads((assembly / "manifest.json").read_text())["artifacts"]
    names = [name for name, artifact in artifacts.items() if artifact["type"] == "aws:cloudformation:stack"]
    return sorted(set(names) - set(without))


def outputs(cloud: Cloud) -> Outputs:
    """The outputs of all deployed stacks, with URLs that lead to the local cloud."""
    pages = client(cloud, "cloudformation").get_paginator("describe_stacks").paginate()
    stacks = [stack for page in pages for stack in page["Stacks"] if stack["StackName"] != _TOOLKIT_STACK]
    found = {
        stack["StackName"]: {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}
        for stack in sorted(stacks, key=lambda stack: str(stack["StackName"]))
        if stack["StackStatus"] != "DELETE_COMPLETE"
    }
    return reachable(found, cloud.endpoint_url)


def fingerprint(root: Path, inputs: Iterable[str]) -> str:
    """A digest of all that decides what is deployed: the app, the functions, and the versions of the tools."""
    digest = hashlib.sha256(str(tools.version_of(tools.venv_python())).encode())
    for name in inputs:
        top = root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(root)}\0{content}\n".encode())
    return digest.hexdigest()


def _deployed(cloud: Cloud) -> str | None:
    ssm = client(cloud, "ssm")
    try:
        return str(ssm.get_parameter(Name=_MARKER)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return None


def _mark(cloud: Cloud, value: str) -> None:
    client(cloud, "ssm").put_parameter(Name=_MARKER, Value=value, Type="String", Overwrite=True)


@contextlib.contextmanager
def _bootstrapping(
    paths: Paths, cloud: Cloud, log: Any, progress: Callable[[str], None]
) -> Iterator[subprocess.Popen[str] | None]:
    """`cdk bootstrap` in the background, beside the synthesis; None where it was done before."""
    cloudformation = client(cloud, "cloudformation")
    try:
        cloudformation.describe_stacks(StackName=_TOOLKIT_STACK)
    except cloudformation.exceptions.ClientError:
        progress("Bootstrapping the local account for the CDK")
        arguments = ["bootstrap", f"aws://{cloud.account_id}/{cloud.region}"]
        with _cdk(arguments, emulator_environment(cloud), paths.folder, log) as process:
            yield process
        return
    yield None


@contextlib.contextmanager
def _cdk(
    arguments: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Any
) -> Iterator[subprocess.Popen[str]]:
    log.write(f"$ cdk {shlex.join(arguments)}\n".encode())
    log.flush()
    process = subprocess.Popen(  # noqa: S603 - the pinned command line
        [*tools.cdk_command(), "--no-notices", "--no-color", *arguments],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _finish(process: subprocess.Popen[str], paths: Paths, progress: Callable[[str], None] | None = None) -> None:
    lines = []
    with paths.deploy_log.open("a") as log:
        for line in process.stdout or ():
            log.write(line)
            lines.append(line.strip())
            if progress and (text := _progress_text(line)):
                progress(text)
    if process.wait() != 0:
        raise DeploymentError(f"cdk failed: {reason(lines)} (all of it: {paths.deploy_log})")


def _progress_text(line: str) -> str | None:
    """What a line of `cdk deploy` tells a person: which stack is deployed, and that it is done."""
    stack, _, rest = line.strip().partition(": ")
    if rest.startswith("deploying..."):
        return f"Deploying {stack}"
    if stack.startswith("✅"):
        return f"Deployed {stack.removeprefix('✅').strip()}"
    return None


def reason(lines: Sequence[str]) -> str:
    """Why the CDK command line failed, in one line: what of its output speaks of an error, else its last lines."""
    # The first resource that could not be made: the others are cancelled, and their names may sound like errors.
    failed = [f"{found['stack']}: {found['what']}" for line in lines if (found := _FAILED.match(line))][:1]
    relevant = [line for line in lines if any(word in line.lower() for word in _RELEVANT)]
    chosen = failed or relevant or [line for line in lines if line][-3:]
    text = " / ".join(dict.fromkeys(chosen)) or "it printed nothing"
    return text if len(text) <= _MAXIMUM_ERROR_LENGTH else text[:_MAXIMUM_ERROR_LENGTH] + "…"


def synthesis_environment() -> dict[str, str]:
    """The environment of the synthesis: the user's, without what steers AWS clients or the CDK."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("AWS_", "CDK_"))}
    return {
        **kept,
        "PATH": tools.node_path(kept.get("PATH", os.defpath)),
        # No profile, no role of a machine: nothing from which the CDK could learn of a real account.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }


def emulator_environment(cloud: Cloud) -> dict[str, str]:
    """The environment of the deployment: leads to the emulator and nowhere else."""
    own = {name: value for name, value in synthesis_environment().items() if name.lower() not in _PROXY_SETTINGS}
    trust = dict.fromkeys(("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), cloud.ca_bundle)
    return {
        **own,
        **trust,
        "AWS_ENDPOINT_URL": cloud.endpoint_url,
        "AWS_ACCESS_KEY_ID": cloud.access_key_id,
        "AWS_SECRET_ACCESS_KEY": cloud.secret_access_key,
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
    }
