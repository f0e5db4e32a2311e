from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from moto import mock_aws

from shop import destroy
from shop.errors import ShopError
from shop.local import tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGION: Final = "eu-west-1"


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    monkeypatch.setenv("AWS_REGION", REGION)
    with mock_aws():
        yield boto3.Session(region_name=REGION)


def _make_stack(session: boto3.Session, name: str, tags: dict[str, str]) -> str:
    template = {"Resources": {"Images": {"Type": "AWS::S3::Bucket"}, "Orders": {"Type": "AWS::SQS::Queue"}}}
    cloudformation = session.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    resource = cloudformation.describe_stack_resource(StackName=name, LogicalResourceId="Images")
    return str(resource["StackResourceDetail"]["PhysicalResourceId"])


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


def test_more_objects_than_one_request_takes_go(session: boto3.Session) -> None:
    s3 = session.client("s3")
    s3.create_bucket(Bucket="images", CreateBucketConfiguration={"LocationConstraint": REGION})
    for number in range(1_050):
        s3.put_object(Bucket="images", Key=f"{number}.jpg", Body=b"")

    destroy.empty_bucket(s3, "images")

    assert s3.list_objects_v2(Bucket="images")["KeyCount"] == 0


def test_only_the_stages_own_buckets_are_found(session: boto3.Session) -> None:
    own = _make_stack(session, "test-image-fanout", {"application": "serverless-shop", "stage": "test"})
    _make_stack(session, "test-2-image-fanout", {"application": "serverless-shop", "stage": "test-2"})
    _make_stack(session, "test-other", {"application": "another", "stage": "test"})

    assert destroy.stage_buckets(session, "test") == [own]


def test_buckets_are_emptied_before_the_stacks_go(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = _make_stack(session, "test-image-fanout", {"application": "serverless-shop", "stage": "test"})
    s3 = session.client("s3")
    _fill(s3, bucket)
    left: list[Any] = []
    monkeypatch.setattr(
        destroy, "_destroy_stacks", lambda stage: left.append((stage, s3.list_object_versions(Bucket=bucket)))
    )
    said: list[str] = []

    destroy.destroy("test", progress=said.append)

    [(stage, versions)] = left
    assert stage == "test"
    assert "Versions" not in versions
    assert said == [f"Emptying bucket {bucket}", "Destroying the stacks of stage test"]


def test_a_protected_stage_keeps_its_objects(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = _make_stack(session, "test-image-fanout", {"application": "serverless-shop", "stage": "test"})
    s3 = session.client("s3")
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


@pytest.mark.parametrize("stage", ["prod", "local"])
def test_prod_and_the_local_cloud_are_refused(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destroy, "_destroy_stacks", lambda stage: pytest.fail(f"{stage} was destroyed"))
    monkeypatch.setattr(destroy, "stage_buckets", lambda *_: pytest.fail("AWS was asked"))

    with pytest.raises(destroy.DestroyError, match=stage) as refusal:
        destroy.destroy(stage, progress=lambda _: None)

    assert "\n" not in str(refusal.value)


def test_a_stage_without_stacks_is_said(session: boto3.Session) -> None:
    with pytest.raises(destroy.DestroyError, match=f"stage test: region {REGION} has no stack of it"):
        destroy.stage_buckets(session, "test")


def test_an_unknown_stage_is_refused_before_aws_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destroy, "stage_buckets", lambda *_: pytest.fail("AWS was asked"))

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


def test_a_failing_cdk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "cdk_command", lambda: ["false"])
    monkeypatch.setattr(destroy, "stage_buckets", lambda *_: [])

    with pytest.raises(destroy.DestroyError, match="stage test: cdk destroy ended with exit code 1"):
        destroy.destroy("test", progress=lambda _: None)
