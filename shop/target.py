"""Which cloud a command talks to: the local one of this checkout, or a stage deployed to the caller's AWS account.

Everything after that is the same for both: clients come from the target, names from the stack's outputs. The local
target is closed to the user's AWS settings (profile, keys, endpoint, proxy), a deployed one is made of nothing else.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import ClientError

from shop.errors import ShopError
from shop.local import clients
from shop.local import cloud as local_cloud
from shop.local.cloud import Cloud
from stacks.settings import SettingsError, load_settings

LOCAL = "local"
NOT_RUNNING = "the local cloud is not running: run make up"
HALF_STARTED = "the emulator runs, the stacks are not deployed: make up goes on, make down stops it"


@dataclass(frozen=True)
class Target:
    """A deployed order pipeline and how to reach it."""

    stage: str
    outputs: Mapping[str, str]
    """CloudFormation outputs of `<stage>-order-pipeline`, by output key."""
    session: boto3.Session
    cloud: Cloud | None
    """The local cloud's connection, None for a stage in an AWS account."""

    @property
    def stack(self) -> str:
        """Name of the order pipeline's stack."""
        return stack_name(self.stage)

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


def stack_name(stage: str) -> str:
    """Return the name of the order pipeline's stack in a stage."""
    return f"{stage}-order-pipeline"


def connect(stage: str) -> Target:
    """Return the cloud of a stage without asking what is deployed there: a target with no outputs.

    Raises ShopError for a stage that the settings do not have, when the local cloud is not running, and when there are
    no AWS credentials or no region.
    """
    _check_stage(stage)
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
        raise ShopError("no AWS credentials: set AWS_PROFILE, or sign in (aws sso login, aws configure)")
    return Target(stage, {}, session, None)


def _check_stage(stage: str) -> None:
    """Refuse what cannot be deployed either, in the same words: a mistyped stage is no matter of credentials."""
    try:
        load_settings({"stage": stage})
    except SettingsError as error:
        raise ShopError(str(error)) from None


def find(stage: str) -> Target:
    """Return the target of a stage with its order pipeline's outputs.

    Raises ShopError as `connect` does, and when the account has no such stack.
    """
    target = connect(stage)
    if target.cloud is None:
        outputs = _deployed_outputs(target.session, stage)
    else:
        outputs = local_outputs(local_cloud.default_folder())
    return replace(target, outputs=outputs)


def local_outputs(folder: Path) -> dict[str, str]:
    """Return the order pipeline's outputs from the local cloud's `outputs.json`; raise ShopError without it."""
    try:
        stacks = msgspec.json.decode((folder / "outputs.json").read_bytes(), type=dict[str, dict[str, str]])
    except (FileNotFoundError, msgspec.MsgspecError):
        raise ShopError(NOT_RUNNING) from None
    outputs = stacks.get(stack_name(LOCAL))
    if outputs is None:
        raise ShopError(f"stack {stack_name(LOCAL)} is not deployed to the local cloud: run make up")
    return outputs


def _deployed_outputs(session: boto3.Session, stage: str) -> dict[str, str]:
    try:
        answer = session.client("cloudformation").describe_stacks(StackName=stack_name(stage))
    except ClientError as error:
        if "does not exist" not in error.response["Error"].get("Message", ""):
            raise
        account = session.client("sts").get_caller_identity()["Account"]
        place = f"region {session.region_name} of account {account}"
        raise ShopError(f"stack {stack_name(stage)} not found in {place}: make deploy STAGE={stage}") from None
    return {output["OutputKey"]: output["OutputValue"] for output in answer["Stacks"][0].get("Outputs", [])}
