from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws

from shop import destroy
from shop.errors import ShopError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REGION: Final = "eu-west-1"


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    monkeypatch.setenv("AWS_REGION", REGION)
    with mock_aws():
        yield boto3.Session(region_name=REGION)


TAGS: Final = {"application": "serverless-shop", "stage": "test"}
BUCKET_AND_QUEUE: Final = {"Images": {"Type": "AWS::S3::Bucket"}, "Orders": {"Type": "AWS::SQS::Queue"}}


def _make_stack(
    session: boto3.Session,
    name: str,
    tags: dict[str, str] = TAGS,
    resources: dict[str, Any] = BUCKET_AND_QUEUE,
    outputs: dict[str, Any] | None = None,
) -> None:
    template = {"Resources": resources, "Outputs": outputs or {}}
    session.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )


def _bucket(session: boto3.Session, stack: str) -> str:
    resource = session.client("cloudformation").describe_stack_resource(StackName=stack, LogicalResourceId="Images")
    return str(resource["StackResourceDetail"]["PhysicalResourceId"])


def _stacks(session: boto3.Session) -> set[str]:
    return {stack["StackName"] for stack in session.client("cloudformation").describe_stacks()["Stacks"]}


def _fill(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        s3.put_object(Bucket=bucket, Key="ingest/a b+c.jpg", Body=str(number).encode())
    s3.put_object(Bucket=bucket, Key="gone.jpg", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="gone.jpg")


def test_all_versions_and_delete_markers_go(session: boto3.Session) -> None:
    s3 = session.client("s3")
    s3.create_bucket(Bucket="images", CreateBucketConfiguration={"LocationConstraint": REGION})
    _fill(s3, "images")

    destroy.empty_bucket(s3, "images")

    left = s3.list_object_versions(Bucket="images")
    assert "Versions" not in left
    assert "DeleteMarkers" not in left


@pytest.mark.slow
def test_more_objects_than_one_request_takes_go(session: boto3.Session) -> None:
    s3 = session.client("s3")
    s3.create_bucket(Bucket="images", CreateBucketConfiguration={"LocationConstraint": REGION})
    for number in range(1_050):
        s3.put_object(Bucket="images", Key=f"{number}.jpg", Body=b"")

    destroy.empty_bucket(s3, "images")

    assert s3.list_objects_v2(Bucket="images")["KeyCount"] == 0


def test_only_the_stages_own_stacks_and_buckets_go(session: boto3.Session) -> None:
    s3 = session.client("s3")
    _make_stack(session, "test-image-fanout")
    _make_stack(session, "test-2-image-fanout", {**TAGS, "stage": "test-2"})
    _make_stack(session, "test-other", {**TAGS, "application": "another"})
    own = _bucket(session, "test-image-fanout")
    for stack in _stacks(session):
        _fill(s3, _bucket(session, stack))
    said: list[str] = []

    destroy.destroy("test", progress=said.append)

    assert _stacks(session) == {"test-2-image-fanout", "test-other"}
    assert all(
        len(s3.list_object_versions(Bucket=_bucket(session, stack))["Versions"]) == 4 for stack in _stacks(session)
    )
    assert said == [f"Emptying bucket {own}", "Deleting stack test-image-fanout"]


EXPORTING: Final = {"Topic": {"Value": "arn", "Export": {"Name": "test:topic"}}}


def _import(session: boto3.Session, monkeypatch: pytest.MonkeyPatch, importer: str) -> None:
    """Says, which moto cannot, that a stack imports `test:topic` for as long as it is there."""

    def answer(params: dict[str, Any], **_: object) -> tuple[Any, dict[str, Any]]:
        assert params["body"]["ExportName"] == "test:topic"
        if importer in _stacks(session):
            return AWSResponse("", 200, HTTPHeaders(), None), {"Imports": [importer]}
        error = {"Code": "ValidationError", "Message": "Export 'test:topic' is not imported by any stack."}
        return AWSResponse("", 400, HTTPHeaders(), None), {"Error": error}

    session.events.register("before-call.cloudformation.ListImports", answer)  # type: ignore[arg-type]
    monkeypatch.setattr(boto3, "Session", lambda **_: session)


def test_a_stack_goes_after_those_that_use_it(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_stack(session, "test-order-pipeline", outputs=EXPORTING)
    _make_stack(session, "test-sales-report")
    _import(session, monkeypatch, "test-sales-report")
    said: list[str] = []

    destroy.destroy("test", progress=said.append)

    assert said[2:] == ["Deleting stack test-sales-report", "Deleting stack test-order-pipeline"]
    assert _stacks(session) == set()


def test_a_stack_that_somebody_else_uses_stays_and_its_user_is_named(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_stack(session, "test-order-pipeline", outputs=EXPORTING)
    _make_stack(session, "somebodys", {})
    _import(session, monkeypatch, "somebodys")

    with pytest.raises(destroy.DestroyError, match=r"^the stacks are in use: test-order-pipeline by somebodys$"):
        destroy.destroy("test", progress=lambda _: None)

    assert _stacks(session) == {"test-order-pipeline", "somebodys"}


class Failing:
    """Lets CloudFormation fail to delete a stack so many times."""

    def __init__(self, session: boto3.Session, times: int, before_failing: Callable[[], None]) -> None:
        self.left = times
        self._before_failing = before_failing
        session.events.register("before-call.cloudformation.DeleteStack", self._refuse)  # type: ignore[arg-type]
        session.events.register("after-call.cloudformation.DescribeStacks", self._tell)
        self._failed = False

    def _refuse(self, **_: object) -> tuple[Any, dict[str, Any]] | None:
        self._failed = self.left > 0
        if not self._failed:
            return None
        self.left -= 1
        self._before_failing()
        return AWSResponse("", 200, HTTPHeaders(), None), {"ResponseMetadata": {}}

    def _tell(self, parsed: dict[str, Any], **_: object) -> None:
        for stack in parsed["Stacks"] if self._failed else ():
            stack.update(StackStatus="DELETE_FAILED", StackStatusReason="[Images]: the bucket\nis not empty")


def test_a_bucket_that_filled_again_is_emptied_again(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_stack(session, "test-image-fanout")
    s3, bucket = session.client("s3"), _bucket(session, "test-image-fanout")
    Failing(session, 1, lambda: _fill(s3, bucket))
    monkeypatch.setattr(boto3, "Session", lambda **_: session)

    destroy.destroy("test", progress=lambda _: None)

    assert _stacks(session) == set()
    assert s3.list_buckets()["Buckets"] == []


def test_a_stack_that_stays_is_an_error_with_its_reason(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_stack(session, "test-image-fanout")
    Failing(session, 2, lambda: None)
    monkeypatch.setattr(boto3, "Session", lambda **_: session)

    with pytest.raises(
        destroy.DestroyError, match=r"^stack test-image-fanout is not deleted: \[Images\]: the bucket is not empty$"
    ):
        destroy.destroy("test", progress=lambda _: None)


def test_a_protected_stage_keeps_its_objects(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_stack(session, "test-image-fanout")
    s3, bucket = session.client("s3"), _bucket(session, "test-image-fanout")
    _fill(s3, bucket)

    def protect(parsed: dict[str, Any], **_: object) -> None:
        # moto knows nothing of termination protection.
        for stack in parsed["Stacks"]:
            stack["EnableTerminationProtection"] = True

    session.events.register("after-call.cloudformation.DescribeStacks", protect)
    monkeypatch.setattr(boto3, "Session", lambda **_: session)

    with pytest.raises(destroy.DestroyError, match="test-image-fanout has termination protection"):
        destroy.destroy("test", progress=lambda _: None)

    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 4


class Interrupted(BaseException):
    """As a person's Ctrl-C."""


def test_a_run_after_one_that_was_stopped_lists_what_both_left(
    session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does one for which no stack is left to delete."""
    of_others = {"test-2-image-fanout": {**TAGS, "stage": "test-2"}, "test-other": {}}
    for name, tags in {"test-image-fanout": TAGS, "test-order-service": TAGS, **of_others}.items():
        _make_stack(session, name, tags, resources={"Orders": {"Type": "AWS::SQS::Queue"}})
    for name in of_others:
        session.client("cloudformation").delete_stack(StackName=name)

    def tell(params: dict[str, Any], **_: object) -> tuple[Any, dict[str, Any]]:
        # Each stack kept something; moto deletes all.
        kept = {"ResourceType": "Kept", "PhysicalResourceId": params["body"]["StackName"].split("/")[1]}
        return AWSResponse("", 200, HTTPHeaders(), None), {"StackEvents": [kept | {"ResourceStatus": "DELETE_SKIPPED"}]}

    def stop(said: str) -> None:
        if said.endswith("test-order-service"):
            raise Interrupted

    session.events.register("before-call.cloudformation.DescribeStackEvents", tell)  # type: ignore[arg-type]
    monkeypatch.setattr(boto3, "Session", lambda **_: session)
    with pytest.raises(Interrupted):
        destroy.destroy("test", progress=stop)
    assert _stacks(session) == {"test-order-service"}

    for _ in range(2):
        left = destroy.destroy("test", progress=lambda _: None)
        assert {each.name for each in left if each.kind == "Kept"} == {"test-image-fanout", "test-order-service"}
    assert _stacks(session) == set()


@pytest.mark.parametrize("stage", ["prod", "local"])
def test_prod_and_the_local_cloud_are_refused(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destroy, "deletable_stacks", lambda *_: pytest.fail("AWS was asked"))

    with pytest.raises(destroy.DestroyError, match=stage) as refusal:
        destroy.destroy(stage, progress=lambda _: None)

    assert "\n" not in str(refusal.value)


def test_a_stage_without_stacks_is_said(session: boto3.Session) -> None:
    with pytest.raises(destroy.DestroyError, match=f"stage test: region {REGION} has no stack of it"):
        destroy.deletable_stacks(session, "test")


def test_an_unknown_stage_is_refused_before_aws_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destroy, "deletable_stacks", lambda *_: pytest.fail("AWS was asked"))

    with pytest.raises(ShopError, match=r"^stage: 'nope' is not one of local, dev, test, prod"):
        destroy.destroy("nope", progress=lambda _: None)


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("AWS_DEFAULT_REGION", "^no AWS region: set AWS_REGION"),
        ("AWS_ACCESS_KEY_ID", "^no AWS credentials: set AWS_PROFILE"),
    ],
)
def test_what_is_missing_for_aws_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, line: str
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv(missing)

    with pytest.raises(ShopError, match=line):
        destroy.destroy("dev", progress=lambda _: None)
