"""`make destroy`: removes a stage from an AWS account, its versioned buckets emptied first.

CloudFormation deletes no bucket that holds anything, and old versions and delete markers count. Stage `prod` is never
destroyed from here: its data is kept on purpose, and who wants it gone does that by hand.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

from shop import target
from shop.deployed import physical_ids, stage_stacks
from shop.errors import ShopError
from shop.local import tools

if TYPE_CHECKING:
    from collections.abc import Callable

    import boto3

_PROTECTED_STAGE = "prod"
_BUCKET_TYPE = "AWS::S3::Bucket"


class DestroyError(ShopError):
    """A stage cannot be destroyed."""


def destroy(stage: str, *, progress: Callable[[str], None]) -> None:
    """Empty the stage's buckets, then destroy its stacks with the caller's AWS credentials.

    Raises DestroyError for `prod` and other stages whose stacks are protected, for the local cloud, and where the CDK
    fails; ShopError for an unknown stage and without credentials or a region, as `target.connect` does.
    """
    _refuse_what_stays(stage)
    session = target.connect(stage).session
    for bucket in stage_buckets(session, stage):
        progress(f"Emptying bucket {bucket}")
        empty_bucket(session.client("s3"), bucket)
    progress(f"Destroying the stacks of stage {stage}")
    _destroy_stacks(stage)


def stage_buckets(session: boto3.Session, stage: str) -> list[str]:
    """The names of the buckets that the stage's stacks made and still have. Raises DestroyError without a stack."""
    cloudformation = session.client("cloudformation")
    stacks = stage_stacks(cloudformation, stage)
    if not stacks:
        place = f"region {session.region_name} has no stack of it"
        raise DestroyError(f"stage {stage}: {place}; AWS_PROFILE and AWS_REGION say where to look")
    for stack in stacks:
        if stack.get("EnableTerminationProtection"):
            # CloudFormation would refuse as well, but only after the buckets are empty.
            raise DestroyError(f"stack {stack['StackName']} has termination protection: its data is kept on purpose")
    return [name for stack in stacks for name in physical_ids(cloudformation, stack["StackName"], _BUCKET_TYPE)]


def empty_bucket(s3: Any, bucket: str) -> None:
    """Delete all objects of a bucket with all their versions and delete markers. Raises DestroyError for what stays."""
    # Always the first page (up to 1,000 keys, which is what one DeleteObjects takes): what was on it is gone by then.
    while entries := _first_versions(s3, bucket):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": entries, "Quiet": True})
        for error in answer.get("Errors", []):
            raise DestroyError(f"s3://{bucket}/{error.get('Key')}: {error.get('Code')}: {error.get('Message')}")


def _first_versions(s3: Any, bucket: str) -> list[dict[str, str]]:
    page = s3.list_object_versions(Bucket=bucket)
    entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]


def _refuse_what_stays(stage: str) -> None:
    if stage == _PROTECTED_STAGE:
        raise DestroyError(f"stage {stage} is not destroyed from here: its data is kept on purpose")
    if stage == target.LOCAL:
        raise DestroyError("stage local is not in an AWS account: `make reset` forgets the local cloud")


def _destroy_stacks(stage: str) -> None:
    # Asks nobody once more: the stage was named.
    command = [*tools.cdk_command(), "--no-notices", "destroy", "--all", "--force", "--context", f"stage={stage}"]
    environment = {**os.environ, "PATH": tools.node_path(os.environ.get("PATH", os.defpath))}
    code = subprocess.run(command, cwd=tools.ROOT, env=environment, check=False).returncode  # noqa: S603
    if code:
        raise DestroyError(f"stage {stage}: cdk destroy ended with exit code {code}")
