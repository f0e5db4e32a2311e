"""What every stack of the shop has: its settings, how its resources end, and named outputs."""

from functools import cached_property

from aws_cdk import Acknowledgment, CfnOutput, RemovalPolicy, Stack, Tags, Validations, aws_iam, aws_logs
from constructs import Construct

from stacks.constructs.data_key import DataKey, KeyUse
from stacks.settings import APPLICATION, Settings


class ShopStack(Stack):
    """A stack of one stage."""

    def __init__(self, scope: Construct, name: str, settings: Settings, *, description: str) -> None:
        tags = {"application": APPLICATION, "stage": settings.stage}
        super().__init__(
            scope,
            f"{settings.stage}-{name}",
            description=description,
            termination_protection=settings.keep_data,
            tags=tags,  # of the stack itself; its resources get theirs below
        )
        self.settings = settings
        # The CDK declares dependencies that references imply too; nothing is wrong with the template for that.
        self.template_options.metadata = {"cfn-lint": {"config": {"ignore_checks": ["W3005"]}}}
        for key, value in tags.items():
            Tags.of(self).add(key, value)

    def output(self, key: str, value: str, description: str) -> None:
        """Declares a stack output that others find by exactly this key."""
        CfnOutput(self, key, value=value, description=description)

    @cached_property
    def data_key(self) -> DataKey | None:
        """The key of the stack's tables, queues and log groups, where the stage has such keys."""
        if not self.settings.customer_managed_keys:
            return None
        operators = self.settings.operator_principal_arns
        return DataKey(self, "DataKey", operators=operators, removal_policy=removal_policy(self))


def settings_of(scope: Construct) -> Settings:
    """The settings of the stage that this construct's stack belongs to."""
    return _stack_of(scope).settings


def data_key_of(scope: Construct) -> DataKey | None:
    """The key for data of this construct's stack; None where AWS's own keys do."""
    return _stack_of(scope).data_key


def key_statements(scope: Construct, use: KeyUse) -> list[aws_iam.PolicyStatement]:
    """What a role's policy must say besides, so that it may use data of this construct's stack in that way."""
    key = data_key_of(scope)
    return key.statements(use) if key else []


def let_use_data_key(role: aws_iam.Role, use: KeyUse) -> None:
    """Lets the role use the data key of its stack in that way, where there is one."""
    for statement in key_statements(role, use):
        role.add_to_policy(statement)


def _stack_of(scope: Construct) -> ShopStack:
    stack = Stack.of(scope)
    if not isinstance(stack, ShopStack):
        raise TypeError(f"{scope.node.path}: not in a ShopStack, which is what has settings")
    return stack


def removal_policy(scope: Construct) -> RemovalPolicy:
    """What becomes of this construct's data when it leaves its stack, or its stack is destroyed."""
    return RemovalPolicy.RETAIN if settings_of(scope).keep_data else RemovalPolicy.DESTROY


def log_group(scope: Construct, construct_id: str, *, name: str | None = None) -> aws_logs.LogGroup:
    """A log group with the stage's retention, and its stack's data key where there is one.

    `name` only where a service dictates it.
    """
    group = aws_logs.LogGroup(
        scope,
        construct_id,
        log_group_name=name,
        encryption_key=data_key_of(scope),
        removal_policy=removal_policy(scope),
    )
    resource = group.node.default_child
    assert isinstance(resource, aws_logs.CfnLogGroup)  # noqa: S101 - what CDK makes, for the type checker
    resource.retention_in_days = settings_of(scope).log_retention_days
    return group


def acknowledge(construct: Construct, rule: str, reason: str) -> None:
    """Records why a finding of cdk-nag on this construct, or on what it contains, stands."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))
