"""What an AWS account still has of a stage whose stacks are deleted, and how to remove it.

Found by asking AWS, not by what the templates say: a log group can come back, a key waits, a backup is made by the
deletion itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shop.deployed import physical_ids, resources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import boto3

_BOOTSTRAP_STACK = "CDKToolkit"
_BUCKET = "AWS::S3::Bucket"
_ROLE = "AWS::IAM::Role"
_API_GATEWAY_ACCOUNT = "AWS::ApiGateway::Account"
_LOG_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"


@dataclass(frozen=True)
class Left:
    """One thing that is left: what it is, why, and the command that removes it."""

    kind: str
    name: str
    why: str
    remove: str


def inventory(session: boto3.Session, stacks: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The physical ids of all resources of the stacks, by resource type."""
    found: dict[str, list[str]] = {}
    for stack in stacks:
        for kind, physical_id in resources(session.client("cloudformation"), stack["StackName"]):
            found.setdefault(kind, []).append(physical_id)
    return found


def find(session: boto3.Session, stacks: Sequence[Mapping[str, Any]], had: Mapping[str, list[str]]) -> list[Left]:
    """What is left of stacks that are deleted; `had` is their inventory from before."""
    return [
        *_retained(session, stacks),
        *_log_groups(session, had.get("AWS::Logs::LogGroup", [])),
        *_keys(session, had.get("AWS::KMS::Key", [])),
        *_secrets(session, had.get("AWS::SecretsManager::Secret", [])),
        *_table_backups(session, had.get("AWS::DynamoDB::Table", [])),
        *_database_backups(session, had.get("AWS::RDS::DBInstance", [])),
        *_bootstrap_bucket(session),
    ]


def _retained(session: boto3.Session, stacks: Sequence[Mapping[str, Any]]) -> Iterator[Left]:
    """What CloudFormation was told to leave alone. A deleted stack is asked by its id, for up to 90 days."""
    cloudformation = session.client("cloudformation")
    for stack in stacks:
        pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack["StackId"])
        events = [event for page in pages for event in page["StackEvents"]]
        # Each try to delete the stack tells of it again.
        skipped = dict.fromkeys(
            (event["ResourceType"], event["PhysicalResourceId"])
            for event in events
            if event.get("ResourceStatus") == "DELETE_SKIPPED"
        )
        for kind, name in skipped:
            yield _kept(session, kind, name)


def _kept(session: boto3.Session, kind: str, name: str) -> Left:
    if kind == _ROLE:
        why = (
            "API Gateway writes the logs of all REST APIs of this account and region by it"
            if _is_api_gateways(session, name)
            else "kept for API Gateway's logs, which another role writes by now"
        )
        detach = f"aws iam detach-role-policy --role-name {name} --policy-arn {_LOG_POLICY}"
        return Left("role", name, why, f"{detach} && aws iam delete-role --role-name {name}")
    if kind == _API_GATEWAY_ACCOUNT:
        return Left(
            "API Gateway's log role",
            name,
            "the setting of account and region that names the role; other REST APIs log by it too",
            "aws apigateway update-account --patch-operations op=replace,path=/cloudwatchRoleArn,value=",
        )
    return Left(kind, name, "its template keeps it", "by hand, when nobody needs it any more")


def _is_api_gateways(session: boto3.Session, role: str) -> bool:
    account = session.client("apigateway").get_account()
    return str(account.get("cloudwatchRoleArn", "")).endswith(f"/{role}")


def _log_groups(session: boto3.Session, names: Sequence[str]) -> Iterator[Left]:
    logs = session.client("logs")
    for name in names:
        groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        if any(group["logGroupName"] == name for group in groups):
            why = "API Gateway made it anew for lines that it wrote late; it has no retention"
            yield Left("log group", name, why, f"aws logs delete-log-group --log-group-name {name}")


def _keys(session: boto3.Session, ids: Sequence[str]) -> Iterator[Left]:
    kms = session.client("kms")
    for key_id in ids:
        key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
        # AWS KMS never deletes a key at once, so that a mistake can be taken back.
        if key["KeyState"] == "PendingDeletion":
            yield Left("key", key_id, "is deleted after its waiting period, and costs nothing", f"by itself{_on(key)}")
        else:
            waits = f"aws kms schedule-key-deletion --key-id {key_id} --pending-window-in-days 7"
            yield Left("key", key_id, f"its state is {key['KeyState']}", waits)


def _secrets(session: boto3.Session, ids: Sequence[str]) -> Iterator[Left]:
    secrets = session.client("secretsmanager")
    for secret_id in ids:
        try:
            secrets.describe_secret(SecretId=secret_id)
        except secrets.exceptions.ResourceNotFoundException:
            continue
        remove = f"aws secretsmanager delete-secret --force-delete-without-recovery --secret-id {secret_id}"
        yield Left("secret", secret_id, "it can be recovered until its recovery window ends", remove)


def _table_backups(session: boto3.Session, tables: Sequence[str]) -> Iterator[Left]:
    """What DynamoDB keeps of a deleted table with point-in-time recovery: a system backup (Developer Guide)."""
    dynamodb = session.client("dynamodb")
    for table in tables:
        for page in dynamodb.get_paginator("list_backups").paginate(TableName=table, BackupType="ALL"):
            for backup in page["BackupSummaries"]:
                arn = backup["BackupArn"]
                why, remove = "somebody made it", f"aws dynamodb delete-backup --backup-arn {arn}"
                if backup["BackupType"] == "SYSTEM":
                    why, remove = "made by the table's deletion, free of charge", "by itself, after 35 days"
                yield Left("table's backup", arn, why, remove)


def _database_backups(session: boto3.Session, instances: Sequence[str]) -> Iterator[Left]:
    rds = session.client("rds")
    for instance in instances:
        for page in rds.get_paginator("describe_db_snapshots").paginate(DBInstanceIdentifier=instance):
            for snapshot in page["DBSnapshots"]:
                name = snapshot["DBSnapshotIdentifier"]
                remove = f"aws rds delete-db-snapshot --db-snapshot-identifier {name}"
                yield Left("database's snapshot", name, "somebody made it, and it is charged for", remove)
        backups = rds.get_paginator("describe_db_instance_automated_backups")
        for page in backups.paginate(DBInstanceIdentifier=instance):
            for backup in page["DBInstanceAutomatedBackups"]:
                name = backup["DbiResourceId"]
                remove = f"aws rds delete-db-instance-automated-backup --dbi-resource-id {name}"
                yield Left("database's backups", name, "kept until their retention ends", remove)


def _bootstrap_bucket(session: boto3.Session) -> Iterator[Left]:
    """The bucket through which the CDK deploys: of the account and region, and not of a stage."""
    try:
        buckets = physical_ids(session.client("cloudformation"), _BOOTSTRAP_STACK, _BUCKET)
    except ClientError as error:
        if "does not exist" not in error.response["Error"].get("Message", ""):
            raise
        return  # bootstrapped under a name of somebody's own
    for bucket in buckets:
        why = "has the packages and templates of whatever the CDK deployed to this account and region"
        yield Left("CDK's bucket", bucket, why, "npx cdk gc --unstable=gc (what no stack uses)")


def _on(key: Mapping[str, Any]) -> str:
    date = key.get("DeletionDate")
    return f", on {date:%Y-%m-%d}" if date else ""
