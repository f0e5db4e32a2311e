"""The order pipeline: POST /orders → queue → processor → table → stream → notifier → topic."""

from aws_cdk import Stack, aws_apigateway, aws_dynamodb, aws_iam, aws_sqs
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from stacks.constructs.data_key import READING_AND_WRITING
from stacks.constructs.deployments import GradualDeployments
from stacks.constructs.function import PythonFunction
from stacks.constructs.queues import DeadLetterQueue, WorkQueue, allow_sending
from stacks.constructs.rest_api import ApiGatewayLogRole, RestApi
from stacks.constructs.shop_stack import ShopStack, acknowledge, let_use_data_key
from stacks.constructs.streams import read_new_items
from stacks.constructs.table import Table
from stacks.constructs.topics import Alarms, SecureTopic, TopicKey
from stacks.order_model import ORDER_SCHEMA
from stacks.settings import Settings

_BATCH_SIZE = 10
"""For the queue and the stream alike; one PublishBatch takes ten messages (Amazon SNS quotas)."""
_SIMULATOR_TIMEOUT_SECONDS = 300

_QUEUED = """{"messageId": "$input.path('$.SendMessageResponse.SendMessageResult.MessageId')"}"""
_SEND = (
    "Action=SendMessage&Version=2012-11-05&MessageBody=$util.urlEncode($input.body)"
    # SQS refuses an attribute without a value: an order must not depend on what is there for its logs only.
    "#if($context.requestId != '')"
    "&MessageAttribute.1.Name=request_id&MessageAttribute.1.Value.DataType=String"
    "&MessageAttribute.1.Value.StringValue=$context.requestId"
    "#end"
)
_REFUSED_BY_QUEUE = """\
#set($code = $input.path('$.Error.Code'))
#if($code == 'InvalidMessageContents')
{"message": "The body has a character that a queue message cannot carry."}
#elseif($code == 'InvalidParameterValue')
{"message": "The body is larger than a queue message can be."}
#else
#set($context.responseOverride.status = 500)
{"message": "The order could not be queued. Send it again."}
#end"""
_NOT_QUEUED = '{"message": "The order could not be queued. Send it again."}'


class OrderPipelineStack(ShopStack):
    """Takes orders in, loses none, stores each once and announces it on `topic`, which is what `notifier` does.

    `log_role` is the account's role for API Gateway's logs.
    """

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, "order-pipeline", settings, description="Shop: order intake, storage and announcement")
        key = TopicKey(self, "TopicKey", services=[Alarms.SERVICE])
        alarms = Alarms(self, "Alarms", key=key)

        table = Table(self, "OrdersTable", partition_key="orderID", stream=aws_dynamodb.StreamViewType.NEW_IMAGE)
        processor = self._processor(table)
        orders = WorkQueue(
            self,
            "Orders",
            worker=processor,
            batch_size=_BATCH_SIZE,
            max_concurrency=settings.order_processor_max_concurrency,
            alarms=alarms,
            dead_letters_say="Orders failed three times and wait in the dead-letter queue.",
            dead_letters_entry="orders-in-the-dead-letter-queue",
            waiting_say="Orders wait in the queue and nobody takes them.",
            waiting_entry="orders-waiting-in-the-queue",
        )
        simulator = self._simulator(orders.queue)
        api_role = self._api_role(orders.queue)
        orders.restrict_to(senders=[api_role, simulator.execution_role], operators=settings.operator_principal_arns)
        self.log_role = ApiGatewayLogRole(self, "ApiGatewayLogs")
        endpoint, api_key = self._api(orders.queue, api_role, alarms)

        self.topic = self._topic(key)
        self.notifier, unannounced = self._notifier(table, self.topic, alarms)
        GradualDeployments(self, "Deployments", alarms=alarms)

        self.output("OrdersEndpoint", endpoint, "POST an order here")
        self.output("OrdersApiKeyId", api_key.key_id, "The API key's id; its value is for x-api-key")
        self.output("OrdersQueueUrl", orders.queue.queue_url, "Accepted orders")
        self.output("OrdersDeadLetterQueueUrl", orders.dead_letters.queue_url, "Orders that failed three times")
        self.output("UnannouncedOrdersQueueUrl", unannounced.queue_url, "Where in the stream the notifier gave up")
        self.output("OrdersTableName", table.table_name, "Stored orders")
        self.output("OrderTopicArn", self.topic.topic_arn, "Announcements of stored orders")
        self.output("OrderProcessorFunctionName", processor.function_name, "Stores orders")
        self.output("OrderNotifierFunctionName", self.notifier.function_name, "Announces orders")
        self.output("OrderSimulatorFunctionName", simulator.function_name, "Sends made-up orders")

    def _processor(self, table: Table) -> PythonFunction:
        processor = PythonFunction(
            self,
            "OrderProcessor",
            folder="order_processor",
            description="Checks orders from the queue and stores each once",
            memory_mb=self.settings.order_processor_memory_mb,
            timeout_seconds=self.settings.order_processor_timeout_seconds,
            environment={"DYNAMODB_ORDERS_TABLE": table.table_name},
        )
        processor.allow("dynamodb:PartiQLInsert", "dynamodb:BatchGetItem", on=table.table_arn)
        let_use_data_key(processor.execution_role, READING_AND_WRITING)
        return processor

    def _simulator(self, queue: aws_sqs.Queue) -> PythonFunction:
        simulator = PythonFunction(
            self,
            "OrderSimulator",
            folder="order_simulator",
            description="Sends made-up orders, some of them invalid, to the orders queue",
            memory_mb=self.settings.order_simulator_memory_mb,
            timeout_seconds=_SIMULATOR_TIMEOUT_SECONDS,
            environment={"ORDERS_QUEUE_URL": queue.queue_url},
        )
        allow_sending(simulator.execution_role, queue)
        acknowledge(simulator, "Serverless-LambdaDLQ", "A person invokes it and sees it fail; no event is lost.")
        return simulator

    def _api_role(self, queue: aws_sqs.Queue) -> aws_iam.Role:
        role = aws_iam.Role(
            self,
            "OrdersApiRole",
            assumed_by=aws_iam.ServicePrincipal("apigateway.amazonaws.com"),
            description="Lets the orders API put orders on the queue",
        )
        allow_sending(role, queue)
        return role

    def _api(self, queue: aws_sqs.Queue, role: aws_iam.Role, alarms: Alarms) -> tuple[str, aws_apigateway.IApiKey]:
        api = RestApi(
            self,
            "OrdersApi",
            description=f"Order intake of stage {self.settings.stage}",
            requests_per_second=self.settings.orders_requests_per_second,
            burst=self.settings.orders_burst,
            log_role=self.log_role,
        )
        orders = api.root.add_resource("orders")
        method = orders.add_method(
            "POST",
            self._send_to(queue, role),
            api_key_required=True,
            request_models={
                "application/json": api.add_model("Order", content_type="application/json", schema=ORDER_SCHEMA)
            },
            request_validator=api.add_request_validator(
                "Validator", validate_request_body=True, validate_request_parameters=True
            ),
            method_responses=[
                aws_apigateway.MethodResponse(
                    status_code=status, response_models={"application/json": aws_apigateway.Model.EMPTY_MODEL}
                )
                for status in ("202", "400", "500")
            ],
        )
        acknowledge(method, "AwsSolutions-APIG4", "Shops' systems call it with an API key, by design.")
        acknowledge(method, "AwsSolutions-COG4", "Shops' systems call it with an API key; there are no user accounts.")
        acknowledge(
            api.deployment_stage, "AwsSolutions-APIG3", "API key, usage plan and body validation guard one POST route."
        )
        api.add_gateway_response(
            "RefusedBody",
            type=aws_apigateway.ResponseType.BAD_REQUEST_BODY,
            templates={"application/json": '{"message": "$context.error.validationErrorString"}'},
        )
        api.alarm_when_failing_or_slow(
            alarms,
            says="More than one order in a hundred is answered with a 5xx: it was not queued.",
            entry="orders-are-not-accepted",
        )
        key = api.add_key(
            key_description=f"Sends orders to stage {self.settings.stage}",
            plan_description=f"Order intake of stage {self.settings.stage}",
            requests_per_second=self.settings.orders_requests_per_second,
            burst=self.settings.orders_burst,
            daily_quota=self.settings.orders_daily_quota,
        )
        return api.url_for_path("/orders"), key

    def _send_to(self, queue: aws_sqs.Queue, role: aws_iam.Role) -> aws_apigateway.AwsIntegration:
        """SendMessage as a service integration: the body goes URL-encoded into the form that SQS takes.

        Only SQS's own 200 becomes a 202. What SQS refuses for its body is the client's error, the rest is ours.
        The request's id goes along, so that the API's access log and the order's later steps can be joined.
        """
        return aws_apigateway.AwsIntegration(
            service="sqs",
            path=f"{Stack.of(self).account}/{queue.queue_name}",
            integration_http_method="POST",
            options=aws_apigateway.IntegrationOptions(
                credentials_role=role,
                passthrough_behavior=aws_apigateway.PassthroughBehavior.NEVER,
                request_parameters={"integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"},
                request_templates={"application/json": _SEND},
                integration_responses=[
                    _answer("500", None, _NOT_QUEUED),
                    _answer("202", "200", _QUEUED),
                    _answer("400", "400", _REFUSED_BY_QUEUE),
                ],
            ),
        )

    def _topic(self, key: TopicKey) -> SecureTopic:
        topic = SecureTopic(self, "OrderTopic", key=key, display_name="New orders", emails=self.settings.order_emails)
        for number in self.settings.order_phone_numbers:
            topic.add_person(subscriptions.SmsSubscription(number))
        return topic

    def _notifier(self, table: Table, topic: SecureTopic, alarms: Alarms) -> tuple[PythonFunction, DeadLetterQueue]:
        """The function that announces orders, and where its failures end."""
        notifier = PythonFunction(
            self,
            "OrderNotifier",
            folder="order_notifier",
            description="Announces each stored order on the topic",
            memory_mb=self.settings.order_notifier_memory_mb,
            timeout_seconds=self.settings.order_notifier_timeout_seconds,
            environment={"ORDER_TOPIC_ARN": topic.topic_arn},
        )
        topic.allow_publishing_by(notifier)
        failures = DeadLetterQueue(
            self,
            "UnannouncedOrders",
            alarms=alarms,
            says="Stored orders could not be announced; where to find them in the stream is in the failure queue.",
            runbook_entry="orders-not-announced",
        )
        read_new_items(
            self,
            table,
            notifier,
            batch_size=_BATCH_SIZE,
            retry_attempts=self.settings.order_notifier_retry_attempts,
            max_record_age_seconds=self.settings.order_notifier_max_record_age_seconds,
            failures=failures,
            alarms=alarms,
            behind_says="Stored orders wait to be announced.",
            behind_entry="orders-waiting-to-be-announced",
        )
        return notifier, failures


def _answer(status: str, selection_pattern: str | None, template: str) -> aws_apigateway.IntegrationResponse:
    """What the client gets; the pattern is of SQS's status code, None for everything that no other pattern takes."""
    return aws_apigateway.IntegrationResponse(
        status_code=status, selection_pattern=selection_pattern, response_templates={"application/json": template}
    )
