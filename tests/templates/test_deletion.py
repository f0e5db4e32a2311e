"""That a stage without data can be destroyed whole, that prod keeps its data, and that no two stages share a name."""

import copy
import json
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from stacks.settings import STAGES
from tests.templates import deletion, rules
from tests.templates.synthesis import Template, resources, synthesise

pytestmark = pytest.mark.xdist_group("templates")

Breakage = Callable[[Template], object]

WITH_KEYS = {
    "customer_managed_keys": "true",
    "operator_principal_arns": "arn:aws:iam::111122223333:role/operator",
}
CASES = [
    *(pytest.param(stage, {}, id=stage) for stage in STAGES if stage != "prod"),
    pytest.param("dev", WITH_KEYS | {"gradual_deployments": "canary"}, id="dev-with-all-kinds"),
]
"""The stages that keep no data, and the settings that add kinds of resources."""

HOLD_NO_DATA = {
    "AWS::ApiGateway::ApiKey", "AWS::ApiGateway::Deployment", "AWS::ApiGateway::GatewayResponse",
    "AWS::ApiGateway::Method", "AWS::ApiGateway::Model", "AWS::ApiGateway::RequestValidator",
    "AWS::ApiGateway::Resource", "AWS::ApiGateway::RestApi", "AWS::ApiGateway::Stage", "AWS::ApiGateway::UsagePlan",
    "AWS::ApiGateway::UsagePlanKey", "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard",
    "AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup", "AWS::EC2::FlowLog", "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup", "AWS::EC2::Subnet", "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPC",
    "AWS::IAM::Policy", "AWS::IAM::Role", "AWS::Lambda::Alias", "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping", "AWS::Lambda::Function", "AWS::Lambda::Permission", "AWS::Lambda::Version",
    "AWS::RDS::DBParameterGroup", "AWS::RDS::DBSubnetGroup", "AWS::S3::BucketPolicy", "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy", "AWS::SSM::Parameter", "AWS::Scheduler::Schedule",
    "AWS::SecretsManager::SecretTargetAttachment", "Custom::BucketNotifications", "Custom::DatabaseMigration",
}  # fmt: skip
"""What a new deployment makes again as it was."""

NAMED_WITHIN_SOMETHING = {
    ("AWS::ApiGateway::Model", "Name"),
    ("AWS::ApiGateway::Stage", "StageName"),
    ("AWS::CloudWatch::Alarm", "MetricName"),
    ("AWS::CodeDeploy::DeploymentGroup", "DeploymentConfigName"),
    ("AWS::IAM::Policy", "PolicyName"),
    ("AWS::Lambda::Alias", "Name"),
    ("AWS::RDS::DBInstance", "CACertificateIdentifier"),
    ("AWS::RDS::DBInstance", "DBName"),
    ("AWS::SNS::Topic", "DisplayName"),
}
"""Names that need to be unique in their API, role, function or server only, or that are AWS's own."""


@pytest.mark.parametrize(("stage", "overrides"), CASES)
@pytest.mark.parametrize("rule", deletion.WITHOUT_KEPT_DATA, ids=lambda rule: rule.__name__)
def test_a_stage_without_data_can_be_destroyed_whole(rule: rules.Rule, stage: str, overrides: dict[str, str]) -> None:
    findings = {name: list(rule(template)) for name, template in synthesise(stage, **overrides).templates.items()}
    assert not any(findings.values()), findings


@pytest.mark.parametrize("rule", deletion.ALWAYS, ids=lambda rule: rule.__name__)
def test_prod_can_be_taken_down_by_hand(rule: rules.Rule) -> None:
    findings = {name: list(rule(template)) for name, template in synthesise("prod").templates.items()}
    assert not any(findings.values()), findings


def test_whatever_prod_does_not_keep_holds_no_data() -> None:
    """A new kind of resource is to be kept, or to be listed here by somebody who knows that it holds no data."""
    kinds = {
        (resource["Type"], resource.get("DeletionPolicy", "Delete"))
        for template in synthesise("prod", **WITH_KEYS).templates.values()
        for resource in template["Resources"].values()
    }
    assert {kind for kind, policy in kinds if policy == "Delete"} <= HOLD_NO_DATA
    kept = {kind for kind, policy in kinds if policy != "Delete"}
    assert kept >= {
        "AWS::DynamoDB::Table",
        "AWS::S3::Bucket",
        "AWS::SQS::Queue",
        "AWS::Logs::LogGroup",
        "AWS::KMS::Key",
    }


@pytest.mark.parametrize(("one", "other"), list(combinations(STAGES, 2)), ids=str)
def test_no_two_stages_share_a_name(one: str, other: str) -> None:
    ours, theirs = _names(one), _names(other)
    assert ours.keys() >= {("stack", ""), ("export", ""), ("AWS::SSM::Parameter", "Name")}
    shared = {where: found & theirs.get(where, set()) for where, found in ours.items()}
    assert not {where: found for where, found in shared.items() if found and where not in NAMED_WITHIN_SOMETHING}


def _names(stage: str) -> dict[tuple[str, str], set[str]]:
    templates = synthesise(stage).templates
    exports = {json.dumps(export["Name"]) for template in templates.values() for export in _exports(template)}
    names: dict[tuple[str, str], set[str]] = {("stack", ""): set(templates), ("export", ""): exports}
    for template in templates.values():
        for where, found in deletion.fixed_names(template).items():
            names.setdefault(where, set()).update(found)
    return names


def _exports(template: Template) -> list[Any]:
    return [output["Export"] for output in template.get("Outputs", {}).values() if "Export" in output]


def test_a_fixed_name_is_one_that_refers_to_no_resource() -> None:
    template = {
        "Resources": {
            "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "orders"}},
            "Logs": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": {"Fn::Join": ["", ["Execution-Logs_", {"Ref": "Api"}]]}},
            },
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Sub": "orders-${AWS::Region}"}}},
        }
    }
    assert deletion.fixed_names(template).keys() == {
        ("AWS::ApiGateway::RestApi", "Name"),
        ("AWS::SQS::Queue", "QueueName"),
    }


def _of(template: Template, resource_type: str) -> Any:
    """The first resource of that type, its attributes included."""
    return next(each for each in template["Resources"].values() if each["Type"] == resource_type)


def _in_vpc(template: Template) -> Any:
    return next(each for each in template["Resources"].values() if "VpcConfig" in each.get("Properties", {}))


def _let_make_log_groups(template: Template) -> None:
    _of(template, "AWS::IAM::Policy")["Properties"]["PolicyDocument"]["Statement"][0]["Action"] = "logs:CreateLogGroup"


def _depend_on_the_role_only(template: Template) -> None:
    function = _in_vpc(template)
    function["DependsOn"] = [function["Properties"]["Role"]["Fn::GetAtt"][0]]


def _depend_on_anothers_policy(template: Template) -> None:
    function = _in_vpc(template)
    role = {"Ref": function["Properties"]["Role"]["Fn::GetAtt"][0]}
    policies = resources(template, "AWS::IAM::Policy").items()
    function["DependsOn"] = [name for name, policy in policies if role not in policy["Roles"]]


BREAKAGES: list[tuple[rules.Rule, Breakage]] = [
    (deletion.nothing_outlives_its_stack, lambda t: _of(t, "AWS::SQS::Queue").update(DeletionPolicy="Retain")),
    (deletion.nothing_outlives_its_stack, lambda t: _of(t, "AWS::SQS::Queue").update(UpdateReplacePolicy="Retain")),
    (deletion.nothing_outlives_its_stack, lambda t: _of(t, "AWS::IAM::Role").update(DeletionPolicy="Retain")),
    (deletion.nothing_outlives_its_stack, lambda t: _of(t, "AWS::RDS::DBInstance").pop("DeletionPolicy")),
    (deletion.nothing_refuses_its_deletion,
     lambda t: _of(t, "AWS::RDS::DBInstance")["Properties"].update(DeletionProtection=True)),
    (deletion.nothing_refuses_its_deletion,
     lambda t: _of(t, "AWS::S3::Bucket")["Properties"].update(ObjectLockEnabled=True)),
    (deletion.databases_leave_no_backups,
     lambda t: _of(t, "AWS::RDS::DBInstance")["Properties"].pop("DeleteAutomatedBackups")),
    (deletion.keys_wait_no_longer_than_they_must,
     lambda t: _of(t, "AWS::KMS::Key")["Properties"].pop("PendingWindowInDays")),
    (deletion.nobody_makes_a_log_group_that_no_stack_declares, _let_make_log_groups),
    (deletion.nobody_makes_a_log_group_that_no_stack_declares,
     lambda t: _of(t, "AWS::RDS::DBInstance")["Properties"].update(EnableCloudwatchLogsExports=["error"])),
    (deletion.nobody_makes_a_log_group_that_no_stack_declares,
     lambda t: _of(t, "AWS::RDS::DBInstance")["Properties"].update(MonitoringInterval=60)),
    (deletion.apis_go_before_their_execution_logs, lambda t: _of(t, "AWS::ApiGateway::Stage").pop("DependsOn")),
    (deletion.functions_leave_their_vpc_while_their_role_may, _depend_on_the_role_only),
    (deletion.functions_leave_their_vpc_while_their_role_may, _depend_on_anothers_policy),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "break_it"), BREAKAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_rule_fails_on_a_template_that_breaks_it(rule: rules.Rule, break_it: Breakage) -> None:
    template = copy.deepcopy(synthesise("dev").templates["dev-sales-report"])
    assert not list(rule(template))
    break_it(template)
    assert list(rule(template))


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, _ in BREAKAGES} == set(deletion.WITHOUT_KEPT_DATA)
