"""What CloudFormation must be able to delete, and to delete without a trace: rules from a template to findings.

`shop destroy` asks AWS afterwards what is left; these keep the templates of stages that hold no data free of what would
be. The emulator deletes all the same, so they are checked here.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.templates.rules import Rule
from tests.templates.synthesis import Template, resources

_FUNCTION = "AWS::Lambda::Function"
_DATABASE = "AWS::RDS::DBInstance"
_KEY = "AWS::KMS::Key"
_SHORTEST_WAIT_DAYS = 7
"""AWS KMS, ScheduleKeyDeletion: 7 to 30 days, 30 where nothing is said."""
_SNAPSHOT_BY_DEFAULT = {_DATABASE, "AWS::RDS::DBCluster"}
"""AWS CloudFormation, DeletionPolicy attribute: of these a snapshot is taken where nothing is said."""
_OF_THE_ACCOUNT = {"AWS::ApiGateway::Account", "AWS::IAM::Role"}
_API_GATEWAYS = '"apigateway.amazonaws.com"'


def nothing_outlives_its_stack(template: Template) -> Iterator[str]:
    """All goes with the stack, but for the role by which API Gateway logs for the whole account and region."""
    for name, resource in template["Resources"].items():
        default = "Snapshot" if resource["Type"] in _SNAPSHOT_BY_DEFAULT else "Delete"
        for attribute, unsaid in (("DeletionPolicy", default), ("UpdateReplacePolicy", "Delete")):
            policy = resource.get(attribute, unsaid)
            if policy != "Delete" and not _is_the_log_role(resource):
                yield f"{name}: {attribute} is {policy}"


def nothing_refuses_its_deletion(template: Template) -> Iterator[str]:
    """Nothing is protected from deletion, nor holds objects that nobody may delete."""
    for name, resource in template["Resources"].items():
        for field, value in resource.get("Properties", {}).items():
            if "DeletionProtection" in field and value not in (False, "INACTIVE"):
                yield f"{name}: {field} is {value}"
            if field == "ObjectLockEnabled" and value is not False:
                yield f"{name}: its objects are locked"


def databases_leave_no_backups(template: Template) -> Iterator[str]:
    """A database's automated backups go with it (Amazon RDS, DeleteAutomatedBackups)."""
    for name, database in resources(template, _DATABASE).items():
        if database.get("DeleteAutomatedBackups") is not True:
            yield f"{name}: its backups stay until their retention ends"


def keys_wait_no_longer_than_they_must(template: Template) -> Iterator[str]:
    """A key is gone a week after its stack."""
    for name, key in resources(template, _KEY).items():
        if key.get("PendingWindowInDays") != _SHORTEST_WAIT_DAYS:
            yield f"{name}: waits {key.get('PendingWindowInDays', 30)} days"


def nobody_makes_a_log_group_that_no_stack_declares(template: Template) -> Iterator[str]:
    """No role may make log groups, and no database logs to ones of its own: they would stay, without a retention.

    A function's last lines can come after its log group is gone, and would make it anew.
    """
    for name, policy in resources(template, "AWS::IAM::Policy").items():
        if any("logs:CreateLogGroup" in _as_list(each["Action"]) for each in policy["PolicyDocument"]["Statement"]):
            yield f"{name}: may make log groups"
    for name, database in resources(template, _DATABASE).items():
        # Enhanced monitoring writes to RDSOSMetrics, exports to /aws/rds/instance/… (Amazon RDS User Guide).
        if database.get("EnableCloudwatchLogsExports") or database.get("MonitoringInterval"):
            yield f"{name}: makes log groups of its own"


def apis_go_before_their_execution_logs(template: Template) -> Iterator[str]:
    """An API's stage is deleted before its execution log group, which API Gateway would make anew at the next line."""
    for name, stage in template["Resources"].items():
        if stage["Type"] != "AWS::ApiGateway::Stage":
            continue
        before = [template["Resources"][other] for other in _as_list(stage.get("DependsOn", []))]
        api = json.dumps(stage["Properties"]["RestApiId"])
        named = [json.dumps(each.get("Properties", {}).get("LogGroupName", "")) for each in before]
        if not any("API-Gateway-Execution-Logs_" in group and api in group for group in named):
            yield f"{name}: may outlive its execution logs"


def functions_leave_their_vpc_while_their_role_may(template: Template) -> Iterator[str]:
    """A function in a VPC is deleted before the policy by which Lambda removes its network interfaces.

    Else the interfaces stay, and hold up the security groups and subnets (AWS Lambda Developer Guide, "Giving Lambda
    functions access to resources in an Amazon VPC").
    """
    letting = {
        name
        for name, policy in resources(template, "AWS::IAM::Policy").items()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and "ec2:DeleteNetworkInterface" in _as_list(statement["Action"])
    }
    for name, resource in template["Resources"].items():
        if resource["Type"] != _FUNCTION or "VpcConfig" not in resource["Properties"]:
            continue
        role = resource["Properties"]["Role"]["Fn::GetAtt"][0]
        its_own = {
            policy for policy in letting if {"Ref": role} in template["Resources"][policy]["Properties"]["Roles"]
        }
        if not its_own & set(_as_list(resource.get("DependsOn", []))):
            yield f"{name}: its role may lose the right to remove network interfaces before it is gone"


ALWAYS: list[Rule] = [
    nobody_makes_a_log_group_that_no_stack_declares,
    apis_go_before_their_execution_logs,
    functions_leave_their_vpc_while_their_role_may,
]
WITHOUT_KEPT_DATA: list[Rule] = [
    *ALWAYS,
    nothing_outlives_its_stack,
    nothing_refuses_its_deletion,
    databases_leave_no_backups,
    keys_wait_no_longer_than_they_must,
]


def fixed_names(template: Template) -> dict[tuple[str, str], set[str]]:
    """The names that the template itself gives, by resource type and property: those that refer to no resource."""
    found: dict[tuple[str, str], set[str]] = {}
    for resource in template["Resources"].values():
        for field, value in resource.get("Properties", {}).items():
            text = json.dumps(value)
            if field.endswith(("Name", "Identifier")) and not _refers_to_a_resource(text, template):
                found.setdefault((resource["Type"], field), set()).add(text)
    return found


def _refers_to_a_resource(text: str, template: Template) -> bool:
    return any(f'"{name}"' in text for name in template["Resources"]) or "Fn::ImportValue" in text


def _is_the_log_role(resource: dict[str, Any]) -> bool:
    if resource["Type"] == "AWS::IAM::Role":
        return _API_GATEWAYS in json.dumps(resource["Properties"]["AssumeRolePolicyDocument"])
    return resource["Type"] in _OF_THE_ACCOUNT


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
