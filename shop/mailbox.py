"""What e-mail subscribers got: the local cloud keeps a copy, in an AWS account only the subscribers have it."""

import hashlib
from typing import TYPE_CHECKING

from shop.errors import ShopError
from shop.local import mailbox as local_mailbox
from shop.local.mailbox import Mail
from shop.names import construct_name
from shop.output import encode_line, moment, printable, shorten
from shop.target import Target

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sns.type_defs import SubscriptionTypeDef

LONGEST_LINE = 500
MOST_LINES = 60
"""Of a message that is shown to a person; an order's announcement has nine."""
UNCONFIRMED = ("PendingConfirmation", "Deleted")
"""What SNS shows in the place of the ARN of a subscription that is not confirmed."""


def read(target: Target) -> list[Mail]:
    """Return what was announced, oldest first; raise ShopError, naming the subscribers, for a stage on AWS."""
    if target.cloud is not None:
        return local_mailbox.read(target.cloud)
    topic = target.output("OrderTopicArn")
    raise ShopError(f"SNS keeps no copy of what {topic} sent; {describe(subscriptions(target.client('sns'), topic))}")


def count(target: Target) -> int:
    """Return how many messages the local cloud's mailbox holds, which is cheap to ask where `read` is not."""
    return local_mailbox.count(target.client("sqs"))


def topic_name(mail: Mail) -> str:
    """Return the short name of the topic that a mail came by."""
    return construct_name(mail.topic.rsplit(":", 1)[-1])


def order_id(mail: Mail) -> str | None:
    """Return the id of the order that a mail announces; None for any other mail."""
    is_announcement = mail.attributes.get("event") == "order.created"
    return mail.attributes.get("deduplication_id") if is_announcement else None


def identity(mail: Mail) -> str:
    """Return a name for a mail that is the same at every reading: mails of equal content and moment share it."""
    parts = (mail.topic, mail.received_at, mail.subject, mail.message, mail.attributes)
    return f"mail-{hashlib.sha256(encode_line(parts)).hexdigest()[:16]}"


def lines(mail: Mail) -> list[str]:
    """Return a mail as lines for a person: when it came, the topic's short name and the subject; then the message."""
    topic = topic_name(mail)
    message = [f"    {shorten(line, LONGEST_LINE)}" for line in mail.message.splitlines()]
    left_out = ["    … (--json has the whole message)"] if len(message) > MOST_LINES else []
    heading = "  ".join(filter(None, (moment(mail.received_at), topic, mail.subject)))
    return [printable(heading), *message[:MOST_LINES], *left_out]


def subscriptions(sns: "SNSClient", topic: str) -> list["SubscriptionTypeDef"]:
    """Return all subscriptions of a topic."""
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    return [subscription for page in pages for subscription in page.get("Subscriptions", [])]


def describe(found: list["SubscriptionTypeDef"]) -> str:
    """Return one line on who gets the announcements, and who has not confirmed the subscription yet."""
    if not found:
        return "nobody is subscribed (order_emails is a setting of the stage)"
    confirmed = [_who(one) for one in found if one["SubscriptionArn"] not in UNCONFIRMED]
    waiting = [_who(one) for one in found if one["SubscriptionArn"] in UNCONFIRMED]
    parts = [
        f"subscribed: {', '.join(confirmed) or 'nobody'}",
        *([f"not confirmed yet: {', '.join(waiting)}"] if waiting else []),
    ]
    return "; ".join(parts)


def _who(subscription: "SubscriptionTypeDef") -> str:
    return printable(f"{subscription.get('Protocol', '?')} {subscription.get('Endpoint', '?')}")
