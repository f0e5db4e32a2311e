"""A stage's image stack in moto: bucket, queues, and the functions' configuration, as a target of the command line."""

import json
import time
from typing import Any

import boto3

from shop.target import IMAGE_FANOUT, Target

REGION = "eu-central-1"
BUCKET = "the-images"
SIZES = {"thumbnail": (128, 96, "jpeg"), "retina-large": (2_048, 2_048, "webp")}
MAX_FILE_BYTES = 5_000
MAX_PIXELS = 1_000_000
VISIBILITY_SECONDS = 7
RECEIVES = 3


class ImageTarget(Target):
    """A target whose AWS Lambda has the environments of `SIZES` and nothing else; moto would need Docker for more."""

    def client(self, service: str, config: Any = None) -> Any:
        return _Functions() if service == "lambda" else super().client(service, config)


class _Functions:
    def get_function_configuration(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        if FunctionName not in SIZES:
            return {"FunctionName": FunctionName, "LoggingConfig": {"LogGroup": FunctionName}}
        width, height, image_format = SIZES[FunctionName]
        variables = {
            "SOURCE_PREFIX": "ingest/",
            "TARGET_PREFIX": f"{FunctionName}/",
            "IMAGE_WIDTH": str(width),
            "IMAGE_HEIGHT": str(height),
            "IMAGE_FORMAT": image_format,
            "MAX_FILE_BYTES": str(MAX_FILE_BYTES),
            "MAX_PIXELS": str(MAX_PIXELS),
        }
        return {
            "FunctionName": FunctionName,
            "LoggingConfig": {"LogGroup": FunctionName},
            "Environment": {"Variables": variables},
        }


def deploy() -> Target:
    """Make the stack of stage `dev` in moto, which must be on; the larger size comes first in its outputs."""
    session = boto3.Session("key", "secret", region_name=REGION)
    s3, sqs = session.client("s3"), session.client("sqs")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    topic = session.client("sns").create_topic(Name="new-images")["TopicArn"]
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "TopicConfigurations": [
                _announced(topic, "ingest/", ".jpg"),
                _announced(topic, "ingest/", ".png"),
                _announced(topic, "elsewhere/", ".gif"),
            ]
        },
    )
    outputs = {"ImagesBucketName": BUCKET, "SomeOtherFunctionName": "another"}
    for name, pascal in (("retina-large", "RetinaLarge"), ("thumbnail", "Thumbnail")):
        dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES})
        attributes: Any = {"VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": redrive}
        outputs[f"{pascal}QueueUrl"] = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        outputs[f"{pascal}DeadLetterQueueUrl"] = dead
        outputs[f"Create{pascal}FunctionName"] = name
        session.client("logs").create_log_group(logGroupName=name)
        session.client("logs").create_log_stream(logGroupName=name, logStreamName="the-only")
    return ImageTarget("dev", outputs, session, None, IMAGE_FANOUT)


def log(where: Target, function: str, **line: str) -> None:
    """Write a line into a function's log, now."""
    event: Any = {"timestamp": int(time.time() * 1000), "message": json.dumps(line)}
    where.client("logs").put_log_events(logGroupName=function, logStreamName="the-only", logEvents=[event])


def _announced(topic: str, prefix: str, suffix: str) -> Any:
    rules = [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]
    return {"TopicArn": topic, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}
