"""A table's stream and the function that reads the new items from it."""

from aws_cdk import Duration, Fn, Stack, aws_cloudwatch, aws_dynamodb, aws_lambda
from constructs import Construct

from stacks.constructs.data_key import MESSAGES, READING
from stacks.constructs.failure_destination import DiscardedBatches
from stacks.constructs.function import PythonFunction
from stacks.constructs.queues import DeadLetterQueue
from stacks.constructs.shop_stack import acknowledge, let_use_data_key
from stacks.constructs.topics import Alarms

_BEHIND = Duration.minutes(30)
"""Of the 24 hours that a stream keeps its records."""
_READ_EVERY = Duration.minutes(5)
_UNREAD_FOR = 3
"""Periods: longer than a mapping takes to be changed."""


def read_new_items(
    scope: Construct,
    table: aws_dynamodb.Table,
    reader: PythonFunction,
    *,
    batch_size: int,
    retry_attempts: int,
    max_record_age_seconds: int,
    failures: DeadLetterQueue,
    alarms: Alarms,
    behind_says: str,
    behind_entry: str,
) -> None:
    """Has the function read every inserted item, from the oldest record that the stream still has.

    A batch that fails is cut in two and tried again (after the first failed record, where the function names it)
    until retries or age run out; then its place in the stream goes to `failures`. Records expire, so one alarm tells
    when the reader falls behind, which is known of a reader that runs, and one when nobody reads the stream at all: the
    mapping is disabled, gone or refused. Two more tell when the reader keeps failing whole or is throttled.
    """
    stream = table.table_stream_arn
    assert stream  # noqa: S101 - the table has a stream; for the type checker
    reader.allow("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", on=stream)
    reader.allow("dynamodb:ListStreams", on=f"{table.table_arn}/stream/*")
    for use in (READING, MESSAGES):  # it sends them to `failures`
        let_use_data_key(reader.execution_role, use)
    acknowledge(
        reader.execution_role,
        f"AwsSolutions-IAM5[Resource::<{Stack.of(table).resolve(table.table_arn)['Fn::GetAtt'][0]}.Arn>/stream/*]",
        "ListStreams is on a table's streams, not on one of them.",
    )
    acknowledge(reader, "Serverless-LambdaDLQ", "Never invoked asynchronously; what fails goes to the failure queue.")
    age = reader.metric("IteratorAge", period=Duration.minutes(1), statistic=aws_cloudwatch.Stats.MAXIMUM)
    alarms.when_above(f"{reader.node.id}Behind", age, _BEHIND.to_milliseconds(), says=behind_says, entry=behind_entry)
    alarms.when_silent(
        f"{reader.node.id}StreamUnread",
        _reads(table, stream),
        says=f"Nobody has read the stream of {reader.node.id} for a quarter of an hour.",
        entry=behind_entry,
        periods=_UNREAD_FOR,
    )
    alarms.when_not_working(reader)
    aws_lambda.EventSourceMapping(
        scope,
        f"{reader.node.id}Mapping",
        target=reader.live,
        event_source_arn=stream,
        starting_position=aws_lambda.StartingPosition.TRIM_HORIZON,
        batch_size=batch_size,
        filters=[aws_lambda.FilterCriteria.filter({"eventName": aws_lambda.FilterRule.is_equal("INSERT")})],
        bisect_batch_on_error=True,
        retry_attempts=retry_attempts,
        max_record_age=Duration.seconds(max_record_age_seconds),
        report_batch_item_failures=True,
        on_failure=DiscardedBatches(failures),
    )


def _reads(table: aws_dynamodb.Table, stream: str) -> aws_cloudwatch.Metric:
    """How often the stream was read, with or without records in it.

    A mapping that is enabled reads four times a second, orders or none (AWS Lambda Developer Guide, "Polling and
    batching streams"); each read that DynamoDB answered is a sample (DynamoDB Developer Guide, "Metrics and
    dimensions": SuccessfulRequestLatency of GetRecords). The label of a stream is the end of its ARN.
    """
    return aws_cloudwatch.Metric(
        namespace="AWS/DynamoDB",
        metric_name="SuccessfulRequestLatency",
        dimensions_map={
            "TableName": table.table_name,
            "Operation": "GetRecords",
            "StreamLabel": Fn.select(3, Fn.split("/", stream)),
        },
        statistic=aws_cloudwatch.Stats.SAMPLE_COUNT,
        period=_READ_EVERY,
    )
