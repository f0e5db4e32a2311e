"""Permissions that the local cloud cannot show in use, each with the reason.

The proof fails for one that is used after all, and for a line that no permission of any stage needs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from tests.permissions.grants import Grant


@dataclass(frozen=True)
class NotShown:
    """Permissions by patterns (`*` and `?`) of role, actions, resources, condition. `reason` is Markdown of one line.

    `actions` and `resources` have one pattern or several with spaces between them. An action is named, never a whole
    service: what is granted later has to be explained anew. In resources `<role>` is the role's own name. Without a
    `condition` the line is for grants that have none: one that loses its condition has to be explained anew too.
    """

    role: str
    actions: str
    resources: str
    reason: str
    condition: str = ""

    def has(self, grant: Grant) -> bool:
        """Whether the grant is one of these."""
        pairs = (
            (grant.role, self.role),
            (grant.action, self.actions),
            (grant.resource, self.resources.replace("<role>", grant.role)),
        )
        matched = all(any(fnmatchcase(text, pattern) for pattern in patterns.split()) for text, patterns in pairs)
        return matched and fnmatchcase(grant.condition, self.condition)


NOT_SHOWN: Final = (
    NotShown(
        "*",
        "logs:CreateLogStream logs:PutLogEvents",
        "<role>Logs",
        "Lambda delivers a function's logs with the function's role. The emulator writes them itself.",
    ),
    NotShown(
        "NetworkVpcFlowLogIAM",
        "logs:CreateLogStream logs:DescribeLogStreams logs:PutLogEvents",
        "NetworkFlowLogs",
        "The VPC's flow logs are delivered with this role. The emulator has no VPCs that anything flows in.",
    ),
    NotShown(
        "*",
        "xray:PutTelemetryRecords xray:PutTraceSegments",
        "*",
        "Lambda sends traces with the function's role, and X-Ray has no narrower resource. The emulator has no traces.",
    ),
    NotShown(
        "*",
        "ec2:AssignPrivateIpAddresses ec2:CreateNetworkInterface ec2:DeleteNetworkInterface "
        "ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:UnassignPrivateIpAddresses",
        "*",
        "Lambda attaches a function to its VPC with the function's role (the code is denied the same). The emulator's "
        "functions are in no VPC.",
    ),
    NotShown(
        "*",
        "sqs:DeleteMessage",
        "*Queue",
        "The event source mapping takes what is done off the queue with the worker's role. The emulator asks nobody.",
    ),
    NotShown("*", "sqs:ReceiveMessage", "*Queue", "The event source mapping reads the queue with the worker's role."),
    NotShown(
        "*",
        "sqs:GetQueueAttributes",
        "*Queue",
        "The event source mapping looks how long the queue is with the worker's role, and scales by it.",
    ),
    NotShown(
        "OrderNotifier",
        "dynamodb:DescribeStream dynamodb:GetRecords dynamodb:GetShardIterator dynamodb:ListStreams",
        "OrdersTable.StreamArn OrdersTable/stream/[*]",
        "The event source mapping reads the stream with the reader's role. The emulator asks nobody.",
    ),
    NotShown(
        "*",
        "kms:Decrypt kms:GenerateDataKey",
        "TopicKey",
        "SNS encrypts what is published with the publisher's right to the topic's key. The emulator encrypts nothing.",
    ),
    NotShown(
        "*",
        "kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey kms:ReEncryptFrom kms:ReEncryptTo",
        "DataKey",
        "Only with `customer_managed_keys`: the caller's right to the key of tables.",
        condition="StringEquals kms:ViaService=dynamodb.<region>.amazonaws.com",
    ),
    NotShown(
        "*",
        "kms:Decrypt kms:GenerateDataKey",
        "DataKey",
        "Only with `customer_managed_keys`: the caller's right to the key of queues.",
        condition="StringEquals kms:ViaService=sqs.<region>.amazonaws.com",
    ),
    NotShown(
        "OrderNotifier",
        "sqs:SendMessage",
        "UnannouncedOrders",
        "The event source mapping sends what failed for good with the reader's role. The emulator asks nobody.",
    ),
    NotShown(
        "SalesReport",
        "sqs:SendMessage",
        "FailedReports",
        "Lambda sends the event of a run that failed for good with the function's role. The emulator asks nobody.",
    ),
    NotShown(
        "OrdersApi",
        "sqs:SendMessage",
        "OrdersQueue",
        "API Gateway puts orders on the queue with this role. The emulator asks nobody.",
    ),
    NotShown(
        "SalesReport",
        "ssm:GetParametersByPath",
        "ssm:parameter/<stage>/cafe",
        "The same path without its last slash: which of the two AWS asks for is not documented. The emulator asks for "
        "the path as it is in the request.",
    ),
    NotShown(
        "DailyReport",
        "lambda:InvokeFunction sqs:SendMessage",
        "SalesReport MissedReports",
        "Scheduler invokes with this role, and sends what it could not invoke to the queue. The emulator asks nobody.",
    ),
    NotShown(
        "ReportDue",
        "lambda:InvokeFunction sqs:SendMessage",
        "ReportWatch MissedReports",
        "As of DailyReport.",
    ),
    NotShown(
        "Deployments",
        "lambda:GetAlias lambda:UpdateAlias lambda:GetProvisionedConcurrencyConfig cloudwatch:DescribeAlarms",
        "*",
        "Only with `gradual_deployments`: CodeDeploy moves aliases with this role, and looks at alarms. The emulator "
        "has no CodeDeploy.",
    ),
    NotShown(
        "*",
        "lambda:InvokeFunction",
        "*Live",
        "Only with `gradual_deployments`: the caller names the function's alias instead of the function.",
    ),
    NotShown(
        "*",
        "s3:ListBucket",
        "Images",
        "With it a missing object is a 404, without it a 403 (Amazon S3 API Reference, GetObject). The emulator's is "
        "always a 404.",
        condition="StringLikeIfExists s3:prefix=ingest/[*],?*/[*]",
    ),
    NotShown(
        "ReportWatch",
        "s3:ListBucket",
        "SalesReports",
        "As of Images.",
        condition="StringLikeIfExists s3:prefix=mailed/[*]",
    ),
    NotShown(
        "*",
        "rds-db:connect",
        "rds-db:dbuser:DatabaseInstance.DbiResourceId/sales_*",
        "Signs in to the database where `database_sign_in` is `iam`. Stage `local` signs in by password.",
    ),
    NotShown(
        "ApiGatewayLogs",
        "iam:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs",
        "*",
        "API Gateway writes its logs with the account's one role, by the policy that AWS prescribes.",
    ),
)


def reason(grant: Grant) -> str | None:
    """Why the local cloud cannot show the grant in use; None where it can."""
    return next((line.reason for line in NOT_SHOWN if line.has(grant)), None)


def superfluous(grants: Iterable[Grant]) -> list[NotShown]:
    """The lines that none of the grants needs."""
    found = list(grants)
    return [line for line in NOT_SHOWN if not any(line.has(grant) for grant in found)]
