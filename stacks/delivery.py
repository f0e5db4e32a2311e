"""What lets GitHub Actions deploy the shop without a stored key: roles that its workflows assume by OpenID Connect.

This stack is not part of a stage: an administrator deploys it once to each account and region (`make delivery-role`),
with credentials of his own and not by way of the CDK bootstrap, so that no pipeline can change what it may do itself.
"""

from collections.abc import Sequence

from aws_cdk import (
    App,
    Aws,
    CfnOutput,
    Duration,
    Fn,
    LegacyStackSynthesizer,
    Stack,
    Tags,
    aws_iam,
)
from constructs import Construct

from stacks.constructs.shop_stack import acknowledge
from stacks.delivery_settings import ISSUER, STACK_NAME, DeliverySettings
from stacks.execution_policy import grants
from stacks.settings import APPLICATION, load_settings

DIFF_STAGE = "dev"
"""The stage that pull requests are compared with."""

ORDER_PIPELINE = "order-pipeline"
ORDER_SERVICE = "order-service"
_AUDIENCE = "sts.amazonaws.com"
_SESSION = Duration.hours(1)
"""The shortest maximum that IAM has; a first deployment with its database takes about 20 minutes."""


class DeliveryStack(Stack):
    """The identity provider, a role for each stage's environment, one for comparing, and CloudFormation's policies."""

    def __init__(self, app: App, settings: DeliverySettings) -> None:
        super().__init__(
            app,
            STACK_NAME,
            description="Shop: what GitHub Actions may do in this account",
            # Deployed with the administrator's own rights, and before there is a bootstrap.
            synthesizer=LegacyStackSynthesizer(),
            termination_protection=True,
            tags={"application": APPLICATION},
        )
        Tags.of(self).add("application", APPLICATION)
        self._settings = settings
        self._provider = settings.provider_arn or self._identity_provider()
        if DIFF_STAGE in settings.stages:
            self._diff_role()
        for stage in settings.stages:
            self._deployment_role(stage)
        self._execution_policies()

    def _identity_provider(self) -> str:
        # IAM checks GitHub's certificate against authorities that it trusts itself: no thumbprint is needed.
        provider = aws_iam.CfnOIDCProvider(self, "GitHub", url=f"https://{ISSUER}", client_id_list=[_AUDIENCE])
        return provider.attr_arn

    def _diff_role(self) -> None:
        """Templates only: the bootstrap's lookup role has ReadOnlyAccess, so it could read what customers ordered."""
        templates = aws_iam.PolicyStatement(
            actions=["cloudformation:DescribeStacks", "cloudformation:GetTemplate"],
            resources=[_arn("cloudformation", f"stack/{DIFF_STAGE}-*")],
        )
        role = self._role("DiffRole", f"compares with {DIFF_STAGE}", "pull_request", [templates])
        self._output("DiffRoleArn", role.role_arn, "Variable AWS_DIFF_ROLE_ARN of the GitHub repository")

    def _deployment_role(self, stage: str) -> None:
        """By way of the bootstrap's roles, and for a look at what was deployed."""
        name = f"{stage.capitalize()}Role"
        may = [self._deploy(), *_check_what_was_deployed(stage)]
        role = self._role(name, f"deploys {stage}", f"environment:{stage}", may)
        self._output(f"{name}Arn", role.role_arn, f"Variable AWS_ROLE_ARN of the GitHub environment {stage}")

    def _deploy(self) -> aws_iam.PolicyStatement:
        """AWS CDK Developer Guide, "Deploy AWS CDK applications": what the CDK does with the bootstrap's roles.

        Without the lookup role, since no stack looks anything up; and without images there are none to publish.
        """
        roles = [f"cdk-{self._settings.qualifier}-{name}" for name in ("deploy-role", "file-publishing-role")]
        return aws_iam.PolicyStatement(
            actions=["sts:AssumeRole"],
            resources=[_arn("iam", f"role/{role}-{Aws.ACCOUNT_ID}-{Aws.REGION}", region="") for role in roles],
        )

    def _role(self, construct_id: str, does: str, subject: str, may: Sequence[aws_iam.PolicyStatement]) -> aws_iam.Role:
        claims = {f"{ISSUER}:aud": _AUDIENCE, f"{ISSUER}:sub": f"repo:{self._settings.github}:{subject}"}
        role = aws_iam.Role(
            self,
            construct_id,
            assumed_by=aws_iam.WebIdentityPrincipal(self._provider, {"StringEquals": claims}),
            description=f"GitHub Actions: {does}",
            max_session_duration=_SESSION,
        )
        for statement in may:
            role.add_to_policy(statement)
        _acknowledge(role, may, "The end of the name, or the id, is made up by CloudFormation or AWS.")
        return role

    def _execution_policies(self) -> None:
        policies = []
        for name, allowed in grants(self._settings.qualifier).items():
            statements = [grant.statement(self._settings.stages) for grant in allowed]
            policy = aws_iam.ManagedPolicy(
                self,
                f"CloudFormation{name}",
                description="What CloudFormation may do for the stacks of the shop",
                statements=statements,
            )
            _acknowledge(policy, statements, "docs/decisions/0022-delivery-by-openid-connect.md")
            policies.append(policy.managed_policy_arn)
        self._output("ExecutionPolicyArns", Fn.join(",", policies), "For make bootstrap POLICIES=")

    def _output(self, key: str, value: str, description: str) -> None:
        CfnOutput(self, key, value=value, description=description)


def _check_what_was_deployed(stage: str) -> list[aws_iam.PolicyStatement]:
    """For `make smoke`: find the stacks, ask the order service for a sign of life, start the simulator, read orders.

    Not in a stage that keeps its data, whose orders are customers': there only the sign of life.
    """
    keeps_data = load_settings({"stage": stage}).keep_data
    systems = [ORDER_SERVICE] if keeps_data else [ORDER_SERVICE, ORDER_PIPELINE]
    allowed = {
        "cloudformation:DescribeStacks": [_arn("cloudformation", f"stack/{stage}-{name}/*") for name in systems],
        "execute-api:Invoke": [_arn("execute-api", "*/v1/POST/order")],
    }
    if not keeps_data:
        allowed["apigateway:GET"] = [_arn("apigateway", "/apikeys/*", account="")]
        allowed["dynamodb:GetItem"] = [_arn("dynamodb", f"table/{stage}-{ORDER_PIPELINE}-*")]
    return [aws_iam.PolicyStatement(actions=[action], resources=arns) for action, arns in allowed.items()]


def _arn(service: str, resource: str, *, region: str = Aws.REGION, account: str = Aws.ACCOUNT_ID) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{region}:{account}:{resource}"


def _acknowledge(construct: Construct, statements: Sequence[aws_iam.PolicyStatement], reason: str) -> None:
    """Records why these resources end in a wildcard, in the words in which cdk-nag names them."""
    words = {Aws.PARTITION: "<AWS::Partition>", Aws.REGION: "<AWS::Region>", Aws.ACCOUNT_ID: "<AWS::AccountId>"}
    for resource in {resource for statement in statements for resource in statement.resources if "*" in resource}:
        named = resource
        for token, word in words.items():
            named = named.replace(token, word)
        acknowledge(construct, f"AwsSolutions-IAM5[Resource::{named}]", reason)
