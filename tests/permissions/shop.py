"""The deployed systems as the proof sees them: what the integration tests have, roles, and what the roles did."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from shop.local.clients import client
from shop.local.cloud import Cloud
from tests.integration.images import ImageFanout
from tests.integration.order_service import OrderService
from tests.integration.pipeline import Pipeline
from tests.integration.sales_report import SalesReport
from tests.permissions.grants import (
    Grant,
    RolePolicy,
    Template,
    as_list,
    condition_name,
    construct_name,
    policies,
    resource_name,
    role_name,
)
from tests.polling import eventually

_OWN_SESSION = "proof"
"""What the proof's own use of a role's rights is known by."""


@dataclass(frozen=True)
class Use:
    """One decision about one request of a role."""

    role: str
    """The role's physical name."""
    action: str
    resource: str
    allowed: bool


@dataclass(frozen=True)
class DeployedPolicy:
    """A policy as it is deployed, beside the template's."""

    policy: RolePolicy
    role: str
    """The role's physical name."""
    name: str
    document: dict[str, Any]

    def grants(self) -> Iterator[tuple[Grant, str]]:
        """What it grants, each with the ARN pattern that it has in this deployment."""
        for statement, deployed in zip(self.policy.statements, self.document["Statement"], strict=True):
            if statement["Effect"] != "Allow":
                continue
            assert as_list(statement["Action"]) == as_list(deployed["Action"]), self.name
            resources = zip(as_list(statement["Resource"]), as_list(deployed["Resource"]), strict=True)
            for resource, arn in resources:
                name = resource_name(resource, self.policy.stage)
                condition = condition_name(statement, self.policy.stage)
                for action in as_list(statement["Action"]):
                    yield Grant(self.policy.system, self.policy.role, action, name, condition), arn

    def without(self, action: str) -> dict[str, Any]:
        """The policy's document without an action."""
        kept = []
        for statement in self.document["Statement"]:
            actions = [one for one in as_list(statement["Action"]) if one != action]
            if statement["Effect"] != "Allow":
                kept.append(statement)
            elif actions:
                kept.append(statement | {"Action": actions})
        return self.document | {"Statement": kept}


@dataclass(frozen=True)
class Shop:
    """All systems of one cloud, whose recorder writes to `log`."""

    cloud: Cloud
    folder: Path
    log: Path
    outputs: Mapping[str, Mapping[str, str]] = field(hash=False)

    def client(self, service: str) -> Any:
        """A client with all rights."""
        return client(self.cloud, service)

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.cloud, self.outputs[f"{self.cloud.stage}-order-pipeline"])

    @cached_property
    def order_service(self) -> OrderService:
        return OrderService(self.cloud, self.outputs[f"{self.cloud.stage}-order-service"])

    @cached_property
    def sales_report(self) -> SalesReport:
        return SalesReport(self.cloud, self.outputs[f"{self.cloud.stage}-sales-report"])

    @cached_property
    def images(self) -> ImageFanout:
        return ImageFanout(self.cloud, self.outputs[f"{self.cloud.stage}-image-fanout"])

    @cached_property
    def templates(self) -> dict[str, Template]:
        """The deployed templates by stack."""
        paths = (self.folder / "cdk.out").glob("*.template.json")
        return {path.name.split(".")[0]: json.loads(path.read_text()) for path in paths}

    @cached_property
    def policies(self) -> list[DeployedPolicy]:
        """The policies of all roles."""
        iam, found = self.client("iam"), []
        for policy in policies(self.templates, self.cloud.stage):
            role = self.physical_id(policy.system, policy.role_id)
            template = self.templates[f"{self.cloud.stage}-{policy.system}"]
            name = template["Resources"][policy.policy_id]["Properties"]["PolicyName"]
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            found.append(DeployedPolicy(policy, role, name, document))
        return found

    def roles(self) -> dict[tuple[str, str], str]:
        """Physical name by system and role of all roles, those without a policy of their own included."""
        return {
            (stack.removeprefix(f"{self.cloud.stage}-"), role_name(logical_id)): self._physical_ids(stack)[logical_id]
            for stack, template in self.templates.items()
            for logical_id, resource in template["Resources"].items()
            if resource["Type"] == "AWS::IAM::Role"
        }

    def physical_id(self, system: str, logical_id: str) -> str:
        """What CloudFormation knows a resource by."""
        return self._physical_ids(f"{self.cloud.stage}-{system}")[logical_id]

    def named(self, system: str, construct: str, resource_type: str) -> str:
        """The physical id of the one resource of a type whose logical id is this construct and a hash."""
        [found] = [
            logical_id
            for logical_id, resource in self.templates[f"{self.cloud.stage}-{system}"]["Resources"].items()
            if resource["Type"] == resource_type and construct_name(logical_id) == construct
        ]
        return self.physical_id(system, found)

    def function(self, system: str, role: str) -> str:
        """The name of the function that has a role."""
        return self.named(system, role, "AWS::Lambda::Function")

    def end_workers(self, system: str, role: str) -> None:
        """Ends the processes of a role's function, so that the next invocation has nothing kept from before."""
        functions = Pipeline(self.cloud, {"": self.function(system, role)})
        # Until they are gone: the emulator would give an invocation to one that is about to die.
        eventually(lambda: functions.kill_workers("") == 0)

    def _physical_ids(self, stack: str) -> dict[str, str]:
        if stack not in self._resources:
            pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
            self._resources[stack] = {
                item["LogicalResourceId"]: item["PhysicalResourceId"]
                for page in pages
                for item in page["StackResourceSummaries"]
            }
        return self._resources[stack]

    @cached_property
    def _resources(self) -> dict[str, dict[str, str]]:
        return {}

    def as_role(self, role: str) -> boto3.session.Session:
        """A session that has the rights of the role of this physical name.

        A role trusts an AWS service only, some of them under conditions. For the moment of taking it on it trusts the
        account.
        """
        iam, arn = self.client("iam"), f"arn:aws:iam::{self.cloud.account_id}:role/{role}"
        trusted = json.dumps(iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"])
        account = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": self.cloud.account_id}}
        opened = json.dumps({"Version": "2012-10-17", "Statement": [account]})
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=opened)
        try:
            credentials = self.client("sts").assume_role(RoleArn=arn, RoleSessionName=_OWN_SESSION)["Credentials"]
        finally:
            iam.update_assume_role_policy(RoleName=role, PolicyDocument=trusted)
        return boto3.session.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            region_name=self.cloud.region,
        )

    def client_of(self, session: boto3.session.Session, service: str) -> Any:
        """A client of this cloud with a session's rights, which asks once."""
        return session.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.cloud.endpoint_url,
            verify=self.cloud.ca_bundle,
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )

    def mark(self) -> int:
        """The place in the record up to which all is known now."""
        return self.log.stat().st_size if self.log.exists() else 0

    def uses(self, since: int = 0) -> list[Use]:
        """What roles asked for after that place, without what the proof itself did in their name."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(since)
            whole, _, _ = file.read().rpartition(b"\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        return [
            Use(line["role"], line["action"], line["resource"], line["allowed"])
            for line in lines
            if line["session"] != _OWN_SESSION
        ]


def covers(action: str, arn: str, use: Use) -> bool:
    """Whether a grant of an action on an ARN pattern is what a request needed."""
    return action.lower() == use.action.lower() and matches(arn, use.resource)


def matches(pattern: str, arn: str) -> bool:
    """IAM's wildcards; brackets mean themselves."""
    return fnmatchcase(arn, pattern.replace("[", "[[]"))
