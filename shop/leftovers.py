"""What an AWS account still has of a stage whose stacks are deleted, and how to remove it.

Found by asking AWS, not by what the templates say: a log group can come back, a key waits, a backup is made by the
deletion itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from shop.deployed import physical_ids, resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import boto3

_BOOTSTRAP_STACK = "CDKToolkit"
_BUCKET = "AWS::S3::Bucket"
_ROLE = "AWS::IAM::Role"
_API_GATEWAY_ACCOUNT = "AWS::ApiGateway::Account"
_LOG_POLICY = "iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
_SERVICE_LINKED = "/aws-service-role/"


@dataclass(frozen=True)
class Left:
    """One thing that is left: what it is, why, and the command that removes it."""

    kind: str
    name: str
    why: str
    remove: str


def inventory(session: boto3.Session, stacks: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The physical ids of all resources that the stacks have or had, by resource type.

    Also of stacks that are deleted, and half deleted: a key that CloudFormation is done with still waits.
    """
    found: dict[str, list[str]] = {}
    for stack in stacks:
        for kind, physical_id in resources(session.client("cloudformation"), stack["StackId"], deleted=True):
            found.setdefault(kind, []).append(physical_id)
    return found


def find(session: boto3.Session, stacks: Sequence[Mapping[str, Any]], had: Mapping[str, list[str]]) -> list[Left]:
    """What is left of stacks that are deleted; `had` is their inventory.

    Where AWS cannot be asked for one of these, the list has a line for it instead.
    """
    looks = [("stack", stack["StackName"], _retained(session, stack)) for stack in stacks]
    looks += [
        (kind, name, look(session, name)) for kind, look in _LOOKS.items() for name in dict.fromkeys(had.get(kind, []))
    ]
    looks += [
        ("service-linked role", "all of them", _service_linked_roles(session, had)),
        ("CDK's bucket", _BOOTSTRAP_STACK, _bootstrap_bucket(session)),
    ]
    return list(dict.fromkeys(left for look in looks for left in _found(*look)))


def _found(kind: str, name: str, found: Iterator[Left]) -> Iterator[Left]:
    """What a look finds, and a line where it fails: by then the stacks are gone, and the rest is to be told."""
    try:
        yield from found
    except (BotoCoreError, ClientError) as error:
        if not _is_gone(error):
            why = f"it could not be looked up: {' '.join(str(error).split())}"
            yield Left(kind, name, why, "make destroy again: it asks for deleted stacks too")


def _is_gone(error: BotoCoreError | ClientError) -> bool:
    """Whether AWS says that there is no such thing. Its services say so by codes such as NotFoundException."""
    code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
    return "NotFound" in code or code == "NoSuchEntity"


def _retained(session: boto3.Session, stack: Mapping[str, Any]) -> Iterator[Left]:
    """What CloudFormation was told to leave alone. A deleted stack is asked by its id, for up to 90 days."""
    pages = session.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack["StackId"])
    events = [event for page in pages for event in page["StackEvents"]]
    # Each try to delete the stack tells of it again.
    skipped = dict.fromkeys(
        (event["ResourceType"], event["PhysicalResourceId"])
        for event in events
        if event.get("ResourceStatus") == "DELETE_SKIPPED"
    )
    for kind, name in skipped:
        look = {_ROLE: _log_role, _API_GATEWAY_ACCOUNT: _log_role_setting}.get(kind)
        if look:
            yield from _found(kind, name, look(session, name))
        else:
            yield Left(kind, name, "its template keeps it", "by hand, when nobody needs it any more")


def _log_role(session: boto3.Session, name: str) -> Iterator[Left]:
    session.client("iam").get_role(RoleName=name)
    why = (
        "API Gateway writes the logs of all REST APIs of this account and region by it"
        if _api_gateways_role(session).endswith(f"/{name}")
        else "kept for API Gateway's logs, which another role writes by now"
    )
    policy = f"arn:{session.get_partition_for_region(session.region_name)}:{_LOG_POLICY}"
    detach = f"aws iam detach-role-policy --role-name {name} --policy-arn {policy}"
    yield Left("role", name, why, f"{detach} && aws iam delete-role --role-name {name}")


def _log_role_setting(session: boto3.Session, name: str) -> Iterator[Left]:
    if _api_gateways_role(session):
        yield Left(
            "API Gateway's log role",
            name,
            "the setting of account and region that names the role; other REST APIs log by it too",
            "aws apigateway update-account --patch-operations op=replace,path=/cloudwatchRoleArn,value=",
        )


def _api_gateways_role(session: boto3.Session) -> str:
    return str(session.client("apigateway").get_account().get("cloudwatchRoleArn", ""))


def _log_group(session: boto3.Session, name: str) -> Iterator[Left]:
    groups = session.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    if any(group["logGroupName"] == name for group in groups):
        why = "API Gateway made it anew for lines that it wrote late; it has no retention"
        yield Left("log group", name, why, f"aws logs delete-log-group --log-group-name {name}")


def _key(session: boto3.Session, key_id: str) -> Iterator[Left]:
    key = session.client("kms").describe_key(KeyId=key_id)["KeyMetadata"]
    # AWS KMS never deletes a key at once, so that a mistake can be taken back.
    if key["KeyState"] == "PendingDeletion":
        yield Left("key", key_id, "is deleted after its waiting period, and costs nothing", f"by itself{_on(key)}")
    else:
        waits = f"aws kms schedule-key-deletion --key-id {key_id} --pending-window-in-days 7"
        yield Left("key", key_id, f"its state is {key['KeyState']}", waits)


def _secret(session: boto3.Session, secret_id: str) -> Iterator[Left]:
    session.client("secretsmanager").describe_secret(SecretId=secret_id)
    remove = f"aws secretsmanager delete-secret --force-delete-without-recovery --secret-id {secret_id}"
    yield Left("secret", secret_id, "it can be recovered until its recovery window ends", remove)


def _table_backups(session: boto3.Session, table: str) -> Iterator[Left]:
    """What DynamoDB keeps of a deleted table with point-in-time recovery: a system backup (Developer Guide)."""
    for page in session.client("dynamodb").get_paginator("list_backups").paginate(TableName=table, BackupType="ALL"):
        for backup in page["BackupSummaries"]:
            arn = backup["BackupArn"]
            why, remove = "somebody made it", f"aws dynamodb delete-backup --backup-arn {arn}"
            if backup["BackupType"] == "SYSTEM":
                why, remove = "made by the table's deletion, free of charge", "by itself, after 35 days"
            yield Left("table's backup", arn, why, remove)


def _database_backups(session: boto3.Session, instance: str) -> Iterator[Left]:
    rds = session.client("rds")
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


_LOOKS: Final[dict[str, Callable[[boto3.Session, str], Iterator[Left]]]] = {
    "AWS::Logs::LogGroup": _log_group,
    "AWS::KMS::Key": _key,
    "AWS::SecretsManager::Secret": _secret,
    "AWS::DynamoDB::Table": _table_backups,
    "AWS::RDS::DBInstance": _database_backups,
}


def _service_linked_roles(session: boto3.Session, had: Mapping[str, list[str]]) -> Iterator[Left]:
    """Roles that AWS made for itself when the account first had a thing of a service, such as AWSServiceRoleForRDS.

    They are of the account, and no template has them. The path says whose one is, such as
    `/aws-service-role/rds.amazonaws.com/`; of AWS::RDS::DBInstance the service is RDS.
    """
    services = {kind.split("::")[1].lower() for kind in had}
    for page in session.client("iam").get_paginator("list_roles").paginate(PathPrefix=_SERVICE_LINKED):
        for role in page["Roles"]:
            if services & set(role["Path"].removeprefix(_SERVICE_LINKED).split(".")):
                name = role["RoleName"]
                why = "AWS made it for the account, by whatever first used the service; it is free"
                remove = f"aws iam delete-service-linked-role --role-name {name} (AWS refuses while it is used)"
                yield Left("service-linked role", name, why, remove)


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
