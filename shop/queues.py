"""Queues of a stack, found where they are declared, so that a new one is seen without being named here."""

from typing import TYPE_CHECKING, Any

import msgspec

from shop.deployed import physical_ids
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


def stack_queues(target: Target, stack: str) -> list[str]:
    """Return the URLs of the SQS queues that a stack has."""
    return physical_ids(target.client("cloudformation"), stack, "AWS::SQS::Queue")


def queue_name(url: str) -> str:
    """Return a queue's name, the last part of its URL."""
    return url.rsplit("/", 1)[-1]


def redrive(sqs: "SQSClient", url: str) -> tuple[int, float]:
    """Return how often a queue's message may be received, and for how many seconds each receive hides it."""
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout", "RedrivePolicy"])[
        "Attributes"
    ]
    policy = msgspec.json.decode(attributes["RedrivePolicy"], type=dict[str, Any])
    return int(policy["maxReceiveCount"]), float(attributes["VisibilityTimeout"])
