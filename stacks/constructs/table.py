"""A table: on demand, restorable to any second of the last 35 days, kept where the stage keeps its data."""

from aws_cdk import aws_dynamodb
from constructs import Construct

from stacks.constructs.shop_stack import data_key_of, removal_policy, settings_of


class Table(aws_dynamodb.Table):
    """A table with a partition key of type String.

    Where the stage keeps its data, the table outlives its stack and refuses deletion.

    Who changes what CloudFormation replaces a table for (its key) gives it a new construct id as well: versions of
    functions know the table's name from when they were published, and only another id publishes new ones (decision
    0021).
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        partition_key: str,
        stream: aws_dynamodb.StreamViewType | None = None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            partition_key=aws_dynamodb.Attribute(name=partition_key, type=aws_dynamodb.AttributeType.STRING),
            billing_mode=aws_dynamodb.BillingMode.PAY_PER_REQUEST,
            stream=stream,
            encryption_key=data_key_of(scope),
            point_in_time_recovery_specification=aws_dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=settings_of(scope).keep_data,
            removal_policy=removal_policy(scope),
        )
