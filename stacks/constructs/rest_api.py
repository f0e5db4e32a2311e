"""A REST API with its logs, throttles and keys, and the account's role that lets API Gateway write logs."""

import json

from aws_cdk import Duration, RemovalPolicy, aws_apigateway, aws_cloudwatch, aws_iam
from aws_cdk.aws_apigateway import ResponseType
from constructs import Construct

from stacks.constructs.function import PythonFunction
from stacks.constructs.shop_stack import acknowledge, log_group, settings_of
from stacks.constructs.topics import Alarms

SLOWEST = "p99"
"""The statistic that tells how slow an API is: one request in a hundred is slower."""
_DEPLOYMENT_STAGE = "v1"
_LOG_POLICY = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
_ACCESS_LOG = {
    "requestId": "$context.requestId",
    "extendedRequestId": "$context.extendedRequestId",
    "requestTime": "$context.requestTime",
    "httpMethod": "$context.httpMethod",
    "resourcePath": "$context.resourcePath",
    "status": "$context.status",
    "responseLength": "$context.responseLength",
    "responseLatency": "$context.responseLatency",
    "integrationStatus": "$context.integration.status",
    "errorType": "$context.error.responseType",
    "apiKeyId": "$context.identity.apiKeyId",
}
"""Who called is told by the API key's id; addresses and bodies stay out of the log."""


_REFUSALS = {
    # What has no entry of its own takes this one: wrong or expired signatures, unknown callers, keys and paths.
    ResponseType.DEFAULT_4_XX: "forbidden",
    ResponseType.THROTTLED: "throttled",
    ResponseType.QUOTA_EXCEEDED: "throttled",
    ResponseType.REQUEST_TOO_LARGE: "too_large",
    ResponseType.BAD_REQUEST_BODY: "bad_request",
    ResponseType.BAD_REQUEST_PARAMETERS: "bad_request",
    ResponseType.RESOURCE_NOT_FOUND: "bad_request",
    ResponseType.UNSUPPORTED_MEDIA_TYPE: "bad_request",
}
"""Which of our functions' error codes API Gateway's own refusals have."""
_FAILURE = {
    "error": "internal_error",
    "message": "The request failed, and may have been carried out.",
    "requestId": "$context.requestId",
}


_ALARM_PERIOD = Duration.minutes(5)
_FAILING_SHARE = 0.01
"""Of all requests: one failure is an alarm where few come, and a rare fault of AWS is none where many do."""
_SLOW_MS = 3_000
"""Well above a cold start, which takes about a second with the memory that our functions have, and below the time that
clients commonly wait."""
_SLOW_PERIODS = 3
"""Where few requests come, a cold start is the 99th percentile of its five minutes, but not of three in a row."""


class ApiGatewayLogRole(Construct):
    """The role by which API Gateway writes logs: one for the whole account and region, so it outlives the stack.

    Setting `manage_api_gateway_log_role` turns it off where somebody else owns the account's role.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        if not settings_of(scope).manage_api_gateway_log_role:
            return
        role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal("apigateway.amazonaws.com"),
            description="Lets API Gateway write logs, for all REST APIs of this account and region",
            managed_policies=[aws_iam.ManagedPolicy.from_aws_managed_policy_name(_LOG_POLICY)],
        )
        account = aws_apigateway.CfnAccount(self, "Account", cloud_watch_role_arn=role.role_arn)
        role.apply_removal_policy(RemovalPolicy.RETAIN)
        account.apply_removal_policy(RemovalPolicy.RETAIN)
        acknowledge(
            role,
            f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{_LOG_POLICY}]",
            "The policy that API Gateway's documentation prescribes for the account's role.",
        )


class RestApi(aws_apigateway.RestApi):
    """A regional REST API: traced, throttled, and logged (access and execution) without any request's data."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        description: str,
        requests_per_second: int,
        burst: int,
        log_role: ApiGatewayLogRole,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            rest_api_name=f"{settings_of(scope).stage}-{construct_id}",
            description=description,
            endpoint_types=[aws_apigateway.EndpointType.REGIONAL],
            cloud_watch_role=False,
            deploy_options=aws_apigateway.StageOptions(
                stage_name=_DEPLOYMENT_STAGE,
                access_log_destination=aws_apigateway.LogGroupLogDestination(
                    log_group(scope, f"{construct_id}AccessLogs")
                ),
                access_log_format=aws_apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG)),
                logging_level=aws_apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                metrics_enabled=True,
                tracing_enabled=True,
                throttling_rate_limit=requests_per_second,
                throttling_burst_limit=burst,
            ),
        )
        self.functions: list[PythonFunction] = []
        """Those that answer for it."""
        self.node.try_remove_child("Endpoint")  # an output of the CDK's own naming, beside the documented ones
        self.deployment_stage.node.add_dependency(log_role, self._execution_log_group(scope, construct_id))

    def add_key(
        self,
        *,
        key_description: str,
        plan_description: str,
        requests_per_second: int,
        burst: int,
        daily_quota: int,
    ) -> aws_apigateway.IApiKey:
        """A key for methods that require one, with a usage plan that throttles it and counts its requests by day."""
        key = self.add_api_key("ApiKey", description=key_description)
        plan = self.add_usage_plan(
            "UsagePlan",
            description=plan_description,
            throttle=aws_apigateway.ThrottleSettings(rate_limit=requests_per_second, burst_limit=burst),
            quota=aws_apigateway.QuotaSettings(limit=daily_quota, period=aws_apigateway.Period.DAY),
        )
        plan.add_api_stage(stage=self.deployment_stage)
        plan.add_api_key(key)
        return key

    def answered_by(self, function: PythonFunction) -> aws_apigateway.LambdaIntegration:
        """The integration by which what is live of the function answers requests."""
        if function not in self.functions:
            self.functions.append(function)
        return aws_apigateway.LambdaIntegration(function.live, allow_test_invoke=False)

    def alarm_when_failing_or_slow(self, alarms: Alarms, *, says: str, entry: str) -> None:
        """Alarms when more than one request in a hundred fails on our side (5xx), and when answers stay slow.

        `says` and `entry` are of the failing; slow APIs have one runbook entry together.
        """
        alarms.when_above(
            f"{self.node.id}Fails",
            # The average of this metric is the share of requests that it counts (Amazon API Gateway metrics).
            self.metric_server_error(period=_ALARM_PERIOD, statistic=aws_cloudwatch.Stats.AVERAGE),
            _FAILING_SHARE,
            says=says,
            entry=entry,
        )
        alarms.when_above(
            f"{self.node.id}Slow",
            self.metric_latency(period=_ALARM_PERIOD, statistic=SLOWEST),
            _SLOW_MS,
            periods=_SLOW_PERIODS,
            says=f"The slowest hundredth of {self.node.id}'s requests has taken over {_SLOW_MS // 1_000} seconds for "
            "fifteen minutes.",
            entry="an-api-is-slow",
        )

    def answer_like_our_functions(self) -> None:
        """Gives API Gateway's own errors the form of our functions' (`error`, `message`): a client reads one form."""
        for response_type, code in _REFUSALS.items():
            # API Gateway puts the quotes around `messageString` itself.
            self._add_answer(response_type, f'{{"error": "{code}", "message": $context.error.messageString}}')
        self._add_answer(ResponseType.DEFAULT_5_XX, json.dumps(_FAILURE))

    def _add_answer(self, response_type: ResponseType, template: str) -> None:
        self.add_gateway_response(
            response_type.response_type, type=response_type, templates={"application/json": template}
        )

    def _execution_log_group(self, scope: Construct, construct_id: str) -> Construct:
        """Declared under the name that API Gateway gives it, or it would be made at first use and kept for ever."""
        return log_group(
            scope,
            f"{construct_id}ExecutionLogs",
            name=f"API-Gateway-Execution-Logs_{self.rest_api_id}/{_DEPLOYMENT_STAGE}",
        )
