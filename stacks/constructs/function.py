"""A Python function with all that belongs to it: package, role, log group, JSON logs and tracing."""

from collections.abc import Mapping

from aws_cdk import Annotations, AssetHashType, Duration, aws_iam, aws_lambda
from constructs import Construct

from stacks.constructs import packages
from stacks.constructs.shop_stack import acknowledge, log_group, settings_of


class PythonFunction(aws_lambda.Function):
    """The function in `lambdas/<folder>`, with a role of its own that may write its own logs and nothing else.

    X-Ray traces it without an SDK in the package; Lambda writes its logs as JSON.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        folder: str,
        description: str,
        memory_mb: int,
        timeout_seconds: int,
        environment: Mapping[str, str],
    ) -> None:
        target = packages.host_target() if settings_of(scope).build_for == "host" else packages.aws_target()
        package = packages.build(folder, target)
        role = aws_iam.Role(
            scope,
            f"{construct_id}Role",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"What {construct_id} may do",
        )
        logs = log_group(scope, f"{construct_id}Logs")
        logs.grant_write(role)
        super().__init__(
            scope,
            construct_id,
            description=description,
            code=aws_lambda.Code.from_asset(
                str(package.folder), asset_hash=package.content_hash, asset_hash_type=AssetHashType.CUSTOM
            ),
            handler=f"{folder}.handler.handler",
            runtime=aws_lambda.Runtime(f"python{target.python}", aws_lambda.RuntimeFamily.PYTHON),
            architecture=_ARCHITECTURES[target.architecture],
            memory_size=memory_mb,
            timeout=Duration.seconds(timeout_seconds),
            environment=dict(environment),
            role=role,
            log_group=logs,
            logging_format=aws_lambda.LoggingFormat.JSON,
            tracing=aws_lambda.Tracing.ACTIVE,
        )
        self.timeout_seconds = timeout_seconds
        self.execution_role = role
        if not package.has_byte_code:
            Annotations.of(self).add_warning_v2(
                "serverless-shop:no-byte-code", packages.without_byte_code(target.python)
            )
        for rule in ("AwsSolutions-L1", "Serverless-LambdaLatestVersion"):
            acknowledge(self, rule, "The Python that the packages are built for; it moves for all functions at once.")
        acknowledge(role, "AwsSolutions-IAM5[Resource::*]", "X-Ray's PutTraceSegments takes no narrower resource.")

    def allow(self, *actions: str, on: str | list[str]) -> None:
        """Lets the function do exactly these actions on exactly these resources (ARNs)."""
        resources = [on] if isinstance(on, str) else on
        self.add_to_role_policy(aws_iam.PolicyStatement(actions=list(actions), resources=resources))


_ARCHITECTURES = {"arm64": aws_lambda.Architecture.ARM_64, "x86_64": aws_lambda.Architecture.X86_64}
