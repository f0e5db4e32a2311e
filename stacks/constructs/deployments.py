"""Gradual deployments: AWS CodeDeploy moves functions' aliases to new versions, and back where those fail."""

from collections.abc import Iterator

from aws_cdk import ArnFormat, Duration, Stack, aws_cloudwatch, aws_codedeploy, aws_iam, aws_lambda
from constructs import Construct

from stacks.constructs.function import LIVE, PythonFunction
from stacks.constructs.rest_api import RestApi
from stacks.constructs.shop_stack import acknowledge, settings_of
from stacks.constructs.topics import Alarms

_MINUTE = Duration.minutes(1)
"""The shortest period of these metrics: a canary has five in which to be found bad."""
_FAILING_SHARE = 0.01
"""Of an API's requests, as for the alarm on the API itself."""
_ROLLED_BACK = "a-deployment-is-rolled-back"


class GradualDeployments(Construct):
    """Has CodeDeploy move the alias of each function of the stack that has one, where the stage's setting says so.

    To be made when all else of the stack is there: it looks for functions whose `live` somebody asked for, and for the
    APIs that they answer for. A deployment is rolled back when it fails, is stopped, or raises an alarm: on errors of
    the new version alone, and on failed requests of the function's API. A first deployment has nothing to shift.
    """

    def __init__(self, scope: Construct, construct_id: str, *, alarms: Alarms) -> None:
        super().__init__(scope, construct_id)
        how = settings_of(scope).gradual_deployments
        if how == "off":
            return
        application = aws_codedeploy.LambdaApplication(self, "Application")
        role = self._role(application)
        failing_apis = {api: _alarm_on_api(api, alarms) for api in _apis(scope) if api.functions}
        for function, alias in dict(_aliases(scope)).items():
            apis = [alarm for api, alarm in failing_apis.items() if function in api.functions]
            group = aws_codedeploy.LambdaDeploymentGroup(
                self,
                function.node.id,
                application=application,
                alias=alias,
                deployment_config=_CONFIGURATIONS[how],
                # Not to be added to: CDK would attach a managed policy that may change every function's aliases.
                role=role.without_policy_updates(),
                alarms=[_alarm_on_new_version(function, alarms), *apis],
                auto_rollback=aws_codedeploy.AutoRollbackConfig(
                    failed_deployment=True, stopped_deployment=True, deployment_in_alarm=True
                ),
            )
            group.node.add_dependency(self._let_move(role, function))

    def _role(self, application: aws_codedeploy.LambdaApplication) -> aws_iam.Role:
        stack = Stack.of(self)
        groups = stack.format_arn(
            service="codedeploy",
            resource="deploymentgroup",
            resource_name=f"{application.application_name}/*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        # AWS CodeDeploy User Guide, "Cross-service confused deputy prevention".
        conditions = {"StringEquals": {"aws:SourceAccount": stack.account}, "ArnLike": {"aws:SourceArn": groups}}
        return aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal("codedeploy.amazonaws.com", conditions=conditions),
            description="Lets CodeDeploy move the aliases of this stack's functions",
        )

    def _let_move(self, role: aws_iam.Role, function: PythonFunction) -> aws_iam.Policy:
        """What AWS's managed policy AWSCodeDeployRoleForLambdaLimited has, less hooks, for one function only.

        A policy for each, because a function's alias waits for its own, and functions wait for others' aliases.
        """
        alarms = Stack.of(self).format_arn(
            service="cloudwatch", resource="alarm", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
        )
        policy = aws_iam.Policy(
            self,
            f"MayMove{function.node.id}",
            roles=[role],
            statements=[
                aws_iam.PolicyStatement(
                    # IAM takes the first two on the function, the last on what has provisioned concurrency: the alias.
                    actions=["lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"],
                    resources=[function.function_arn, f"{function.function_arn}:{LIVE}"],
                ),
                aws_iam.PolicyStatement(actions=["cloudwatch:DescribeAlarms"], resources=[alarms]),
            ],
        )
        acknowledge(
            policy,
            "AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:cloudwatch:<AWS::Region>:<AWS::AccountId>:alarm:*]",
            "CodeDeploy only reads states of alarms; by what names it asks for them is not documented.",
        )
        return policy


_CONFIGURATIONS = {
    "canary": aws_codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
    "linear": aws_codedeploy.LambdaDeploymentConfig.LINEAR_10_PERCENT_EVERY_1_MINUTE,
}


def _aliases(scope: Construct) -> Iterator[tuple[PythonFunction, aws_lambda.Alias]]:
    """The functions of a stack that have an alias, with it."""
    for function in scope.node.find_all():
        alias = function.node.try_find_child("Live") if isinstance(function, PythonFunction) else None
        if isinstance(function, PythonFunction) and isinstance(alias, aws_lambda.Alias):
            yield function, alias


def _apis(scope: Construct) -> Iterator[RestApi]:
    return (construct for construct in scope.node.find_all() if isinstance(construct, RestApi))


def _alarm_on_new_version(function: PythonFunction, alarms: Alarms) -> aws_cloudwatch.Alarm:
    """On what the new version fails while it shares the alias with the old one.

    AWS Lambda Developer Guide, "Types of metrics for Lambda functions": ExecutedVersion is of aliases that are shared,
    so that nothing is measured, and nothing alarms, outside of a deployment.
    """
    name = function.node.id
    errors = aws_cloudwatch.Metric(
        namespace="AWS/Lambda",
        metric_name="Errors",
        dimensions_map={
            "FunctionName": function.function_name,
            "Resource": f"{function.function_name}:{LIVE}",
            "ExecutedVersion": function.current_version.version,
        },
        statistic=aws_cloudwatch.Stats.SUM,
        period=_MINUTE,
    )
    return alarms.when_above(
        f"{name}NewVersionFails",
        errors,
        0,
        says=f"The new version of {name} failed while it was deployed; the deployment is rolled back.",
        entry=_ROLLED_BACK,
    )


def _alarm_on_api(api: RestApi, alarms: Alarms) -> aws_cloudwatch.Alarm:
    """On failed requests of a minute: a function that answers with a 5xx has no errors of its own."""
    return alarms.when_above(
        f"{api.node.id}FailsNow",
        api.metric_server_error(period=_MINUTE, statistic=aws_cloudwatch.Stats.AVERAGE),
        _FAILING_SHARE,
        says=f"More than one request of {api.node.id} in a hundred of the last minute was answered with a 5xx; a "
        "deployment that is under way is rolled back.",
        entry=_ROLLED_BACK,
    )
