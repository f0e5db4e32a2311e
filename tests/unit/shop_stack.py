"""An order pipeline's queues and table in moto, as a target of the command line."""

import json

import boto3
from mypy_boto3_cloudformation.type_defs import TagTypeDef

from shop.target import Target

REGION = "eu-central-1"
_TEMPLATE = {
    "Resources": {
        "Orders": {"Type": "AWS::SQS::Queue"},
        "DeadLetters": {"Type": "AWS::SQS::Queue"},
        "Unannounced": {"Type": "AWS::SQS::Queue"},
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "KeySchema": [{"AttributeName": "orderID", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "orderID", "AttributeType": "S"}],
                "BillingMode": "PAY_PER_REQUEST",
                "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
            },
        },
    },
    "Outputs": {
        "OrdersQueueUrl": {"Value": {"Ref": "Orders"}},
        "OrdersDeadLetterQueueUrl": {"Value": {"Ref": "DeadLetters"}},
        "UnannouncedOrdersQueueUrl": {"Value": {"Ref": "Unannounced"}},
        "OrdersTableName": {"Value": {"Ref": "Table"}},
        "OrderTopicArn": {"Value": {"Ref": "Topic"}},
    },
}


def tags(stage: str) -> list[TagTypeDef]:
    """Return the tags that the app gives to each of its stacks."""
    return [{"Key": "application", "Value": "serverless-shop"}, {"Key": "stage", "Value": stage}]


def deploy() -> Target:
    """Deploy the stack of stage `dev` into moto, which must be on, and return it as a target."""
    session = boto3.Session("key", "secret", region_name=REGION)
    cloudformation = session.client("cloudformation")
    cloudformation.create_stack(StackName="dev-order-pipeline", TemplateBody=json.dumps(_TEMPLATE), Tags=tags("dev"))
    stack = cloudformation.describe_stacks(StackName="dev-order-pipeline")["Stacks"][0]
    return Target("dev", {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}, session, None)
