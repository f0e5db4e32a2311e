"""What every stack of the shop has: its settings, how its resources end, and named outputs."""

from aws_cdk import Annotations, CfnOutput, RemovalPolicy, Stack, Tags, aws_logs
from constructs import Construct

from stacks.settings import Settings


class ShopStack(Stack):
    """A stack of one stage."""

    def __init__(self, scope: Construct, name: str, settings: Settings, *, description: str) -> None:
        super().__init__(
            scope,
            f"{settings.stage}-{name}",
            description=description,
            termination_protection=settings.keep_data,
        )
        self.settings = settings
        Tags.of(self).add("application", "serverless-shop")
        Tags.of(self).add("stage", settings.stage)

    def output(self, key: str, value: str, description: str) -> None:
        """Declares a stack output that others find by exactly this key."""
        CfnOutput(self, key, value=value, description=description)


def settings_of(scope: Construct) -> Settings:
    """The settings of the stage that this construct's stack belongs to."""
    stack = Stack.of(scope)
    if not isinstance(stack, ShopStack):
        raise TypeError(f"{scope.node.path}: not in a ShopStack, which is what has settings")
    return stack.settings


def removal_policy(scope: Construct) -> RemovalPolicy:
    """What becomes of this construct's data when it leaves its stack, or its stack is destroyed."""
    return RemovalPolicy.RETAIN if settings_of(scope).keep_data else RemovalPolicy.DESTROY


def log_group(scope: Construct, construct_id: str, *, name: str | None = None) -> aws_logs.LogGroup:
    """A log group with the stage's retention. `name` only where a service dictates it."""
    return aws_logs.LogGroup(
        scope,
        construct_id,
        log_group_name=name,
        retention=aws_logs.RetentionDays[_RETENTION[settings_of(scope).log_retention_days]],
        removal_policy=removal_policy(scope),
    )


def warn(scope: Construct, warning_id: str, text: str) -> None:
    """Shows a warning at synthesis, once for each construct."""
    Annotations.of(scope).add_warning_v2(f"serverless-shop:{warning_id}", text)


_RETENTION = {
    1: "ONE_DAY", 3: "THREE_DAYS", 5: "FIVE_DAYS", 7: "ONE_WEEK", 14: "TWO_WEEKS", 30: "ONE_MONTH",
    60: "TWO_MONTHS", 90: "THREE_MONTHS", 120: "FOUR_MONTHS", 150: "FIVE_MONTHS", 180: "SIX_MONTHS",
    365: "ONE_YEAR", 400: "THIRTEEN_MONTHS", 545: "EIGHTEEN_MONTHS", 731: "TWO_YEARS", 1096: "THREE_YEARS",
    1827: "FIVE_YEARS", 2192: "SIX_YEARS", 2557: "SEVEN_YEARS", 2922: "EIGHT_YEARS", 3288: "NINE_YEARS",
    3653: "TEN_YEARS",
}  # fmt: skip
