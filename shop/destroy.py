"""`make destroy`: removes a stage from an AWS account, its versioned buckets emptied first, and says what is left.

CloudFormation deletes no bucket that holds anything, and old versions and delete markers count. The stacks are those
that carry the stage's tags, so nothing is synthesised, and one that an older version of the app made goes as well.
Stage `prod` is never destroyed from here: its data is kept on purpose, and who wants it gone does that by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError, WaiterError

from shop import leftovers, target
from shop.deployed import deleted_stacks, physical_ids, stage_stacks
from shop.errors import ShopError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import boto3
    from mypy_boto3_cloudformation.type_defs import WaiterConfigTypeDef

    from shop.leftovers import Left

    Stack = Mapping[str, Any]

_PROTECTED_STAGE = "prod"
_BUCKET_TYPE = "AWS::S3::Bucket"
_POLL_SECONDS = 3
_LONGEST_SECONDS = 90 * 60
"""Lambda frees the network interfaces of deleted functions in a VPC within 20 minutes or so, longer when it is busy;
the database takes some minutes more."""


class DestroyError(ShopError):
    """A stage cannot be destroyed."""


def destroy(stage: str, *, progress: Callable[[str], None]) -> list[Left]:
    """Empty the stage's buckets, delete its stacks with the caller's AWS credentials, and return what is left.

    That is what is left of all stacks that the stage had in the last 90 days: one that was stopped half-way is told of
    by the next.

    Raises DestroyError for `prod` and other stages whose stacks are protected, for the local cloud, and where
    CloudFormation fails; ShopError for an unknown stage and without credentials or a region, as `target.connect` does.
    """
    _refuse_what_stays(stage)
    session = target.connect(stage).session
    before = deleted_stacks(session.client("cloudformation"), stage)
    stacks = deletable_stacks(session, stage, gone=len(before))
    all_stacks = [*stacks, *before]
    had = leftovers.inventory(session, all_stacks)
    _empty_buckets(session, stacks, progress)
    remaining = stacks
    while remaining:
        free = _without_importers(session, remaining)
        _delete(session, free, progress)
        remaining = [stack for stack in remaining if stack not in free]
    return leftovers.find(session, all_stacks, had)


def deletable_stacks(session: boto3.Session, stage: str, *, gone: int = 0) -> list[Stack]:
    """The stage's stacks. Raises DestroyError where there are and were (`gone`) none, and where one is protected."""
    stacks = stage_stacks(session.client("cloudformation"), stage)
    if not stacks and not gone:
        place = f"region {session.region_name} has no stack of it"
        raise DestroyError(f"stage {stage}: {place}; AWS_PROFILE and AWS_REGION say where to look")
    for stack in stacks:
        if stack.get("EnableTerminationProtection"):
            # CloudFormation would refuse as well, but only after the buckets are empty.
            raise DestroyError(f"stack {stack['StackName']} has termination protection: its data is kept on purpose")
    return stacks


def empty_bucket(s3: Any, bucket: str) -> None:
    """Delete all objects of a bucket with all their versions and delete markers. Raises DestroyError for what stays.

    Unfinished multipart uploads need nothing: Amazon S3 deletes a bucket with them.
    """
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


def _empty_buckets(session: boto3.Session, stacks: Sequence[Stack], progress: Callable[[str], None]) -> None:
    for stack in stacks:
        for bucket in physical_ids(session.client("cloudformation"), stack["StackName"], _BUCKET_TYPE):
            progress(f"Emptying bucket {bucket}")
            empty_bucket(session.client("s3"), bucket)


def _without_importers(session: boto3.Session, stacks: Sequence[Stack]) -> list[Stack]:
    """The stacks whose exports no stack imports any more. Raises DestroyError where there are none."""
    importers = {stack["StackName"]: _importers(session, stack) for stack in stacks}
    free = [stack for stack in stacks if not importers[stack["StackName"]]]
    if not free:
        uses = "; ".join(f"{name} by {', '.join(users)}" for name, users in importers.items())
        raise DestroyError(f"the stacks are in use: {uses}")
    return free


def _importers(session: boto3.Session, stack: Stack) -> list[str]:
    pages = session.client("cloudformation").get_paginator("list_imports")
    names = [output["ExportName"] for output in stack.get("Outputs", []) if "ExportName" in output]
    found: set[str] = set()
    for name in names:
        try:
            found.update(importer for page in pages.paginate(ExportName=name) for importer in page["Imports"])
        except ClientError as error:
            # That nobody imports it, CloudFormation calls an error.
            if "not imported" not in error.response["Error"].get("Message", ""):
                raise
    return sorted(found)


def _delete(session: boto3.Session, stacks: Sequence[Stack], progress: Callable[[str], None]) -> None:
    """Delete stacks that nothing uses, all at a time. Raises DestroyError for the first that stays."""
    failures = _try_to_delete(session, stacks, progress)
    if not failures:
        return
    # Into a bucket that was empty a function may have written since; by now it is gone.
    again = [stack for stack in stacks if stack["StackId"] in failures]
    _empty_buckets(session, again, progress)
    for reason in _try_to_delete(session, again, progress).values():
        raise DestroyError(reason)


def _try_to_delete(session: boto3.Session, stacks: Sequence[Stack], progress: Callable[[str], None]) -> dict[str, str]:
    """Why stacks could not be deleted, by their ids."""
    cloudformation = session.client("cloudformation")
    for stack in stacks:
        progress(f"Deleting stack {stack['StackName']}")
        cloudformation.delete_stack(StackName=stack["StackId"])
    waiter = cloudformation.get_waiter("stack_delete_complete")
    patience: WaiterConfigTypeDef = {"Delay": _POLL_SECONDS, "MaxAttempts": _LONGEST_SECONDS // _POLL_SECONDS}
    failures = {}
    for stack in stacks:
        try:
            # By its id, under which a stack that is gone is still known.
            waiter.wait(StackName=stack["StackId"], WaiterConfig=patience)
        except WaiterError as error:
            failures[stack["StackId"]] = _reason(stack, error)
    return failures


def _reason(stack: Stack, error: WaiterError) -> str:
    # What the waiter saw last: DescribeStacks' answer, or nothing of it where the call failed.
    [found] = cast("dict[str, Any]", error.last_response).get("Stacks", [{}])
    why = found.get("StackStatusReason") or found.get("StackStatus") or error
    return f"stack {stack['StackName']} is not deleted: {' '.join(str(why).split())}"
