"""What the topics' e-mail subscribers would get, kept where a person and a test can read it.

A queue of the local cloud's own is subscribed to every topic of the stacks. It is read through the emulator's
inspection address and never received from, so that reading changes nothing. The emulator forgets everything when it
stops; mail is kept beside it and put back at the next start, until the cloud is reset.
"""

from __future__ import annotations

import json
import ssl
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shop.errors import ShopError
from shop.local.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mypy_boto3_sqs.client import SQSClient

    from shop.local.cloud import Cloud

_QUEUE_NAME = "serverless-shop-mailbox"
# The longest that Amazon SQS offers (SetQueueAttributes, MessageRetentionPeriod).
_RETENTION_SECONDS = 14 * 24 * 60 * 60
_TIMEOUT_SECONDS = 30


class MailboxError(ShopError):
    """The mailbox cannot be read."""


@dataclass(frozen=True)
class Mail:
    """One announcement: the topic's ARN, and what its subscribers get. `received_at` is an RFC 3339 date-time."""

    topic: str
    subject: str
    message: str
    attributes: dict[str, str]
    received_at: str


def subscribe(cloud: Cloud) -> None:
    """Subscribe the mailbox to every topic there is. To be called after each deployment; repeating is harmless."""
    from shop.local.clients import client  # noqa: PLC0415 - reading needs no boto3, which takes a third of a second

    sns, sqs = client(cloud, "sns"), client(cloud, "sqs")
    topics = sorted(
        topic["TopicArn"] for page in sns.get_paginator("list_topics").paginate() for topic in page["Topics"]
    )
    url = sqs.create_queue(QueueName=_QUEUE_NAME)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.set_queue_attributes(
        QueueUrl=url,
        Attributes={"MessageRetentionPeriod": str(_RETENTION_SECONDS), "Policy": json.dumps(_policy(arn, topics))},
    )
    # Not by the answer of Subscribe alone: a second subscription of the same queue would double every message.
    pages = sns.get_paginator("list_subscriptions").paginate()
    subscribed = {item["TopicArn"] for page in pages for item in page["Subscriptions"] if item["Endpoint"] == arn}
    for topic in topics:
        if topic not in subscribed:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)


def save(cloud: Cloud, file: Path) -> None:
    """Keep the mail in a file for `restore`. Raises MailboxError where the cloud does not answer."""
    write_json(file, [*_saved(file), *(message["Body"] for message in _messages(cloud))])


def restore(cloud: Cloud, file: Path) -> None:
    """Put back the mail that `save` kept. What a restart cut short left behind is put back once all the same."""
    from shop.local.clients import client  # noqa: PLC0415 - reading needs no boto3, which takes a third of a second

    sqs = client(cloud, "sqs")
    for body in _saved(file):
        sqs.send_message(QueueUrl=_queue_url(cloud), MessageBody=body)
    file.unlink(missing_ok=True)


def read(cloud: Cloud) -> list[Mail]:
    """All announcements since the cloud was reset, oldest first. Raises MailboxError where it does not answer."""
    return parse(_messages(cloud))


def count(sqs: SQSClient) -> int:
    """How many messages the mailbox holds; a mail that was delivered twice counts twice."""
    url = sqs.get_queue_url(QueueName=_QUEUE_NAME)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    return int(found["ApproximateNumberOfMessages"])


def _saved(file: Path) -> list[str]:
    try:
        bodies: list[str] = json.loads(file.read_text())
    except FileNotFoundError:
        return []
    return bodies


def _queue_url(cloud: Cloud) -> str:
    return f"{cloud.endpoint_url}/{cloud.account_id}/{_QUEUE_NAME}"


def _messages(cloud: Cloud) -> list[dict[str, Any]]:
    """What is in the queue, looked at without receiving."""
    context = ssl.create_default_context(cafile=cloud.ca_bundle)
    query = urllib.parse.urlencode({"QueueUrl": _queue_url(cloud), "account": cloud.account_id, "region": cloud.region})
    # Without proxies: the environment's have no business on the loopback address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(f"{cloud.endpoint_url}/_ministack/sqs/messages?{query}", timeout=_TIMEOUT_SECONDS) as answer:
            regions = json.load(answer)["messages"].get(cloud.account_id, {})
    except OSError as error:
        raise MailboxError(f"the mailbox at {cloud.endpoint_url} cannot be read: {error}") from error
    return [message for queues in regions.values() for queue in queues.values() for message in queue]


def parse(messages: Iterable[Mapping[str, Any]]) -> list[Mail]:
    """The announcements in the queue's messages, each once, oldest first; of the same moment, in the queue's order."""
    notifications = [json.loads(message["Body"]) for message in messages]
    distinct = {notification["MessageId"]: notification for notification in notifications}
    return sorted(map(_mail, distinct.values()), key=lambda mail: mail.received_at)


def _mail(notification: Mapping[str, Any]) -> Mail:
    """The fields of an SNS notification (Amazon SNS, "Parsing message formats")."""
    attributes = notification.get("MessageAttributes") or {}
    return Mail(
        topic=str(notification["TopicArn"]),
        subject=str(notification.get("Subject") or ""),
        message=str(notification["Message"]),
        attributes={name: str(value["Value"]) for name, value in attributes.items()},
        received_at=str(notification["Timestamp"]),
    )


def _policy(queue_arn: str, topic_arns: list[str]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TheStacksTopicsOnly",
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic_arns}},
            }
        ],
    }
