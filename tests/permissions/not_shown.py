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
    """Permissions by patterns (`*` and `?`) of role, action and resource. `reason` is Markdown of one line."""

    role: str
    action: str
    resource: str
    reason: str

    def has(self, grant: Grant) -> bool:
        """Whether the grant is one of these."""
        pairs = ((grant.role, self.role), (grant.action, self.action), (grant.resource, self.resource))
        return all(fnmatchcase(text, pattern) for text, pattern in pairs)


NOT_SHOWN: Final = (
    NotShown(
        "*",
        "logs:*",
        "*",
        "Lambda delivers a function's logs with the function's role. The emulator writes them itself.",
    ),
    NotShown(
        "*",
        "xray:*",
        "*",
        "Lambda sends traces with the function's role, and X-Ray has no narrower resource. The emulator has no traces.",
    ),
    NotShown(
        "*",
        "ec2:*",
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
        "dynamodb:*",
        "OrdersTable*",
        "The event source mapping reads the stream with the reader's role. The emulator asks nobody.",
    ),
    NotShown(
        "*",
        "kms:*",
        "TopicKey",
        "SNS encrypts what is published with the publisher's right to the topic's key. The emulator encrypts nothing.",
    ),
    NotShown(
        "*",
        "kms:*",
        "DataKey",
        "Only with `customer_managed_keys`: the caller's right to the key of tables and queues.",
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
        "*",
        "*",
        "Scheduler invokes with this role, and sends what it could not invoke to the queue. The emulator asks nobody.",
    ),
    NotShown(
        "ReportDue",
        "*",
        "*",
        "As of DailyReport.",
    ),
    NotShown(
        "*",
        "s3:ListBucket",
        "*",
        "With it a missing object is a 404, without it a 403 (Amazon S3 API Reference, GetObject). The emulator's is "
        "always a 404.",
    ),
    NotShown(
        "*",
        "rds-db:connect",
        "*",
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
