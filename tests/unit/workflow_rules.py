"""What holds for every GitHub workflow, each rule a function from a workflow to findings."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Workflow = dict[str, Any]
Rule = Callable[[Workflow], Iterator[str]]

ROOT = Path(__file__).resolve().parents[2]
_PINNED = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._/-]+@[0-9a-f]{40}")
_MAKE = re.compile(r"\bmake ((?:[A-Z]+=\S+ )*)([a-z][a-z-]*)((?: [A-Z]+=\S+)*)")
_MAKEFILE = (ROOT / "Makefile").read_text()
_TARGETS = set(re.findall(r"^([a-z][a-z-]*):", _MAKEFILE, re.MULTILINE))
_WRITABLE = {"id-token", "pull-requests"}
_CREDENTIALS = "aws-actions/configure-aws-credentials"
_CHECKOUT = "actions/checkout"
_BASE = "${{ github.event.pull_request.base.sha }}"


def actions_are_pinned(workflow: Workflow) -> Iterator[str]:
    """Every action of others is the one of a full commit, which nobody can move as they can a tag."""
    for name, uses in _uses(workflow):
        if not (_PINNED.fullmatch(uses) or uses.startswith("./.github/workflows/")):
            yield f"{name}: {uses}"


def permissions_are_the_least(workflow: Workflow) -> Iterator[str]:
    """A workflow has no permission, each job names its own, and writes only what workflows here have to write."""
    if workflow.get("permissions") != {}:
        yield "the workflow has permissions of its own"
    for name, job in workflow["jobs"].items():
        allowed = job.get("permissions")
        if not isinstance(allowed, dict):
            yield f"{name}: permissions not named"
            continue
        for scope, access in allowed.items():
            if access != "read" and scope not in _WRITABLE:
                yield f"{name}: {scope}: {access}"


def no_secret_is_used(workflow: Workflow) -> Iterator[str]:
    """There are no stored keys: AWS is reached by OpenID Connect, GitHub by the run's own token."""
    for place, text in _texts(workflow):
        if re.search(r"\bsecrets\b", text):
            yield f"{place}: {text}"


def jobs_have_a_timeout(workflow: Workflow) -> Iterator[str]:
    """Every job that runs steps ends, within an hour."""
    for name, job in workflow["jobs"].items():
        if "steps" in job and not 0 < job.get("timeout-minutes", 0) <= 60:
            yield f"{name}: timeout-minutes {job.get('timeout-minutes')}"


def commands_are_the_developers(workflow: Workflow) -> Iterator[str]:
    """What `run` makes are targets of the Makefile, with variables that it reads."""
    for name, step in _steps(workflow):
        for before, target, after in _MAKE.findall(step.get("run", "")):
            if target not in _TARGETS:
                yield f"{name}: make {target}"
            for variable in re.findall(r"([A-Z]+)=", before + after):
                if f"$({variable})" not in _MAKEFILE:
                    yield f"{name}: make {target} {variable}="


def scripts_take_no_expressions(workflow: Workflow) -> Iterator[str]:
    """No `${{ … }}` is pasted into a script, where a branch's name could become a command."""
    for name, step in _steps(workflow):
        for script in (step.get("run", ""), step.get("with", {}).get("script", "")):
            if "${{" in script:
                yield f"{name}: {script}"


def checkouts_leave_no_token(workflow: Workflow) -> Iterator[str]:
    """The token that fetched the code is not left in the folder for what runs later."""
    for name, step in _steps(workflow):
        if step.get("uses", "").startswith(_CHECKOUT) and step.get("with", {}).get("persist-credentials") is not False:
            yield f"{name}: {step['uses']}"


def pull_requests_get_no_credentials(workflow: Workflow) -> Iterator[str]:
    """Where a pull request starts the run and there may be AWS credentials, only the base branch's code runs.

    And never by `pull_request_target` or `workflow_run`, which run with rights for whoever opens a pull request.
    """
    events = _events(workflow)
    for event in events & {"pull_request_target", "workflow_run"}:
        yield f"on: {event}"
    if "pull_request" not in events:
        return
    for name, job in workflow["jobs"].items():
        if job.get("permissions", {}).get("id-token") != "write":
            continue
        checkouts = [step for step in job.get("steps", []) if step.get("uses", "").startswith(_CHECKOUT)]
        if "uses" in job or any(step["with"].get("ref") != _BASE for step in checkouts):
            yield f"{name}: runs the pull request's code"


def roles_come_by_openid_connect(workflow: Workflow) -> Iterator[str]:
    """AWS credentials are a role's, named by a variable, in a job that may ask for a token; set-up comes before."""
    for name, job in workflow["jobs"].items():
        commands: list[str] = []
        for step in job.get("steps", []):
            commands.append(step.get("run", ""))
            if not step.get("uses", "").startswith(_CREDENTIALS):
                continue
            given = step.get("with", {})
            if set(given) != {"role-to-assume", "aws-region"} or not given["role-to-assume"].startswith("${{ vars."):
                yield f"{name}: {sorted(given)}"
            if job["permissions"].get("id-token") != "write":
                yield f"{name}: may ask for no token"
            if "make setup" not in commands:
                yield f"{name}: is set up with credentials at hand"


def deployments_are_never_cut(workflow: Workflow) -> Iterator[str]:
    """What deploys does so behind an environment, one at a time, and is not cancelled by the next."""
    for name, job in workflow["jobs"].items():
        if not any("make deploy" in step.get("run", "") for step in job.get("steps", [])):
            continue
        concurrency = job.get("concurrency")
        if not isinstance(concurrency, dict) or concurrency.get("cancel-in-progress") is not False:
            yield f"{name}: may be cut by the next deployment"
        if "environment" not in job:
            yield f"{name}: asks nobody"


ALL: tuple[Rule, ...] = (
    actions_are_pinned,
    permissions_are_the_least,
    no_secret_is_used,
    jobs_have_a_timeout,
    commands_are_the_developers,
    scripts_take_no_expressions,
    checkouts_leave_no_token,
    pull_requests_get_no_credentials,
    roles_come_by_openid_connect,
    deployments_are_never_cut,
)


def _events(workflow: Workflow) -> set[str]:
    # YAML 1.1 reads the key `on` as true.
    events: Any = workflow.get("on") or workflow.get(True)  # type: ignore[call-overload]
    return {events} if isinstance(events, str) else set(events)


def _steps(workflow: Workflow) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in workflow["jobs"].items():
        for step in job.get("steps", []):
            yield name, step


def _uses(workflow: Workflow) -> Iterator[tuple[str, str]]:
    for name, job in workflow["jobs"].items():
        for part in (job, *job.get("steps", [])):
            if "uses" in part:
                yield name, part["uses"]


def _texts(node: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, f"{place}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _texts(value, f"{place}/{index}")
    elif isinstance(node, str):
        yield place, node
