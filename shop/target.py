"""Which cloud a command talks to: the local one of this checkout, or a stage deployed to the caller's AWS account.

Everything after that is the same for both: clients come from the target, names from a stack's outputs. The local
target is closed to the user's AWS settings (profile, keys, endpoint, proxy), a deployed one is made of nothing else.
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import msgspec
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from shop.errors import ShopError
from shop.local import clients
from shop.local import cloud as local_cloud
from shop.local.cloud import Cloud
from stacks.settings import SettingsError, load_settings

LOCAL = "local"
ORDER_PIPELINE = "order-pipeline"
ORDER_SERVICE = "order-service"
SALES_REPORT = "sales-report"
IMAGE_FANOUT = "image-fanout"
NOT_RUNNING = "the local cloud is not running: run make up"
HALF_STARTED = "the emulator runs, the stacks are not deployed: make up goes on, make down stops it"
NO_CREDENTIALS = "no AWS credentials: set AWS_PROFILE, or sign in (aws sso login, aws configure)"


@dataclass(frozen=True)
class Target:
    """One system of a stage as it is deployed, and how to reach it."""

    stage: str
    outputs: Mapping[str, str]
    """CloudFormation outputs of the stack, by output key."""
    session: boto3.Session
    cloud: Cloud | None
    """The local cloud's connection, None for a stage in an AWS account."""
    system: str = ORDER_PIPELINE

    @property
    def stack(self) -> str:
        """Name of the system's stack."""
        return stack_name(self.stage, self.system)

    @property
    def region(self) -> str:
        """The AWS region that the stage is in."""
        region: str = self.session.region_name
        return region

    @property
    def credentials(self) -> ReadOnlyCredentials:
        """The credentials as they are now, refreshed where they were about to expire; `connect` made sure of some."""
        found = self.session.get_credentials()
        if found is None:
            raise ShopError(NO_CREDENTIALS)
        return found.get_frozen_credentials()

    @property
    def ca_bundle(self) -> str | None:
        """File with the certificate authorities to trust, None for the machine's own."""
        if self.cloud is not None:
            return self.cloud.ca_bundle
        configured: str | None = self.session._session.get_config_variable("ca_bundle")
        return configured

    def output(self, key: str) -> str:
        """Return a stack output; raise ShopError when the stack has none of that name."""
        if key not in self.outputs:
            raise ShopError(f"stack {self.stack} has no output {key}: deploy it again")
        return self.outputs[key]

    def client(self, service: str, config: Config | None = None) -> Any:
        """Return a boto3 client of `service`; `config` adds to what the target needs."""
        if self.cloud is None:
            return self.session.client(service, config=config)  # type: ignore[call-overload]
        return clients.client(self.cloud, service, config)


def stack_name(stage: str, system: str) -> str:
    """Return the name that a system's stack has in a stage."""
    return f"{stage}-{system}"


def connect(stage: str) -> Target:
    """Return the cloud of a stage without asking what is deployed there: a target with no outputs.

    Raises ShopError for a stage that the settings do not have, when the local cloud is not running, and when there are
    no AWS credentials or no region.
    """
    check_stage(stage)
    if stage == LOCAL:
        local = local_cloud.status(local_cloud.default_folder())
        if local.cloud is None:
            raise ShopError(NOT_RUNNING if local.pid is None else HALF_STARTED)
        return Target(LOCAL, {}, clients.session(local.cloud), local.cloud)
    # boto3 reads AWS_DEFAULT_REGION only; the CDK CLI that deployed the stage goes by AWS_REGION first.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    if session.region_name is None:
        raise ShopError("no AWS region: set AWS_REGION, or a region in the profile that AWS_PROFILE names")
    if session.get_credentials() is None:
        raise ShopError(NO_CREDENTIALS)
    return Target(stage, {}, session, None)


def check_stage(stage: str) -> None:
    """Refuse what cannot be deployed either, in the same words: a mistyped stage is no matter of credentials."""
    try:
        load_settings({"stage": stage})
    except SettingsError as error:
        raise ShopError(str(error)) from None


def stage_option(stage: str) -> str:
    """Return what a command line about a stage ends with: nothing for the local one, which commands take by default."""
    return "" if stage == LOCAL else f" --stage {shlex.quote(stage)}"


def find(stage: str, system: str = ORDER_PIPELINE) -> Target:
    """Return the target of a stage with the outputs of one system's stack.

    Raises ShopError as `connect` does, and when the stack is not deployed.
    """
    return at(connect(stage), system)


def at(connection: Target, system: str) -> Target:
    """Return the target of one system of a stage that `connect` gave; raise ShopError when it is not deployed."""
    target = replace(connection, system=system)
    if target.cloud is None:
        return replace(target, outputs=_deployed_outputs(target))
    return replace(target, outputs=local_outputs(local_cloud.default_folder(), target.stack))


def local_outputs(folder: Path, stack: str) -> dict[str, str]:
    """Return a stack's outputs from the local cloud's `outputs.json`; raise ShopError without it."""
    try:
        stacks = msgspec.json.decode((folder / "outputs.json").read_bytes(), type=dict[str, dict[str, str]])
    except (FileNotFoundError, msgspec.MsgspecError):
        raise ShopError(NOT_RUNNING) from None
    if stack not in stacks:
        raise ShopError(f"stack {stack} is not deployed to the local cloud: run make up")
    return stacks[stack]


def _deployed_outputs(target: Target) -> dict[str, str]:
    try:
        answer = target.client("cloudformation").describe_stacks(StackName=target.stack)
    except ClientError as error:
        if "does not exist" not in error.response["Error"].get("Message", ""):
            raise
        account = target.client("sts").get_caller_identity()["Account"]
        place = f"region {target.region} of account {account}"
        raise ShopError(f"stack {target.stack} not found in {place}: make deploy STAGE={target.stage}") from None
    return {output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0].get("Outputs", [])}
