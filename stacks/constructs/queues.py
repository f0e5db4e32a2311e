"""Queues: a dead-letter queue with its alarm, and a queue with the function that works through it."""

from collections.abc import Sequence

from aws_cdk import Duration, Stack, aws_cloudwatch, aws_iam, aws_lambda, aws_sns, aws_sqs
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.constructs.data_key import MESSAGES
from stacks.constructs.function import PythonFunction
from stacks.constructs.shop_stack import acknowledge, data_key_of, let_use_data_key, removal_policy
from stacks.constructs.topics import Alarms

_DEAD_LETTER_RETENTION = Duration.days(14)
"""The longest that Amazon SQS offers, since a dead-lettered message keeps the age it had in its source queue."""
_SOURCE_RETENTION = Duration.days(7)
_MAX_RECEIVES = 3
_OLDEST_WAITS_SECONDS = 1_800
_TIMEOUTS_IN_VISIBILITY = 6
"""AWS Lambda, "Using Lambda with Amazon SQS": visibility of at least six function timeouts."""
_WHAT_A_MAPPING_DOES = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
"""With the worker's role (AWS Lambda, "Using Lambda with Amazon SQS": permissions)."""


class DeadLetterQueue(aws_sqs.Queue):
    """Where what failed for good waits for a person, and the alarm that calls one."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        alarms: Alarms,
        says: str,
        runbook_entry: str,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=_DEAD_LETTER_RETENTION,
            removal_policy=removal_policy(scope),
        )
        _use_data_key(self)
        depth = self.metric_approximate_number_of_messages_visible(
            period=Duration.minutes(1), statistic=aws_cloudwatch.Stats.MAXIMUM
        )
        for rule in ("AwsSolutions-SQS3", "Serverless-SQSRedrivePolicy"):
            acknowledge(self, rule, "This is where failures end: a person redrives from here.")
        self.name_in_stack = _name_in_stack(self)
        alarms.when_above(f"{self.name_in_stack}NotEmpty", depth, 0, says=says, entry=runbook_entry)


class WorkQueue(Construct):
    """A queue, its dead-letter queue with an alarm, and the function that works through it.

    Visibility timeout follows from the function's timeout. The function answers with the messages that failed
    (partial batch responses); each is tried three times and then ends in the dead-letter queue. A second alarm tells
    when messages wait and nobody works on them, because then no try is counted and they would expire in the queue.
    Two more tell of a function that keeps failing whole, or is throttled, which counts as a try.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        worker: PythonFunction,
        batch_size: int,
        max_concurrency: int,
        alarms: Alarms,
        dead_letters_say: str,
        dead_letters_entry: str,
        waiting_say: str,
        waiting_entry: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = DeadLetterQueue(
            self, "DeadLetters", alarms=alarms, says=dead_letters_say, runbook_entry=dead_letters_entry
        )
        visibility_seconds = _TIMEOUTS_IN_VISIBILITY * worker.timeout_seconds
        self.queue = aws_sqs.Queue(
            self,
            "Queue",
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=_SOURCE_RETENTION,
            visibility_timeout=Duration.seconds(visibility_seconds),
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=_MAX_RECEIVES),
            removal_policy=removal_policy(scope),
        )
        _use_data_key(self.queue)
        age = self.queue.metric_approximate_age_of_oldest_message(
            period=Duration.minutes(1), statistic=aws_cloudwatch.Stats.MAXIMUM
        )
        # A message that is tried and fails is gone after as many visibility timeouts as it has tries.
        longest = max(_OLDEST_WAITS_SECONDS, (_MAX_RECEIVES + 1) * visibility_seconds)
        alarms.when_above(f"{construct_id}Waiting", age, longest, says=waiting_say, entry=waiting_entry)
        alarms.when_not_working(worker)
        self._worker = worker
        worker.allow(*_WHAT_A_MAPPING_DOES, on=self.queue.queue_arn)
        let_use_data_key(worker.execution_role, MESSAGES)
        acknowledge(worker, "Serverless-LambdaDLQ", "Never invoked asynchronously; its queue has a dead-letter queue.")
        mapping = aws_lambda.EventSourceMapping(
            self,
            "Mapping",
            target=worker.live,
            event_source_arn=self.queue.queue_arn,
            batch_size=batch_size,
            max_batching_window=Duration.seconds(0),
            max_concurrency=max_concurrency,
            report_batch_item_failures=True,
        )
        acknowledge(
            mapping,
            "Serverless-LambdaEventSourceMappingDestination",
            "A mapping of a queue has no destination; the queue's redrive policy is where failures end.",
        )

    def subscribe_to(self, topic: aws_sns.Topic) -> aws_sns.Subscription:
        """Has the topic's messages put on the queue as they were published, and those that cannot be with its failures.

        The queues' policies let this topic send to them.
        """
        if key := data_key_of(self):
            key.allow_topic(topic.topic_arn)
        return topic.add_subscription(
            subscriptions.SqsSubscription(self.queue, raw_message_delivery=True, dead_letter_queue=self.dead_letters)
        )

    def restrict_to(self, *, senders: Sequence[aws_iam.IRole], operators: Sequence[str]) -> None:
        """Denies sending to all but the senders and the operators, and taking messages to all but worker and operators.

        `operators` are ARN patterns. The denial is on the principal's ARN, which for an assumed role is the role's.
        """
        self._deny_all_but("Sending", [role.role_arn for role in senders], operators, ["sqs:SendMessage"])
        self._deny_all_but(
            "Taking",
            [self._worker.execution_role.role_arn],
            operators,
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:PurgeQueue"],
        )

    def _deny_all_but(self, what: str, roles: Sequence[str], operators: Sequence[str], actions: Sequence[str]) -> None:
        self.queue.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid=f"{what}IsForTheListedOnly",
                effect=aws_iam.Effect.DENY,
                principals=[aws_iam.AnyPrincipal()],
                actions=list(actions),
                resources=[self.queue.queue_arn],
                conditions={"ArnNotLike": {"aws:PrincipalArn": [*roles, *operators]}},
            )
        )


def allow_sending(role: aws_iam.Role, queue: aws_sqs.Queue) -> None:
    """Lets the role send to the queue, of its own stack, which takes the use of the stack's data key too."""
    role.add_to_policy(aws_iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[queue.queue_arn]))
    let_use_data_key(role, MESSAGES)


def _use_data_key(queue: aws_sqs.Queue) -> None:
    """Has the queue encrypted by its stack's data key, where there is one, instead of SQS's own.

    On the resource itself: told of the key, the CDK would let each sender do all that KMS can encrypt with it.
    """
    key = data_key_of(queue)
    if not key:
        return
    resource = queue.node.default_child
    assert isinstance(resource, aws_sqs.CfnQueue)  # noqa: S101 - what CDK makes, for the type checker
    resource.sqs_managed_sse_enabled = None
    resource.kms_master_key_id = key.key_arn


def _name_in_stack(construct: Construct) -> str:
    """The construct's id with those of the constructs that it is in, so that no two of a stack have the same."""
    levels_above = len(Stack.of(construct).node.scopes)
    return "".join(scope.node.id for scope in construct.node.scopes[levels_above:])
