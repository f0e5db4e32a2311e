"""Has a bucket tell a topic of new objects, while the stack is deployed: the handler of a custom resource.

The bucket is the stack's own, so that its whole configuration of notifications is ours to replace.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from shared import custom_resource
from shared.aws import CLIENT_CONFIG, Config, error_code, is_transient, make_client
from shared.times import Context, RemainingTime, attempts

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import NotificationConfigurationTypeDef

_READ_SECONDS: Final = 15.0
"""S3 tries the topic before it answers."""
_RESERVE_MS: Final = int((_READ_SECONDS + custom_resource.ANSWER_SECONDS + 5) * 1000)
"""For the last try and the answer."""
_MAY_PASS: Final = {"InvalidArgument", "AccessDenied", "OperationAborted"}
"""S3 could not publish to the topic, or we may not tell it to (policies that were made just now may not hold
everywhere yet), or something else of the bucket is being changed (Amazon S3 API Reference, "Error responses")."""

_s3: "S3Client" = make_client("s3", CLIENT_CONFIG.merge(Config(read_timeout=_READ_SECONDS)))


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Sets the notifications for a Create or an Update, removes them for a Delete, and tells CloudFormation.

    `ResourceProperties` has `BucketName`, `TopicArn`, `Prefix` and `Suffixes`. The bucket's name is the resource's
    physical id, so that another bucket is another resource.
    """
    properties = event["ResourceProperties"]
    bucket = properties["BucketName"]

    def work() -> None:
        if event["RequestType"] == "Delete":
            _remove(bucket, context.get_remaining_time_in_millis)
            return
        wanted = configuration(properties["TopicArn"], properties["Prefix"], properties["Suffixes"])
        _put(bucket, wanted, context.get_remaining_time_in_millis)

    custom_resource.run(event, work, physical_id=bucket)


def configuration(topic_arn: str, prefix: str, suffixes: Sequence[str]) -> "NotificationConfigurationTypeDef":
    """Every object that is created under the prefix with one of the suffixes is told to the topic.

    A configuration of its own for each suffix, because a filter has room for one (Amazon S3 User Guide, "Configuring
    event notifications using object key name filtering").
    """
    return {
        "TopicConfigurations": [
            {
                "Id": f"{prefix}*{suffix}",
                "TopicArn": topic_arn,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {
                    "Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]}
                },
            }
            for suffix in suffixes
        ]
    }


def _remove(bucket: str, remaining_ms: RemainingTime) -> None:
    try:
        _put(bucket, {}, remaining_ms)
    except ClientError as error:
        if error_code(error) != "NoSuchBucket":  # then its notifications are gone too
            raise


def _put(bucket: str, wanted: "NotificationConfigurationTypeDef", remaining_ms: RemainingTime) -> None:
    last: ClientError | BotoCoreError | None = None
    for _ in attempts(lambda: remaining_ms() - _RESERVE_MS):
        try:
            _s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wanted)
        except (ClientError, BotoCoreError) as error:
            if not is_transient(error) and error_code(error) not in _MAY_PASS:
                raise
            last = error
        else:
            return
    assert last  # noqa: S101 (there is a first attempt)
    raise last
