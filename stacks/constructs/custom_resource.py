"""A custom resource whose handler is a function of the project's own (`lambdas/shared/custom_resource.py`)."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import CustomResource, Duration
from constructs import Construct

from stacks.constructs.function import PythonFunction
from stacks.constructs.shop_stack import acknowledge


def answered_by(
    function: PythonFunction,
    scope: Construct,
    construct_id: str,
    *,
    resource_type: str,
    waits_seconds: int,
    properties: Mapping[str, Any],
) -> CustomResource:
    """The resource that the function makes, changes and removes; CloudFormation waits so long for its answer.

    The properties must hold no secret: CloudFormation shows them.
    """
    for rule in ("Serverless-LambdaDLQ", "Serverless-LambdaAsyncFailureDestination"):
        acknowledge(function, rule, "CloudFormation waits for its answer; without one the deployment fails.")
    return CustomResource(
        scope,
        construct_id,
        resource_type=resource_type,
        service_token=function.function_arn,
        service_timeout=Duration.seconds(waits_seconds),
        properties=dict(properties),
    )
