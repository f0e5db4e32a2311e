"""Queues of a stack, found where they are declared, so that a new one is seen without being named here."""

from shop.deployed import physical_ids
from shop.target import Target


def stack_queues(target: Target, stack: str) -> list[str]:
    """Return the URLs of the SQS queues that a stack has."""
    return physical_ids(target.client("cloudformation"), stack, "AWS::SQS::Queue")


def queue_name(url: str) -> str:
    """Return a queue's name, the last part of its URL."""
    return url.rsplit("/", 1)[-1]
