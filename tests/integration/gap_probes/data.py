"""Probes of DynamoDB, S3 and RDS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.integration.gap_probes.emulators import allow, refusal, unique
from tests.integration.gap_probes.registry import probe

if TYPE_CHECKING:
    from tests.integration.gap_probes.emulators import Emulator

_KEY = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def _insert(table: str) -> dict[str, Any]:
    return {"Statement": f"INSERT INTO \"{table}\" VALUE {{'id': ?}}", "Parameters": [{"S": "1"}]}


@probe("partiql-rights", aws="", emulator="AccessDeniedException")
def _how_one_that_may_insert_is_refused_a_batch_of_statements(emulator: Emulator) -> str:
    table = emulator.table()
    writer = emulator.client("dynamodb", emulator.user(allow("dynamodb:PartiQLInsert", table["TableArn"])))
    return refusal(lambda: writer.batch_execute_statement(Statements=[_insert(table["TableName"])]))


@probe("partiql-stream", aws=1, emulator=0)
def _how_many_stream_records_a_partiql_insert_makes(emulator: Emulator) -> int:
    table = emulator.table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    emulator.client("dynamodb").batch_execute_statement(Statements=[_insert(table["TableName"])])
    streams, arn = emulator.client("dynamodbstreams"), table["LatestStreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    return len(streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"])


@probe("expressions", aws="ValidationException", emulator="")
def _how_an_update_with_two_set_sections_is_refused(emulator: Emulator) -> str:
    table = emulator.table()["TableName"]
    return refusal(
        lambda: emulator.client("dynamodb").update_item(
            TableName=table,
            Key={"id": {"S": "1"}},
            UpdateExpression="SET a = :v SET b = :v",
            ExpressionAttributeValues={":v": {"S": "x"}},
        )
    )


def _made_table(emulator: Emulator, **properties: Any) -> tuple[str, str]:
    """The names of a table of a template and of its stack."""
    resource = {"Type": "AWS::DynamoDB::Table", "Properties": {**_KEY, **properties}}
    made = emulator.stack({"Table": resource}, {"Name": {"Ref": "Table"}})
    return made["Name"], made["StackName"]


@probe("point-in-time-recovery", aws="ENABLED", emulator="DISABLED")
def _the_point_in_time_recovery_of_a_table_of_a_template(emulator: Emulator) -> str:
    table, _ = _made_table(emulator, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    found = emulator.client("dynamodb").describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    return str(found["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"])


@probe("restore-in-time", aws=["before"], emulator=["after"])
def _what_a_table_restored_to_a_moment_before_a_change_has(emulator: Emulator) -> list[str]:
    """AWS's restore takes minutes; what it holds is the state of the moment that is named."""
    tables, table = emulator.client("dynamodb"), emulator.table()["TableName"]
    tables.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    tables.put_item(TableName=table, Item={"id": {"S": "1"}, "at": {"S": "before"}})
    moment = tables.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"][
        "PointInTimeRecoveryDescription"
    ]["LatestRestorableDateTime"]
    tables.put_item(TableName=table, Item={"id": {"S": "1"}, "at": {"S": "after"}})
    target = unique("table")
    tables.restore_table_to_point_in_time(SourceTableName=table, TargetTableName=target, RestoreDateTime=moment)
    return [item["at"]["S"] for item in tables.scan(TableName=target)["Items"]]


@probe("deletion-protection", aws="DELETE_FAILED", emulator="DELETE_COMPLETE")
def _how_the_removal_of_a_stack_with_a_protected_table_ends(emulator: Emulator) -> str:
    _, stack = _made_table(emulator, DeletionProtectionEnabled=True)
    return emulator.removed(stack)


@probe("bucket-lifecycle", aws="", emulator="NoSuchLifecycleConfiguration")
def _whether_a_bucket_has_the_lifecycle_of_its_template(emulator: Emulator) -> str:
    rules = [{"Id": "old", "Status": "Enabled", "ExpirationInDays": 30}]
    bucket = emulator.stack(
        {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"LifecycleConfiguration": {"Rules": rules}}}},
        {"Name": {"Ref": "Bucket"}},
    )["Name"]
    return refusal(lambda: emulator.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket))


@probe("long-keys", aws="KeyTooLongError", emulator="")
def _how_a_key_of_more_than_1024_bytes_is_refused(emulator: Emulator) -> str:
    s3, bucket = emulator.client("s3"), unique("bucket")
    s3.create_bucket(Bucket=bucket)
    return refusal(lambda: s3.put_object(Bucket=bucket, Key="a" * 1025, Body=b"x"))
