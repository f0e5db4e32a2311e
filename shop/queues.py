"""Queues of a stack, found where they are declared, so that a new one is seen without being named here."""

from shop.target import Target


def stack_queues(target: Target, stack: str) -> list[str]:
    """Return the URLs of the SQS queues that a stack has."""
    pages = target.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    # A resource whose creation failed has no physical id.
    urls = (found.get("PhysicalResourceId") for found in resources if found["ResourceType"] == "AWS::SQS::Queue")
    return [url for url in urls if url]


def queue_name(url: str) -> str:
    """Return a queue's name, the last part of its URL."""
    return url.rsplit("/", 1)[-1]
