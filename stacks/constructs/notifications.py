"""A bucket's notifications of new objects to a topic, set by a function of our own when the stack is deployed."""

from collections.abc import Sequence

from constructs import Construct

from stacks.constructs.bucket import SecureBucket
from stacks.constructs.custom_resource import answered_by
from stacks.constructs.function import PythonFunction
from stacks.constructs.topics import SecureTopic

_MEMORY_MB = 256
_TIMEOUT_SECONDS = 60
_CLOUDFORMATION_WAITS_SECONDS = 240
"""For a try of the function and what Lambda's two further ones, after one and two minutes, can still make good."""


class BucketNotifications(Construct):
    """Tells the topic of every object that is created in the bucket under the prefix with one of the suffixes.

    As a resource beside the bucket: a bucket that had them as a property would need the topic's policy, which needs
    the bucket. The topic's policy lets this bucket, of this account, publish; the topic's key must let `SERVICE`.
    """

    SERVICE = "s3.amazonaws.com"

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: SecureBucket,
        topic: SecureTopic,
        prefix: str,
        suffixes: Sequence[str],
    ) -> None:
        super().__init__(scope, construct_id)
        topic.allow_publishing_by_service(self.SERVICE, source_arn=bucket.bucket_arn)
        function = PythonFunction(
            self,
            "Function",
            folder="bucket_notifications",
            description="Has a bucket tell a topic of new objects when CloudFormation deploys",
            memory_mb=_MEMORY_MB,
            timeout_seconds=_TIMEOUT_SECONDS,
            environment={},
        )
        function.allow("s3:PutBucketNotification", on=bucket.bucket_arn)
        resource = answered_by(
            function,
            self,
            "Resource",
            resource_type="Custom::BucketNotifications",
            waits_seconds=_CLOUDFORMATION_WAITS_SECONDS,
            properties={
                "BucketName": bucket.bucket_name,
                "TopicArn": topic.topic_arn,
                "Prefix": prefix,
                "Suffixes": list(suffixes),
            },
        )
        # S3 tries the topic when it is told of it. The bucket's policy comes first, because S3 refuses to change
        # two things of a bucket at once.
        resource.node.add_dependency(function, topic, bucket)
