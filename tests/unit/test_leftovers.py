"""What `shop destroy` finds in an account after the stacks are gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws

from shop import leftovers
from shop.leftovers import Left

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION: Final = "eu-west-1"
STACK: Final = {"StackId": "arn:stack", "StackName": "test-order-service"}


@pytest.fixture
def session() -> Iterator[boto3.Session]:
    with mock_aws():
        yield boto3.Session(region_name=REGION)


def _answer(session: boto3.Session, call: str, parsed: dict[str, Any]) -> None:
    """Has AWS answer a call in a way that moto cannot."""

    def answer(**_: object) -> tuple[Any, dict[str, Any]]:
        return AWSResponse("", 200, HTTPHeaders(), None), parsed

    session.events.register(f"before-call.{call}", answer)  # type: ignore[arg-type]


def _find(session: boto3.Session, **had: list[str]) -> list[Left]:
    return leftovers.find(session, [], {f"AWS::{name.replace('_', '::')}": ids for name, ids in had.items()})


def test_nothing_is_left_of_nothing(session: boto3.Session) -> None:
    assert _find(session) == []


def test_a_key_waits_for_its_deletion(session: boto3.Session) -> None:
    kms = session.client("kms")
    going, staying = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    date = kms.schedule_key_deletion(KeyId=going, PendingWindowInDays=7)["DeletionDate"]

    waits, stays = _find(session, KMS_Key=[going, staying])

    assert (waits.name, waits.remove) == (going, f"by itself, on {date:%Y-%m-%d}")
    assert stays.why == "its state is Enabled"
    assert f"schedule-key-deletion --key-id {staying}" in stays.remove


def test_a_log_group_that_came_back_is_found_and_others_of_its_prefix_are_not(session: boto3.Session) -> None:
    logs = session.client("logs")
    for name in ("API-Gateway-Execution-Logs_abc/v1", "orders-2"):
        logs.create_log_group(logGroupName=name)

    [left] = _find(session, Logs_LogGroup=["API-Gateway-Execution-Logs_abc/v1", "orders"])

    assert left.name == "API-Gateway-Execution-Logs_abc/v1"
    assert left.remove == "aws logs delete-log-group --log-group-name API-Gateway-Execution-Logs_abc/v1"


def test_a_secret_that_can_be_recovered_is_found(session: boto3.Session) -> None:
    secrets = session.client("secretsmanager")
    arn = secrets.create_secret(Name="master", SecretString="x")["ARN"]
    secrets.delete_secret(SecretId=arn, RecoveryWindowInDays=7)

    [left] = _find(session, SecretsManager_Secret=[arn, f"{arn}-that-is-gone"])

    assert left.name == arn
    assert left.remove.endswith(f"--secret-id {arn}")


@pytest.mark.parametrize(
    ("kind", "removal"), [("SYSTEM", "by itself, after 35 days"), ("USER", "aws dynamodb delete-backup --backup-arn b")]
)
def test_backups_of_tables_are_found(session: boto3.Session, kind: str, removal: str) -> None:
    backup = {"TableName": "orders", "BackupArn": "b", "BackupType": kind, "BackupCreationDateTime": datetime.now(UTC)}
    _answer(session, "dynamodb.ListBackups", {"BackupSummaries": [backup]})

    assert [left.remove for left in _find(session, DynamoDB_Table=["orders"])] == [removal]


def test_backups_of_databases_are_found(session: boto3.Session) -> None:
    _answer(session, "rds.DescribeDBSnapshots", {"DBSnapshots": [{"DBSnapshotIdentifier": "by-hand"}]})
    kept = {"DBInstanceAutomatedBackups": [{"DbiResourceId": "db-ABC"}]}
    _answer(session, "rds.DescribeDBInstanceAutomatedBackups", kept)

    assert [(left.kind, left.name) for left in _find(session, RDS_DBInstance=["shop"])] == [
        ("database's snapshot", "by-hand"),
        ("database's backups", "db-ABC"),
    ]


@pytest.mark.parametrize(
    ("named", "why"), [("shop-logs", "API Gateway writes"), ("another", "kept for API Gateway's logs, which another")]
)
def test_what_cloudformation_kept_is_found(session: boto3.Session, named: str, why: str) -> None:
    skipped = [
        {"ResourceStatus": "DELETE_SKIPPED", "ResourceType": kind, "PhysicalResourceId": name}
        for kind, name in (
            ("AWS::IAM::Role", "shop-logs"),
            ("AWS::ApiGateway::Account", "account"),
            ("AWS::SQS::Queue", "by-somebodys-hand"),
        )
    ]
    gone = {"ResourceStatus": "DELETE_COMPLETE", "ResourceType": "AWS::S3::Bucket", "PhysicalResourceId": "images"}
    _answer(session, "cloudformation.DescribeStackEvents", {"StackEvents": [*skipped, gone, *skipped]})
    _answer(session, "apigateway.GetAccount", {"cloudwatchRoleArn": f"arn:aws:iam::111122223333:role/{named}"})
    session.client("iam").create_role(RoleName="shop-logs", AssumeRolePolicyDocument="{}")

    role, account, queue = leftovers.find(session, [STACK], {})

    assert (role.kind, role.name) == ("role", "shop-logs")
    assert role.why.startswith(why)
    assert role.remove.endswith("&& aws iam delete-role --role-name shop-logs")
    assert account.kind == "API Gateway's log role"
    assert (queue.kind, queue.name) == ("AWS::SQS::Queue", "by-somebodys-hand")


def test_the_cdks_bucket_is_found(session: boto3.Session) -> None:
    template = (
        '{"Resources": {"StagingBucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "cdk-assets"}}}}'
    )
    session.client("cloudformation").create_stack(StackName="CDKToolkit", TemplateBody=template)

    assert [(left.kind, left.name) for left in _find(session)] == [("CDK's bucket", "cdk-assets")]


def test_what_was_kept_and_is_removed_by_hand_is_not_listed(session: boto3.Session) -> None:
    kinds = ("AWS::IAM::Role", "AWS::ApiGateway::Account")
    skipped = [{"ResourceStatus": "DELETE_SKIPPED", "ResourceType": kind, "PhysicalResourceId": "x"} for kind in kinds]
    _answer(session, "cloudformation.DescribeStackEvents", {"StackEvents": skipped})
    _answer(session, "apigateway.GetAccount", {})

    assert leftovers.find(session, [STACK], {"AWS::KMS::Key": ["11111111-2222-3333-4444-555555555555"]}) == []


def test_roles_that_aws_made_for_the_services_are_found(session: boto3.Session) -> None:
    for service in ("rds", "autoscaling"):
        session.client("iam").create_service_linked_role(AWSServiceName=f"{service}.amazonaws.com")

    [left] = _find(session, RDS_DBSubnetGroup=["shop"], SQS_Queue=["orders"])

    assert (left.kind, left.name.lower()) == ("service-linked role", "awsserviceroleforrds")
    assert left.remove.startswith(f"aws iam delete-service-linked-role --role-name {left.name} ")


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")]
)
def test_commands_name_the_partition_of_the_region(region: str, partition: str) -> None:
    with mock_aws():
        session = boto3.Session(region_name=region)
        event = {"ResourceStatus": "DELETE_SKIPPED", "ResourceType": "AWS::IAM::Role", "PhysicalResourceId": "logs"}
        _answer(session, "cloudformation.DescribeStackEvents", {"StackEvents": [event]})
        session.client("iam").create_role(RoleName="logs", AssumeRolePolicyDocument="{}")

        [left] = leftovers.find(session, [STACK], {})

    assert f"--policy-arn arn:{partition}:iam::aws:policy/service-role/" in left.remove


def test_what_cannot_be_looked_up_is_a_line_and_loses_nothing_else(session: boto3.Session) -> None:
    secret = session.client("secretsmanager").create_secret(Name="master", SecretString="x")["ARN"]

    def refuse(**_: object) -> tuple[Any, dict[str, Any]]:
        error = {"Code": "AccessDeniedException", "Message": "you may\nnot"}
        return AWSResponse("", 400, HTTPHeaders(), None), {"Error": error}

    for call in ("kms.DescribeKey", "cloudformation.DescribeStackEvents", "iam.ListRoles"):
        session.events.register(f"before-call.{call}", refuse)  # type: ignore[arg-type]

    found = leftovers.find(session, [STACK], {"AWS::KMS::Key": ["k"], "AWS::SecretsManager::Secret": [secret]})

    assert [(left.kind, left.name) for left in found] == [
        ("stack", "test-order-service"),
        ("AWS::KMS::Key", "k"),
        ("secret", secret),
        ("service-linked role", "all of them"),
    ]
    assert all(
        "could not be looked up" in left.why and "you may not" in left.why for left in found if left.kind != "secret"
    )
