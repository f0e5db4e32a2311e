"""The customer-managed key of a stack's tables, queues and log groups, and who may use it for what.

Each grant names the page that asks for it. The emulator checks none of them, so template rules do. Why buckets and
the database are not among what the key is for: decision 0019.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aws_cdk import ArnFormat, Duration, RemovalPolicy, Stack, aws_iam, aws_kms
from constructs import Construct


class KeyUse(NamedTuple):
    """What a role does with the key, always through one AWS service (`kms:ViaService`), never by itself."""

    service: str
    actions: tuple[str, ...]


MESSAGES = KeyUse("sqs", ("kms:Decrypt", "kms:GenerateDataKey"))
"""Of a producer, and so of a function for its failure destination and of a schedule for its dead-letter queue (Amazon
SQS, "Key management"; AWS Lambda, "Capturing records of Lambda asynchronous invocations"). Of a consumer the same, who
by the page needs `Decrypt` only: SQS moves a message to its dead-letter queue while a consumer receives, no page says
by whose right, and without it what fails could come back for ever."""
READING = KeyUse("dynamodb", ("kms:Decrypt", "kms:DescribeKey"))
"""Amazon DynamoDB, "DynamoDB encryption at rest usage notes"; of a table and of its stream."""
READING_AND_WRITING = KeyUse(
    "dynamodb", (*READING.actions, "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")
)
"""The same, with what DynamoDB may do for a writer when it renews the keys that it keeps for a table."""
_LOGS_MAY = ("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")
_DELETION_WAITS = Duration.days(7)


class DataKey(aws_kms.Key):
    """A stack's key for data, rotated each year, which CloudWatch Logs may use for this account's log groups.

    Roles use it by their own policies (`statements`). `operators` (patterns of ARNs) may read and write tables, read
    queues and send to them by the key's policy, so that who keeps the shop running needs no further one: a restored
    order is written by an operator.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, operators: Sequence[str], removal_policy: RemovalPolicy
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Tables, queues and logs of {Stack.of(scope).stack_name}",
            enable_key_rotation=True,
            removal_policy=removal_policy,
            pending_window=_DELETION_WAITS,
        )
        self._let_logs_in()
        if operators:
            for use in (MESSAGES, READING_AND_WRITING):
                self._let_operators_in(operators, use)

    def statements(self, use: KeyUse) -> list[aws_iam.PolicyStatement]:
        """What a role's policy says so that it may use the key for this."""
        via = {"StringEquals": {"kms:ViaService": self._endpoint(use.service)}}
        return [aws_iam.PolicyStatement(actions=list(use.actions), resources=[self.key_arn], conditions=via)]

    def allow_topic(self, topic_arn: str) -> None:
        """Lets Amazon SNS put this topic's messages on the stack's queues.

        Source: Amazon SNS, "Subscribing an encrypted Amazon SQS queue to an Amazon SNS topic".
        """
        self.add_to_resource_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.ServicePrincipal("sns.amazonaws.com")],
                actions=list(MESSAGES.actions),
                resources=["*"],
                conditions={
                    "ArnEquals": {"aws:SourceArn": topic_arn},
                    "StringEquals": {"aws:SourceAccount": Stack.of(self).account},
                },
            )
        )

    def _let_logs_in(self) -> None:
        """By encryption context, which is the log group's ARN; a group's own ARN would be circular here.

        Source: Amazon CloudWatch Logs, "Encrypt log data in CloudWatch Logs using AWS Key Management Service".
        """
        groups = Stack.of(self).format_arn(
            service="logs", resource="log-group", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
        )
        self.add_to_resource_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.ServicePrincipal(self._endpoint("logs"))],
                actions=list(_LOGS_MAY),
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
            )
        )

    def _let_operators_in(self, operators: Sequence[str], use: KeyUse) -> None:
        self.add_to_resource_policy(
            aws_iam.PolicyStatement(
                principals=[aws_iam.AnyPrincipal()],
                actions=list(use.actions),
                resources=["*"],
                conditions={
                    "ArnLike": {"aws:PrincipalArn": list(operators)},
                    "StringEquals": {
                        "kms:CallerAccount": Stack.of(self).account,
                        "kms:ViaService": self._endpoint(use.service),
                    },
                },
            )
        )

    def _endpoint(self, service: str) -> str:
        return f"{service}.{Stack.of(self).region}.amazonaws.com"
