"""A Python function with all that belongs to it: package, role, log group, JSON logs and tracing."""

from collections.abc import Mapping
from functools import cached_property

from aws_cdk import Annotations, ArnFormat, AssetHashType, Duration, Stack, aws_ec2, aws_iam, aws_lambda
from constructs import Construct

from stacks.constructs import packages
from stacks.constructs.shop_stack import acknowledge, log_group, settings_of

LIVE = "live"
"""The alias of functions that are deployed gradually."""


class PythonFunction(aws_lambda.Function):
    """The function in `lambdas/<folder>`, with a role of its own that may write its own logs and nothing else.

    X-Ray traces it without an SDK in the package; Lambda writes its logs as JSON. It is told its stage, of which its
    metrics are. With a `vpc` (and then a `security_group`) it runs in the isolated subnets of that VPC. With
    `snap_start` (on AWS alone) its versions start from a snapshot of the process after its imports.
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
        vpc: aws_ec2.IVpc | None = None,
        security_group: aws_ec2.ISecurityGroup | None = None,
        snap_start: bool = False,
    ) -> None:
        on_host = settings_of(scope).build_for == "host"
        target = packages.host_target() if on_host else packages.aws_target()
        package = packages.build(folder, target)
        # The local cloud unpacks a package where nobody can tell before, and has the machine's own time zones.
        zones = {} if on_host else package.zones_at(packages.TASK_ROOT)
        role = aws_iam.Role(
            scope,
            f"{construct_id}Role",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"What {construct_id} may do",
        )
        logs = log_group(scope, f"{construct_id}Logs")
        logs.grant_write(role)
        if vpc:
            _let_lambda_attach(role)
        super().__init__(
            scope,
            construct_id,
            description=description,
            code=aws_lambda.Code.from_asset(
                str(package.folder), asset_hash=package.content_hash, asset_hash_type=AssetHashType.CUSTOM
            ),
            handler=f"{folder}.handler.handler",
            runtime=aws_lambda.Runtime(
                f"python{target.python}", aws_lambda.RuntimeFamily.PYTHON, supports_snap_start=snap_start
            ),
            snap_start=aws_lambda.SnapStartConf.ON_PUBLISHED_VERSIONS if snap_start else None,
            architecture=_ARCHITECTURES[target.architecture],
            memory_size=memory_mb,
            timeout=Duration.seconds(timeout_seconds),
            environment={**environment, **zones, "SHOP_STAGE": settings_of(scope).stage},
            role=role,
            log_group=logs,
            logging_format=aws_lambda.LoggingFormat.JSON,
            tracing=aws_lambda.Tracing.ACTIVE,
            vpc=vpc,
            vpc_subnets=aws_ec2.SubnetSelection(subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED) if vpc else None,
            security_groups=[security_group] if security_group else None,
        )
        self.timeout_seconds = timeout_seconds
        self._has_snapshots = snap_start
        self.execution_role = role
        self.package_hash = package.content_hash
        if not package.has_byte_code:
            Annotations.of(self).add_warning_v2(
                "serverless-shop:no-byte-code", packages.without_byte_code(target.python)
            )
        for rule in ("AwsSolutions-L1", "Serverless-LambdaLatestVersion"):
            acknowledge(self, rule, "The Python that the packages are built for; it moves for all functions at once.")
        why = "X-Ray's PutTraceSegments takes no narrower resource."
        if vpc:
            why += " Lambda itself needs the EC2 actions on all; the function's code is denied them."
        acknowledge(role, "AwsSolutions-IAM5[Resource::*]", why)

    @cached_property
    def live(self) -> aws_lambda.IFunction:
        """What everything that serves by this function invokes: itself, or an alias where a version has to serve.

        That is so where deployments are gradual, and with SnapStart, which only versions have.

        The alias is on the version that was deployed, and made when it is first asked for: a function that nobody
        serves by (CloudFormation's own, one that a person runs) has none. `GradualDeployments` moves it.
        """
        if settings_of(self).gradual_deployments == "off" and not self._has_snapshots:
            return self
        return aws_lambda.Alias(self, "Live", alias_name=LIVE, version=self.current_version)

    @property
    def invocable(self) -> list[aws_lambda.IFunction]:
        """The function and, if that is another, what is live: each has an asynchronous configuration of its own."""
        return list(dict.fromkeys((self, self.live)))

    def allow(
        self, *actions: str, on: str | list[str], conditions: Mapping[str, Mapping[str, str | list[str]]] | None = None
    ) -> None:
        """Lets the function do exactly these actions on exactly these resources (ARNs), where the conditions hold."""
        resources = [on] if isinstance(on, str) else on
        self.add_to_role_policy(
            aws_iam.PolicyStatement(actions=list(actions), resources=resources, conditions=conditions)
        )


def _let_lambda_attach(role: aws_iam.Role) -> None:
    """Lets the Lambda service attach the function to its VPC by this role, and denies the same to the function's code.

    Source: AWS Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC" (required IAM
    permissions; best practice: deny the function's code). Instead of the managed policy, which also lets a function
    write to every log group. A denial by the function's own ARN would be circular: the function waits for its role's
    policy. Only Lambda assumes the role, so any function's ARN is its own.
    """
    role.add_to_policy(aws_iam.PolicyStatement(actions=_VPC_ACTIONS, resources=["*"]))
    functions = Stack.of(role).format_arn(
        service="lambda", resource="function", resource_name="*", arn_format=ArnFormat.COLON_RESOURCE_NAME
    )
    role.add_to_policy(
        aws_iam.PolicyStatement(
            effect=aws_iam.Effect.DENY,
            actions=_VPC_ACTIONS,
            resources=["*"],
            conditions={"ArnLike": {"lambda:SourceFunctionArn": functions}},
        )
    )


_VPC_ACTIONS = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
]
_ARCHITECTURES = {"arm64": aws_lambda.Architecture.ARM_64, "x86_64": aws_lambda.Architecture.X86_64}
