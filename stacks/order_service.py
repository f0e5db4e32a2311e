"""The order service: an API → a function → a table of its own."""

from aws_cdk.aws_apigateway import AuthorizationType
from constructs import Construct

from stacks.constructs.data_key import READING_AND_WRITING
from stacks.constructs.deployments import GradualDeployments
from stacks.constructs.function import PythonFunction
from stacks.constructs.rest_api import ApiGatewayLogRole, RestApi
from stacks.constructs.shop_stack import ShopStack, acknowledge, let_use_data_key
from stacks.constructs.table import Table
from stacks.constructs.topics import Alarms, TopicKey
from stacks.settings import Settings


class OrderServiceStack(ShopStack):
    """Creates, reads, changes, deletes and lists orders by request.

    `log_role` is the account's role for API Gateway's logs, which is in the stack that was deployed before.
    """

    def __init__(self, scope: Construct, settings: Settings, *, log_role: ApiGatewayLogRole) -> None:
        super().__init__(scope, "order-service", settings, description="Shop: create, read, change and list orders")
        alarms = Alarms(self, "Alarms", key=TopicKey(self, "TopicKey", services=[Alarms.SERVICE]))

        table = Table(self, "OrderServiceTable", partition_key="id")
        service = self._service(table)
        api = self._api(service, log_role)
        api.alarm_when_failing_or_slow(
            alarms,
            says="The order service answers more than one request in a hundred with a 5xx.",
            entry="the-order-service-fails",
        )

        self.output("OrderServiceEndpoint", api.url_for_path("/order"), "POST an operation here")
        self.output("OrderServiceTableName", table.table_name, "The order service's orders")
        self.output("OrderServiceFunctionName", service.function_name, "Answers requests")
        if _needs_key(settings):
            key = api.add_key(
                key_description=f"Calls the order service of stage {settings.stage}",
                plan_description=f"Order service of stage {settings.stage}",
                requests_per_second=settings.order_service_requests_per_second,
                burst=settings.order_service_burst,
                daily_quota=settings.order_service_daily_quota,
            )
            self.output("OrderServiceApiKeyId", key.key_id, "The API key's id; its value is for x-api-key")
        GradualDeployments(self, "Deployments", alarms=alarms)

    def _service(self, table: Table) -> PythonFunction:
        service = PythonFunction(
            self,
            "OrderService",
            folder="order_service",
            description="Creates, reads, changes, deletes and lists orders",
            memory_mb=self.settings.order_service_memory_mb,
            timeout_seconds=self.settings.order_service_timeout_seconds,
            environment={"ORDER_SERVICE_TABLE": table.table_name},
            snap_start=self.settings.order_service_snap_start,
        )
        service.allow(
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
            "dynamodb:DeleteItem",
            "dynamodb:Scan",
            on=table.table_arn,
        )
        let_use_data_key(service.execution_role, READING_AND_WRITING)
        acknowledge(service, "Serverless-LambdaDLQ", "Never invoked asynchronously; the client sees what fails.")
        return service

    def _api(self, service: PythonFunction, log_role: ApiGatewayLogRole) -> RestApi:
        api = RestApi(
            self,
            "OrderServiceApi",
            description=f"Order service of stage {self.settings.stage}",
            requests_per_second=self.settings.order_service_requests_per_second,
            burst=self.settings.order_service_burst,
            log_role=log_role,
        )
        orders = api.root.add_resource("order")
        integration = api.answered_by(service)
        signed = (
            AuthorizationType.NONE if self.settings.order_service_authorization == "api_key" else AuthorizationType.IAM
        )
        for resource in (orders, orders.add_resource("{id}")):
            # The function routes, so that what it does not take gets its own 405 and not API Gateway's 403.
            method = resource.add_method(
                "ANY", integration, authorization_type=signed, api_key_required=_needs_key(self.settings)
            )
            acknowledge(method, "AwsSolutions-COG4", "Programs call it by AWS_IAM or API key; it has no user accounts.")
            if signed == AuthorizationType.NONE:
                acknowledge(method, "AwsSolutions-APIG4", "The stage's setting asks for an API key instead of AWS_IAM.")
        acknowledge(api, "AwsSolutions-APIG2", "The function checks all that a request carries, and answers by name.")
        acknowledge(api.deployment_stage, "AwsSolutions-APIG3", "Only callers with rights or a key get in, throttled.")
        api.answer_like_our_functions()
        return api


def _needs_key(settings: Settings) -> bool:
    return settings.order_service_authorization != "aws_iam"
