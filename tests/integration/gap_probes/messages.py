"""Probes of SQS, SNS, KMS and the permissions on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.integration.gap_probes.emulators import allow, refusal, unique
from tests.integration.gap_probes.registry import probe

if TYPE_CHECKING:
    from tests.integration.gap_probes.emulators import Emulator


@probe("move-task", aws="", emulator="InvalidAction")
def _how_a_message_move_task_is_refused(emulator: Emulator) -> str:
    _, dead = emulator.queue()
    emulator.queue(RedrivePolicy=json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": 3}))
    return refusal(lambda: emulator.client("sqs").start_message_move_task(SourceArn=dead))


@probe("batch-rights", aws="", emulator="AccessDenied")
def _how_a_sender_of_messages_is_refused_a_batch(emulator: Emulator) -> str:
    url, _ = emulator.queue()
    sender = emulator.client("sqs", emulator.user(allow("sqs:SendMessage")))
    return refusal(lambda: sender.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x"}]))


@probe("role-sessions", aws="", emulator="AccessDenied")
def _how_a_role_that_a_denial_excepts_is_refused(emulator: Emulator) -> str:
    url, arn = emulator.queue()
    role = emulator.role(allow("sqs:SendMessage"))
    denial = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": role}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [denial]})
    emulator.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    assumer = emulator.client("sts", emulator.user(allow("sts:AssumeRole")))
    key = assumer.assume_role(RoleArn=role, RoleSessionName="probe")["Credentials"]
    sender = emulator.client("sqs", (key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"]))
    return refusal(lambda: sender.send_message(QueueUrl=url, MessageBody="x"))


@probe("key-rights", aws="KMSAccessDenied", emulator="")
def _how_a_publisher_without_rights_to_the_topics_key_is_refused(emulator: Emulator) -> str:
    topic = emulator.client("sns").create_topic(
        Name=unique("topic"), Attributes={"KmsMasterKeyId": _closed_key(emulator)}
    )
    publisher = emulator.client("sns", emulator.user(allow("sns:Publish")))
    return refusal(lambda: publisher.publish(TopicArn=topic["TopicArn"], Message="x"))


def _closed_key(emulator: Emulator) -> str:
    """A key that only the account's root may use."""
    root = {"AWS": f"arn:aws:iam::{emulator.cloud.account_id}:root"}
    policy = {"Version": "2012-10-17", "Statement": [{**allow("kms:*"), "Principal": root}]}
    return str(emulator.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["KeyId"])


@probe("e-mail", aws="pending confirmation", emulator="confirmed")
def _what_becomes_of_an_e_mail_subscription(emulator: Emulator) -> str:
    topic = emulator.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    made = emulator.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="somebody@example.com")
    return "confirmed" if made["SubscriptionArn"].startswith("arn:") else str(made["SubscriptionArn"])


@probe("service-metrics", aws=True, emulator=False)
def _whether_a_queue_has_metrics(emulator: Emulator) -> bool:
    url, _ = emulator.queue()
    emulator.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    metrics: list[Any] = emulator.client("cloudwatch").list_metrics(Namespace="AWS/SQS")["Metrics"]
    return bool(metrics)
