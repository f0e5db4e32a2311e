"""The plain lab's order pipeline as one stack: REST API → SQS → Lambda → DynamoDB → stream → Lambda → SNS.

For `bench.end_to_end` only. The design is the labs': the body goes to the queue as it came, no key, no model, functions
of 128 MB with the plain handlers of `bench/baselines`. The outputs have the names that ours have, so that the audit
reads both. Beside it stands the null stack: the same API before a queue that nobody reads.
"""

from pathlib import Path
from typing import Final

from aws_cdk import (
    CfnOutput,
    Duration,
    RemovalPolicy,
    Stack,
    aws_apigateway,
    aws_dynamodb,
    aws_iam,
    aws_lambda,
    aws_lambda_event_sources,
    aws_sns,
    aws_sqs,
)
from constructs import Construct

_BASELINES: Final = Path(__file__).resolve().parents[1] / "baselines"
_TIMEOUT: Final = Duration.seconds(30)
"""Of the functions, and the visibility timeout; long enough that no batch times out on a busy machine."""
_RECEIVES: Final = 3


class LabStack(Stack):
    """The plain lab's pipeline, and an API before a queue alone."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name, description="Benchmark: the plain lab's order pipeline")
        table = aws_dynamodb.Table(
            self,
            "Orders",
            partition_key=aws_dynamodb.Attribute(name="orderID", type=aws_dynamodb.AttributeType.STRING),
            billing_mode=aws_dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=aws_dynamodb.StreamViewType.NEW_IMAGE,
            removal_policy=RemovalPolicy.DESTROY,
        )
        topic = aws_sns.Topic(self, "Topic")
        dead_letters = aws_sqs.Queue(self, "DeadLetters")
        queue = aws_sqs.Queue(
            self,
            "Queue",
            visibility_timeout=_TIMEOUT,
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=_RECEIVES),
        )
        self._processor(queue, table)
        self._notifier(table, topic)
        null_queue = aws_sqs.Queue(self, "NullQueue")
        outputs = {
            "OrdersEndpoint": self._api("Api", queue),
            "OrdersQueueUrl": queue.queue_url,
            "OrdersDeadLetterQueueUrl": dead_letters.queue_url,
            "OrdersTableName": table.table_name,
            "OrderTopicArn": topic.topic_arn,
            "NullEndpoint": self._api("NullApi", null_queue),
            "NullQueueUrl": null_queue.queue_url,
        }
        for key, value in outputs.items():
            CfnOutput(self, key, value=value)

    def _processor(self, queue: aws_sqs.Queue, table: aws_dynamodb.Table) -> None:
        processor = self._function("order_processor", {"DYNAMODB_ORDERS_TABLE": table.table_name})
        table.grant_write_data(processor)
        processor.add_event_source(aws_lambda_event_sources.SqsEventSource(queue))

    def _notifier(self, table: aws_dynamodb.Table, topic: aws_sns.Topic) -> None:
        notifier = self._function("order_notifier", {"ORDER_TOPIC_ARN": topic.topic_arn})
        topic.grant_publish(notifier)
        # From the trim horizon: with LATEST, what is written before the mapping's first poll would never be announced.
        notifier.add_event_source(
            aws_lambda_event_sources.DynamoEventSource(
                table, starting_position=aws_lambda.StartingPosition.TRIM_HORIZON
            )
        )

    def _function(self, folder: str, environment: dict[str, str]) -> aws_lambda.Function:
        return aws_lambda.Function(
            self,
            folder,
            runtime=aws_lambda.Runtime.PYTHON_3_13,
            handler="handler.handler",
            code=aws_lambda.Code.from_asset(str(_BASELINES / folder), exclude=["__pycache__"]),
            timeout=_TIMEOUT,
            environment=environment,
        )

    def _api(self, name: str, queue: aws_sqs.Queue) -> str:
        """An API whose POST /orders sends the body to the queue; returns that URL."""
        role = aws_iam.Role(self, f"{name}Role", assumed_by=aws_iam.ServicePrincipal("apigateway.amazonaws.com"))
        queue.grant_send_messages(role)
        api = aws_apigateway.RestApi(self, name, cloud_watch_role=False)
        integration = aws_apigateway.AwsIntegration(
            service="sqs",
            path=f"{self.account}/{queue.queue_name}",
            integration_http_method="POST",
            options=aws_apigateway.IntegrationOptions(
                credentials_role=role,
                request_parameters={"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"},
                request_templates={"application/json": "Action=SendMessage&MessageBody=$input.body"},
                integration_responses=[aws_apigateway.IntegrationResponse(status_code="200")],
            ),
        )
        api.root.add_resource("orders").add_method(
            "POST", integration, method_responses=[aws_apigateway.MethodResponse(status_code="200")]
        )
        return api.url_for_path("/orders")
