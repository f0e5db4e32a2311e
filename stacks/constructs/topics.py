"""Topics, encrypted by a customer-managed key of their stack, and the topic that alarms speak through."""

from collections.abc import Sequence

from aws_cdk import Duration, Stack, aws_cloudwatch, aws_cloudwatch_actions, aws_iam, aws_kms, aws_sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.constructs.function import PythonFunction
from stacks.constructs.shop_stack import acknowledge, removal_policy, settings_of

_USE_OF_KEY = ("kms:Decrypt", "kms:GenerateDataKey")
"""What a publisher needs (Amazon SNS, "Key management": permissions for encrypted topics)."""


_FIVE_MINUTES = Duration.minutes(5)
_KEEPS_ON = 3
"""Periods of five minutes: by then a service's short fault is over, and a batch has been tried three times."""


class TopicKey(aws_kms.Key):
    """The key of a stack's topics: AWS services that publish may use it on behalf of this account only."""

    def __init__(self, scope: Construct, construct_id: str, *, services: Sequence[str]) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"Topics of {Stack.of(scope).stack_name}",
            enable_key_rotation=True,
            removal_policy=removal_policy(scope),
            pending_window=Duration.days(7),
        )
        for service in services:
            self.add_to_resource_policy(
                aws_iam.PolicyStatement(
                    principals=[_of_this_account(scope, service)], actions=list(_USE_OF_KEY), resources=["*"]
                )
            )


class SecureTopic(aws_sns.Topic):
    """A topic that is encrypted and takes no message over an unencrypted connection."""

    def __init__(
        self, scope: Construct, construct_id: str, *, key: TopicKey, display_name: str, emails: Sequence[str] = ()
    ) -> None:
        super().__init__(scope, construct_id, display_name=display_name, master_key=key, enforce_ssl=True)
        self.apply_removal_policy(removal_policy(scope))
        self._key = key
        for email in emails:
            self.add_person(subscriptions.EmailSubscription(email))

    def add_person(self, subscription: aws_sns.ITopicSubscription) -> None:
        """Subscribes a person's mailbox or telephone."""
        added = self.add_subscription(subscription)
        acknowledge(
            added, "Serverless-SNSRedrivePolicy", "What a mailbox or telephone refuses is not worth sending again."
        )

    def allow_publishing_by(self, function: PythonFunction) -> None:
        """Lets the function publish here, which takes the use of the key too."""
        function.allow("sns:Publish", on=self.topic_arn)
        function.allow(*_USE_OF_KEY, on=self._key.key_arn)

    def allow_publishing_by_service(self, service: str, *, source_arn: str | None = None) -> None:
        """Lets an AWS service publish here on behalf of this account, or only of its one resource `source_arn`.

        The key must let the service too.
        """
        self.add_to_resource_policy(
            aws_iam.PolicyStatement(
                principals=[_of_this_account(self, service)],
                actions=["sns:Publish"],
                resources=[self.topic_arn],
                conditions={"ArnEquals": {"aws:SourceArn": source_arn}} if source_arn else None,
            )
        )


class Alarms(Construct):
    """The stack's alarms and the topic that each of them tells, with the stage's `alarm_email` subscribed to it.

    Each is named `<stack>-<construct id>`, so that a mail's subject says where it comes from; `names` has them all.
    Each but those of `when_silent` takes a period without data for a good one: what nobody used, failed nobody, and
    what should have been used has an alarm on what waits for it, or on its silence.
    """

    SERVICE = "cloudwatch.amazonaws.com"

    def __init__(self, scope: Construct, construct_id: str, *, key: TopicKey) -> None:
        super().__init__(scope, construct_id)
        self.names: list[str] = []
        email = settings_of(scope).alarm_email
        self.topic = SecureTopic(self, "Topic", key=key, display_name="Shop alarms", emails=[email] if email else [])
        self.topic.allow_publishing_by_service(self.SERVICE)

    def when_above(
        self,
        construct_id: str,
        metric: aws_cloudwatch.Metric,
        threshold: float,
        *,
        says: str,
        entry: str,
        periods: int = 1,
    ) -> aws_cloudwatch.Alarm:
        """Alarms once the metric has been above the threshold for so many of its periods in a row, until it is not.

        `entry` is the heading's anchor in the runbook.
        """
        comparison = aws_cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
        return self._add(construct_id, metric, threshold, comparison, says=says, entry=entry, periods=periods)

    def when_below(
        self,
        construct_id: str,
        metric: aws_cloudwatch.Metric,
        threshold: float,
        *,
        says: str,
        entry: str,
        periods: int = 1,
    ) -> aws_cloudwatch.Alarm:
        """Like `when_above`, for a metric that is below the threshold."""
        comparison = aws_cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
        return self._add(construct_id, metric, threshold, comparison, says=says, entry=entry, periods=periods)

    def when_silent(
        self, construct_id: str, metric: aws_cloudwatch.Metric, *, says: str, entry: str, periods: int
    ) -> aws_cloudwatch.Alarm:
        """Alarms once a count that is never zero by right is, or is missing, for so many of its periods in a row.

        Until the first count is there, which is so for some minutes after a stack was made, the alarm is on.
        """
        comparison = aws_cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
        missing = aws_cloudwatch.TreatMissingData.BREACHING
        return self._add(construct_id, metric, 1, comparison, says=says, entry=entry, periods=periods, missing=missing)

    def when_not_working(self, function: PythonFunction) -> None:
        """Alarms when a function that an event source calls keeps failing as a whole, or is kept from running.

        Of a source that tries again: one failed run is over with the next. What fails for good has its own alarm where
        it ends; these tell of a function that dies again and again while other tries get through.
        """
        name = function.node.id
        self.when_above(
            f"{name}Fails",
            function.metric_errors(period=_FIVE_MINUTES, statistic=aws_cloudwatch.Stats.SUM),
            0,
            periods=_KEEPS_ON,
            says=f"{name} has failed in each five minutes of the last fifteen.",
            entry="a-function-keeps-failing",
        )
        self.when_above(
            f"{name}Throttled",
            function.metric_throttles(period=_FIVE_MINUTES, statistic=aws_cloudwatch.Stats.SUM),
            0,
            periods=_KEEPS_ON,
            says=f"Lambda has refused to run {name} in each five minutes of the last fifteen.",
            entry="a-function-is-throttled",
        )

    def _add(
        self,
        construct_id: str,
        metric: aws_cloudwatch.Metric,
        threshold: float,
        comparison: aws_cloudwatch.ComparisonOperator,
        *,
        says: str,
        entry: str,
        periods: int,
        missing: aws_cloudwatch.TreatMissingData = aws_cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> aws_cloudwatch.Alarm:
        name = f"{Stack.of(self).stack_name}-{construct_id}"
        self.names.append(name)
        alarm = aws_cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=name,
            alarm_description=f"{says} Runbook: docs/runbook.md#{entry}",
            metric=metric,
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=periods,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(aws_cloudwatch_actions.SnsAction(self.topic))
        return alarm


def _of_this_account(scope: Construct, service: str) -> aws_iam.PrincipalBase:
    """The service, acting for this account and no other (IAM, "The confused deputy problem")."""
    return aws_iam.ServicePrincipal(
        service, conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}}
    )
