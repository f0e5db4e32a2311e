"""Where Lambda sends what failed for good: a queue, with no more rights than that takes.

AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations" and "Retaining discarded batches":
the execution role needs `sqs:SendMessage`. The CDK's own destinations let it read the queue's attributes too.
"""

from typing import Any

import jsii
from aws_cdk import aws_iam, aws_lambda, aws_sqs
from constructs import Construct


@jsii.implements(aws_lambda.IDestination)
class FailedInvocations:
    """A queue that gets the record of each asynchronous invocation that failed for good."""

    def __init__(self, queue: aws_sqs.IQueue) -> None:
        self._queue = queue

    def bind(
        self,
        scope: Construct,  # noqa: ARG002
        fn: aws_lambda.IFunction,
        *_: Any,  # the kind of destination, which jsii passes by position and the interface by name
        **__: Any,
    ) -> aws_lambda.DestinationConfig:
        """Called by the CDK for the function whose destination it is."""
        _let_send(fn, self._queue)
        return aws_lambda.DestinationConfig(destination=self._queue.queue_arn)


@jsii.implements(aws_lambda.IEventSourceDlq)
class DiscardedBatches:
    """A queue that gets the place in the stream of each batch that failed for good."""

    def __init__(self, queue: aws_sqs.IQueue) -> None:
        self._queue = queue

    def bind(
        self,
        target: aws_lambda.IEventSourceMapping,  # noqa: ARG002
        target_handler: aws_lambda.IFunction,
    ) -> aws_lambda.DlqDestinationConfig:
        """Called by the CDK for the mapping whose destination it is."""
        _let_send(target_handler, self._queue)
        return aws_lambda.DlqDestinationConfig(destination=self._queue.queue_arn)


def _let_send(function: aws_lambda.IFunction, queue: aws_sqs.IQueue) -> None:
    function.add_to_role_policy(aws_iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[queue.queue_arn]))
