"""GitHub's workflows: of the form that GitHub takes, and keeping our rules, each of which is shown to fail."""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.unit import workflow_rules as rules
from tests.unit.workflow_rules import ROOT, Workflow

FOLDER = ROOT / ".github" / "workflows"
PATHS = sorted(FOLDER.glob("*.yml"))
PIN = re.compile(r"uses: (?P<action>[^@\s]+)@(?P<commit>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)$", re.MULTILINE)


def workflow(name: str) -> Workflow:
    read: Workflow = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    return read


def check(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False)


def test_github_takes_every_workflow() -> None:
    answer = check(*PATHS)
    assert answer.returncode == 0, answer.stdout


def test_the_schema_refuses_what_github_would(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text((FOLDER / "deploy.yml").read_text().replace("needs: test", "need: test"))
    assert check(broken).returncode == 1


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", rules.ALL, ids=lambda rule: rule.__name__)
def test_rule(rule: rules.Rule, path: Path) -> None:
    assert list(rule(workflow(path.stem))) == []


def _step(changed: Workflow, job: str, uses_or_run: str) -> Any:
    steps = changed["jobs"][job]["steps"]
    return next(step for step in steps if uses_or_run in step.get("uses", "") + step.get("run", ""))


def _set_up_last(changed: Workflow) -> None:
    steps = changed["jobs"]["deploy"]["steps"]
    steps.append(steps.pop(steps.index(_step(changed, "deploy", "make setup"))))


Change = Callable[[Workflow], object]
BREAKAGES: list[tuple[rules.Rule, str, Change]] = [
    (rules.actions_are_pinned, "stage", lambda w: _step(w, "deploy", "checkout").update(uses="actions/checkout@v5")),
    (rules.actions_are_pinned, "deploy", lambda w: w["jobs"]["dev"].update(uses="o/r/.github/workflows/a.yml@main")),
    (rules.permissions_are_the_least, "check", lambda w: w.pop("permissions")),
    (rules.permissions_are_the_least, "check", lambda w: w["jobs"]["synth"].pop("permissions")),
    (rules.permissions_are_the_least, "check", lambda w: w["jobs"]["synth"].update(permissions="write-all")),
    (rules.permissions_are_the_least, "stage", lambda w: w["jobs"]["deploy"]["permissions"].update(contents="write")),
    (rules.no_secret_is_used, "stage",
     lambda w: w["jobs"]["deploy"]["env"].update(AWS_ACCESS_KEY_ID="${{ secrets.KEY }}")),
    (rules.no_secret_is_used, "deploy", lambda w: w["jobs"]["dev"].update(secrets="${{ secrets['KEY'] }}")),
    (rules.jobs_have_a_timeout, "stage", lambda w: w["jobs"]["deploy"].pop("timeout-minutes")),
    (rules.jobs_have_a_timeout, "stage", lambda w: w["jobs"]["deploy"].update({"timeout-minutes": 360})),
    (rules.commands_are_the_developers, "stage", lambda w: _step(w, "deploy", "make smoke").update(run="make smokes")),
    (rules.commands_are_the_developers, "stage",
     lambda w: _step(w, "deploy", "make deploy").update(run="make deploy APPROVE=never")),
    (rules.scripts_take_no_expressions, "stage",
     lambda w: _step(w, "deploy", "make smoke").update(run="echo ${{ github.head_ref }}")),
    (rules.scripts_take_no_expressions, "check",
     lambda w: _step(w, "comment", "github-script")["with"].update(script="'${{ github.head_ref }}'")),
    (rules.checkouts_leave_no_token, "stage", lambda w: _step(w, "deploy", "checkout").pop("with")),
    (rules.pull_requests_get_no_credentials, "check", lambda w: _step(w, "diff", "checkout")["with"].pop("ref")),
    (rules.pull_requests_get_no_credentials, "check",
     lambda w: w["jobs"]["test"]["permissions"].update({"id-token": "write"})),
    (rules.pull_requests_get_no_credentials, "deploy", lambda w: w.update({"on": "pull_request_target"})),
    (rules.roles_come_by_openid_connect, "stage",
     lambda w: _step(w, "deploy", "configure-aws")["with"].update({"aws-access-key-id": "AKIA"})),
    (rules.roles_come_by_openid_connect, "stage",
     lambda w: w["jobs"]["deploy"]["permissions"].update({"id-token": "none"})),
    (rules.roles_come_by_openid_connect, "stage", _set_up_last),
    (rules.deployments_are_never_cut, "stage",
     lambda w: w["jobs"]["deploy"]["concurrency"].update({"cancel-in-progress": True})),
    (rules.deployments_are_never_cut, "stage", lambda w: w["jobs"]["deploy"].pop("environment")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "name", "change"), BREAKAGES, ids=[f"{rule.__name__}-{i}" for i, (rule, *_) in enumerate(BREAKAGES)]
)
def test_rule_finds_a_breach(rule: rules.Rule, name: str, change: Change) -> None:
    changed = copy.deepcopy(workflow(name))
    change(changed)
    assert list(rule(changed))


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, *_ in BREAKAGES} == set(rules.ALL)


def test_an_action_has_one_version_everywhere_and_says_which() -> None:
    texts = [path.read_text() for path in PATHS]
    pins = [match.groupdict() for text in texts for match in PIN.finditer(text)]
    assert len(pins) == sum(text.count("uses: ") - text.count("uses: ./") for text in texts)
    assert len({pin["action"] for pin in pins}) == len({tuple(pin.values()) for pin in pins})


def test_dev_and_prod_are_deployed_from_main_by_their_own_environments() -> None:
    jobs = workflow("deploy")["jobs"]
    assert jobs["dev"]["needs"] == "test"
    assert [jobs[name]["with"]["stage"] for name in ("dev", "prod")] == ["dev", "prod"]
    assert workflow("stage")["jobs"]["deploy"]["environment"] == "${{ inputs.stage }}"


def _prod_runs(
    test: str, dev: str, *, stages: str = "prod", ref: str = "refs/heads/main", cancelled: bool = False
) -> bool:
    """What GitHub makes of the condition of prod; it is Python but for its operators and the dots of its contexts."""
    condition = workflow("deploy")["jobs"]["prod"]["if"].replace("&&", " and ").replace("!", " not ")
    known = {
        "cancelled": lambda: cancelled,
        "contains": lambda whole, part: part in whole,
        "fromJSON": json.loads,
        "github": SimpleNamespace(ref=ref),
        "vars": SimpleNamespace(DEPLOY_STAGES=stages),
        "needs": SimpleNamespace(test=SimpleNamespace(result=test), dev=SimpleNamespace(result=dev)),
    }
    return bool(eval(condition.strip(), {"__builtins__": {}}, known))  # noqa: S307 - our own file


@pytest.mark.parametrize("test", ["success", "failure", "cancelled", "skipped"])
@pytest.mark.parametrize("dev", ["success", "failure", "cancelled", "skipped"])
def test_prod_comes_after_the_tests_and_a_dev_that_did_not_fail(test: str, dev: str) -> None:
    """`DEPLOY_STAGES=prod` skips dev, which on GitHub skips what needs it unless its condition asks for the state."""
    prod = workflow("deploy")["jobs"]["prod"]
    assert set(prod["needs"]) == {"test", "dev"}
    assert "!cancelled()" in prod["if"]
    assert _prod_runs(test, dev) is (test == "success" and dev in {"success", "skipped"})


def test_prod_is_not_deployed_from_elsewhere_nor_unasked_nor_after_a_cancellation() -> None:
    assert not _prod_runs("success", "skipped", ref="refs/heads/else")
    assert not _prod_runs("success", "success", stages="dev")
    assert not _prod_runs("success", "skipped", cancelled=True)
