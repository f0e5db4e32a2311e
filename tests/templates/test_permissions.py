"""The proof of permissions, docs/security.md and the templates of every stage say the same."""

import copy
import re
from collections.abc import Callable

import pytest

from stacks.settings import STAGES
from tests.permissions import document, not_shown, proof
from tests.permissions.grants import Grant, grants, managed
from tests.permissions.scenarios import SCENARIOS, TAKEN_AWAY
from tests.templates.synthesis import Template, resources, synthesise

pytestmark = pytest.mark.xdist_group("templates")

PROVE = "run make prove-permissions"


def granted(stage: str) -> list[Grant]:
    """What a stage grants, with everything switched on that grants more."""
    templates = synthesise(stage, **({"customer_managed_keys": "true"} if stage == "prod" else {})).templates
    return [*grants(templates, stage), *managed(templates, stage)]


@pytest.mark.parametrize("stage", STAGES)
def test_every_permission_is_in_a_table(stage: str) -> None:
    assert proof.unexplained(granted(stage), proof.read().used) == [], PROVE


@pytest.mark.parametrize(
    ("stack", "action", "change"),
    [
        ("dev-image-fanout", "s3:ListBucket", lambda statement: statement.pop("Condition")),
        ("dev-sales-report", "s3:ListBucket",
         lambda statement: statement["Condition"]["StringLikeIfExists"].update({"s3:prefix": "*"})),
        ("dev-sales-report", "ssm:GetParametersByPath",
         lambda statement: statement.update(Resource="arn:aws:ssm:*:*:parameter/dev/cafe/")),
        ("dev-sales-report", "rds-db:connect",
         lambda statement: statement["Resource"]["Fn::Join"][1].__setitem__(5, "*")),
    ],
)  # fmt: skip
def test_a_permission_that_is_widened_is_in_no_table(
    stack: str, action: str, change: Callable[[Template], object]
) -> None:
    templates = copy.deepcopy(synthesise("dev").templates)
    policies = resources(templates[stack], "AWS::IAM::Policy").values()
    statements = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    change(next(statement for statement in statements if statement["Action"] == action))
    assert {grant.action for grant in proof.unexplained(grants(templates, "dev"), proof.read().used)} == {action}


def test_nothing_is_in_a_table_that_no_stage_grants() -> None:
    everything = [grant for stage in STAGES for grant in granted(stage)]
    assert sorted(set(proof.read().used) - set(everything)) == [], PROVE
    assert not_shown.superfluous(everything) == []


def test_nothing_is_both_shown_and_listed_as_not_shown() -> None:
    assert proof.used_after_all(proof.read().used) == []


def test_every_role_that_is_shown_had_a_permission_taken_away() -> None:
    found = proof.read()
    assert {role for role, _ in found.taken_away} == {grant.role for grant in found.used}, "scenarios.TAKEN_AWAY"
    assert found.taken_away == {(one.role, one.action): one.scenario.name for one in TAKEN_AWAY}, PROVE


def test_permissions_are_listed_with_scenarios_that_there_are() -> None:
    assert set(proof.read().used.values()) <= {scenario.name for scenario in SCENARIOS} | {"the stacks are deployed"}


def test_what_is_forbidden_was_tried_by_every_role_that_there_is() -> None:
    templates = synthesise("local").templates
    roles = sum(
        resource["Type"] == "AWS::IAM::Role" for template in templates.values() for resource in
        template["Resources"].values()
    )  # fmt: skip
    tried = proof.read().forbidden
    assert {what: len(may) + others for what, (may, others) in tried.items()} == dict.fromkeys(tried, roles), PROVE


def test_the_document_has_the_tables_as_they_are() -> None:
    text = document.FILE.read_text()
    assert document.with_tables(text, proof.read()) == text, PROVE


def test_the_documents_links_lead_somewhere() -> None:
    text = document.FILE.read_text()
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    assert targets
    assert [target for target in targets if not (document.FILE.parent / target).exists()] == []
