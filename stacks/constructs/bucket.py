"""A bucket that is private, encrypted and versioned, and takes no request over an unencrypted connection."""

from collections.abc import Mapping
from types import MappingProxyType

from aws_cdk import Duration, aws_s3
from constructs import Construct

from stacks.constructs.shop_stack import acknowledge, removal_policy

_UNFINISHED_UPLOADS = Duration.days(7)


class SecureBucket(aws_s3.Bucket):
    """A private bucket. What is overwritten or deleted stays for `old_versions_days` more days.

    `expire_days` says for key prefixes after how many days what is under them is deleted (and then an old version);
    all else stays. Where the stage keeps its data, the bucket outlives its stack.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        old_versions_days: int,
        expire_days: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            encryption=aws_s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    noncurrent_version_expiration=Duration.days(old_versions_days),
                    abort_incomplete_multipart_upload_after=_UNFINISHED_UPLOADS,
                ),
                *(
                    aws_s3.LifecycleRule(prefix=prefix, expiration=Duration.days(days))
                    for prefix, days in expire_days.items()
                ),
            ],
            removal_policy=removal_policy(scope),
        )
        acknowledge(
            self,
            "AwsSolutions-S1",
            "Few read it, all with roles; where the account keeps CloudTrail's data events, they tell who.",
        )
