"""A schedule that invokes a function, with retries and an end for what could not be invoked."""

import json
from collections.abc import Mapping

from aws_cdk import ArnFormat, Stack, aws_iam, aws_lambda, aws_scheduler
from constructs import Construct

from stacks.constructs.data_key import MESSAGES
from stacks.constructs.queues import DeadLetterQueue
from stacks.constructs.shop_stack import key_statements, settings_of

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"
"""EventBridge Scheduler, "Adding context attributes": replaced by the time that was scheduled, in RFC 3339."""
_RETRY_ATTEMPTS = 30
_MAX_AGE_SECONDS = 6 * 3600
"""Scheduler waits longer after each try; a function that cannot be invoked for so long needs a person."""


class FunctionSchedule(Construct):
    """Invokes the function by a cron or rate expression, in the shop's time zone, with `payload` as its event.

    Scheduler invokes asynchronously: an event that the function took and failed is the function's own to handle. What
    could not be invoked at all goes to `failures`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        function: aws_lambda.IFunction,
        description: str,
        expression: str,
        payload: Mapping[str, str],
        failures: DeadLetterQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal("scheduler.amazonaws.com", conditions=_our_schedules_only(self)),
            description=f"Lets the schedule {construct_id} invoke its function",
        )
        may_invoke = aws_iam.Policy(
            self,
            "MayInvoke",
            roles=[role],
            statements=[
                aws_iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.function_arn]),
                aws_iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[failures.queue_arn]),
                *key_statements(self, MESSAGES),
            ],
        )
        schedule = aws_scheduler.CfnSchedule(
            self,
            "Schedule",
            description=description,
            schedule_expression=expression,
            schedule_expression_timezone=settings_of(scope).time_zone,
            flexible_time_window=aws_scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=aws_scheduler.CfnSchedule.TargetProperty(
                arn=function.function_arn,
                role_arn=role.role_arn,
                input=json.dumps(dict(payload)),
                retry_policy=aws_scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_retry_attempts=_RETRY_ATTEMPTS, maximum_event_age_in_seconds=_MAX_AGE_SECONDS
                ),
                dead_letter_config=aws_scheduler.CfnSchedule.DeadLetterConfigProperty(arn=failures.queue_arn),
            ),
        )
        schedule.node.add_dependency(may_invoke)


def _our_schedules_only(scope: Construct) -> dict[str, dict[str, str]]:
    """EventBridge Scheduler, "Confused deputy prevention": by account and schedule group, not by one schedule."""
    stack = Stack.of(scope)
    group = stack.format_arn(
        service="scheduler",
        resource="schedule-group",
        resource_name="default",
        arn_format=ArnFormat.SLASH_RESOURCE_NAME,
    )
    return {"StringEquals": {"aws:SourceAccount": stack.account, "aws:SourceArn": group}}
