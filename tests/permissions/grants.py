"""What the synthesised policies grant, in words that stay the same from one deployment to the next."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Template = Mapping[str, Any]

_HASH = re.compile(r"[0-9A-F]{8}$")
"""What the CDK puts after the construct's path in a logical id."""
_ROLE = re.compile(r"Role$")
_OWN = {"AWS::Partition": "<partition>", "AWS::Region": "<region>", "AWS::AccountId": "<account>"}
"""What a stage is deployed to."""


@dataclass(frozen=True, order=True)
class Grant:
    """One action that a role may do on one resource, always or under a condition."""

    system: str
    """The stack's name without its stage."""
    role: str
    """The role's construct, without the `Role` at its end."""
    action: str
    resource: str
    """The resource's construct with what follows it (`Images/ingest/*`), or an ARN's own part: with its head where that
    is not of this account and region."""
    condition: str = ""
    """When it holds: operators, keys and values (`StringEquals kms:ViaService=sqs.<region>.amazonaws.com`)."""


@dataclass(frozen=True)
class RolePolicy:
    """One policy of one role, as a template has it."""

    stage: str
    system: str
    role: str
    role_id: str
    """The role's logical id."""
    policy_id: str
    """The policy's logical id."""
    statements: tuple[Mapping[str, Any], ...]


def policies(templates: Mapping[str, Template], stage: str) -> Iterator[RolePolicy]:
    """The inline policies of all roles of a stage, in the order of the templates. Raises ValueError.

    A policy in another form than the CDK's (a resource of its own with an allow list) is refused: it would be left out
    of every table.
    """
    for stack, template in sorted(templates.items()):
        system = stack.removeprefix(f"{stage}-")
        for policy_id, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::IAM::Role" and properties.get("Policies"):
                raise ValueError(f"{stack} {policy_id}: a policy within a role is not looked at here")
            if resource["Type"] in {"AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy", "AWS::IAM::UserPolicy"}:
                raise ValueError(f"{stack} {policy_id}: {resource['Type']} is not looked at here")
            if resource["Type"] != "AWS::IAM::Policy":
                continue
            statements = tuple(properties["PolicyDocument"]["Statement"])
            for role in properties["Roles"]:
                yield RolePolicy(stage, system, role_name(role["Ref"]), role["Ref"], policy_id, statements)


def grants(templates: Mapping[str, Template], stage: str) -> list[Grant]:
    """What all roles of a stage may do, sorted. Raises ValueError."""
    found = {
        Grant(policy.system, policy.role, action, resource_name(resource, stage), condition_name(statement, stage))
        for policy in policies(templates, stage)
        for statement in policy.statements
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }
    return sorted(found)


def managed(templates: Mapping[str, Template], stage: str) -> list[Grant]:
    """AWS's managed policies of the roles, as grants of the policy's name on `*`, sorted."""
    return sorted(
        Grant(stack.removeprefix(f"{stage}-"), role_name(role_id), resource_name(arn, stage), "*")
        for stack, template in templates.items()
        for role_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
        for arn in resource["Properties"].get("ManagedPolicyArns", ())
    )


def role_name(logical_id: str) -> str:
    """A role's name in the tables, by its logical id."""
    return _ROLE.sub("", construct_name(logical_id))


def resource_name(expression: Any, stage: str) -> str:
    """A resource's name in the tables, by a stage's expression for its ARN. Raises ValueError."""
    return _name(expression).replace(f"parameter/{stage}/", "parameter/<stage>/")


def condition_name(statement: Mapping[str, Any], stage: str) -> str:
    """A statement's conditions in the tables, which must all hold; empty without any. Raises ValueError."""
    return " ".join(
        f"{operator} {key}={','.join(resource_name(value, stage) for value in as_list(values))}"
        for operator, keys in sorted(statement.get("Condition", {}).items())
        for key, values in sorted(keys.items())
    )


def _name(expression: Any) -> str:
    if isinstance(expression, str):
        return _without_arn_head(expression)
    [(function, value)] = expression.items()
    match function:
        case "Ref":
            return _OWN.get(value) or construct_name(value)
        case "Fn::GetAtt":
            return construct_name(value[0]) + ("" if value[1] == "Arn" else f".{value[1]}")
        case "Fn::ImportValue":
            return _imported(value)
        case "Fn::Join":
            return _without_arn_head("".join(_name(part) for part in value[1]))
        case _:
            raise ValueError(f"{function}: not known in a policy's resource")


def _imported(name: Any) -> str:
    """The CDK names an export `<stack>:ExportsOutput…<logical id><hash of the attribute>`."""
    found = re.search(r"ExportsOutput(?:FnGetAtt|Ref)(.+?)(?:Arn)?[0-9A-F]{8}$", str(name))
    return construct_name(found[1]) if found else str(name)


def _without_arn_head(text: str) -> str:
    """An ARN of this account and region without them: `ssm:parameter/…`; all else as it is, wildcards there included.

    Some have no region or account (a bucket's), and AWS's own policies are `aws`'s.
    """
    parts = text.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return text
    _, partition, _, region, account, _ = parts
    is_own = region in {"", _OWN["AWS::Region"]} and account in {"", "aws", _OWN["AWS::AccountId"]}
    if not is_own or "*" in partition:
        return text
    return parts[5] if parts[2] == "s3" else f"{parts[2]}:{parts[5]}"


def construct_name(logical_id: str) -> str:
    """A construct's path without the CDK's hash, by its logical id."""
    return _HASH.sub("", logical_id)


def as_list(value: Any) -> list[Any]:
    """The elements of what IAM lets one write as one element or as a list."""
    return value if isinstance(value, list) else [value]
