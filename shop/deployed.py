"""What CloudFormation knows of a stage: its stacks, and the resources that they have."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from stacks.settings import APPLICATION

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef


def stacks(cloudformation: "CloudFormationClient") -> "Iterator[StackTypeDef]":
    """Yield all stacks of the account and region that are not deleted, others' too."""
    for page in cloudformation.get_paginator("describe_stacks").paginate():
        yield from page["Stacks"]


def stage_stacks(cloudformation: "CloudFormationClient", stage: str) -> list[Mapping[str, Any]]:
    """Return the stage's stacks by name: those whose tags say so, since one stage's name may begin another's."""
    found = [stack for stack in stacks(cloudformation) if _is_of(stack, stage)]
    return sorted(found, key=lambda stack: stack["StackName"])


def _is_of(stack: Mapping[str, Any], stage: str) -> bool:
    tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
    return tags.get("application") == APPLICATION and tags.get("stage") == stage


def deleted_stacks(cloudformation: "CloudFormationClient", stage: str) -> list[Mapping[str, Any]]:
    """Return the stage's stacks that are deleted, which CloudFormation knows for 90 days, by their ids."""
    pages = cloudformation.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
    # Their tags are not in the list. By name first: an account may have hundreds of others'.
    ids = [stack["StackId"] for page in pages for stack in page["StackSummaries"]
           if stack["StackName"].startswith(f"{stage}-")]  # fmt: skip
    found = [stack for each in ids for stack in cloudformation.describe_stacks(StackName=each)["Stacks"]]
    return [stack for stack in found if _is_of(stack, stage)]


class Resource(NamedTuple):
    """A resource of a stack."""

    kind: str
    """Such as `AWS::SQS::Queue`."""
    logical_id: str
    """In the stack's template."""
    name: str
    """The physical id: mostly a name, of a queue the URL, of a topic the ARN."""


def listed(cloudformation: "CloudFormationClient", stack: str, *, deleted: bool = False) -> list[Resource]:
    """Return the resources that a stack has; with `deleted` also those that it had.

    A stack that is deleted itself goes by its id.
    """
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    found = [resource for page in pages for resource in page["StackResourceSummaries"]]
    # A resource whose creation failed has no physical id, and one that was deleted is still listed.
    return [
        Resource(resource["ResourceType"], resource["LogicalResourceId"], resource["PhysicalResourceId"])
        for resource in found
        if resource.get("PhysicalResourceId") and (deleted or resource["ResourceStatus"] != "DELETE_COMPLETE")
    ]


def resources(cloudformation: "CloudFormationClient", stack: str, *, deleted: bool = False) -> list[tuple[str, str]]:
    """Return the type and the name (queues: the URL) of each resource that a stack has; `deleted` as for `listed`."""
    return [(resource.kind, resource.name) for resource in listed(cloudformation, stack, deleted=deleted)]


def physical_ids(cloudformation: "CloudFormationClient", stack: str, resource_type: str) -> list[str]:
    """Return the names (queues: the URLs) of a stack's resources of one type."""
    return [name for kind, name in resources(cloudformation, stack) if kind == resource_type]
