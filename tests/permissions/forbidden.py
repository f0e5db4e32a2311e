"""What roles must not do: each is tried by every role. It has to be denied to all but those that it is for.

Destructive calls name things that are not there where that is enough for a decision.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from tests.permissions.shop import Shop

Clients = Callable[[str], Any]
Call = Callable[[Shop, Clients], object]
_DENIALS: Final = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
_NOTHING: Final = "nothing-has-this-name"
_EVERYBODY: Final = frozenset[str]()


@dataclass(frozen=True)
class Attempt:
    """One thing to do; `may` has the roles that it is for, to which it must not be denied."""

    what: str
    call: Call
    may: frozenset[str] = _EVERYBODY


def _calls(service: str, method: str, where: Callable[[Shop], dict[str, Any]], **more: Any) -> Call:
    """A method of a service's client with the parameters that `where` finds in the deployment, and more."""

    def call(shop: Shop, clients: Clients) -> object:
        return getattr(clients(service), method)(**where(shop), **more)

    return call


def is_denied(attempt: Attempt, shop: Shop, clients: Clients) -> bool:
    """Whether it is refused for want of a right, and for nothing else."""
    try:
        attempt.call(shop, clients)
    except ClientError as error:
        return error.response["Error"]["Code"] in _DENIALS
    return False


def attempts() -> list[Attempt]:
    """All that is tried."""
    return [
        *_on_table("the orders table", "orderID", lambda shop: shop.pipeline.outputs["OrdersTableName"]),
        Attempt("insert into the orders table by PartiQL", _insert_order, frozenset({"OrderProcessor"})),
        Attempt("read orders of the orders table by key", _read_orders, frozenset({"OrderProcessor"})),
        *_on_table("the order service's table", "id", lambda shop: shop.order_service.table, {"OrderService"}),
        *_on_all_queues(),
        *_on_topics(),
        *_on_secrets(),
        *_on_objects(),
        *_on_functions(),
        *_on_the_account(),
    ]


def _on_table(name: str, key: str, table: Callable[[Shop], str], owners: set[str] | None = None) -> Iterator[Attempt]:
    value = {key: {"S": _NOTHING}}
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "scan": ("scan", {"Limit": 1}),
        "read an item of": ("get_item", {"Key": value}),
        "put an item into": ("put_item", {"Item": value}),
        "change an item of": ("update_item", {"Key": value}),
        "delete an item of": ("delete_item", {"Key": value}),
    }
    for what, (method, parameters) in calls.items():
        yield Attempt(
            f"{what} {name}",
            _calls("dynamodb", method, lambda shop: {"TableName": table(shop)}, **parameters),
            frozenset(owners or ()),
        )
    yield Attempt(
        f"query {name}",
        lambda shop, clients: clients("dynamodb").query(
            TableName=table(shop),
            KeyConditionExpression="#k = :k",
            ExpressionAttributeNames={"#k": key},
            ExpressionAttributeValues={":k": {"S": _NOTHING}},
        ),
    )


def _insert_order(shop: Shop, clients: Clients) -> object:
    table = shop.pipeline.outputs["OrdersTableName"]
    return clients("dynamodb").execute_statement(Statement=f"INSERT INTO \"{table}\" VALUE {{'orderID': '{_NOTHING}'}}")


def _read_orders(shop: Shop, clients: Clients) -> object:
    keys = {shop.pipeline.outputs["OrdersTableName"]: {"Keys": [{"orderID": {"S": _NOTHING}}]}}
    return clients("dynamodb").batch_get_item(RequestItems=keys)


_QUEUES: Final = {
    "OrdersQueue": ("order-pipeline", {"OrderSimulator", "OrdersApi"}, {"OrderProcessor"}),
    "OrdersDeadLetters": ("order-pipeline", set[str](), set[str]()),
    "UnannouncedOrders": ("order-pipeline", {"OrderNotifier"}, set[str]()),
    "FailedReports": ("sales-report", {"SalesReport"}, set[str]()),
    "MissedReports": ("sales-report", {"DailyReport", "ReportDue"}, set[str]()),
    "SalesQueue": ("sales-report", set[str](), {"SalesRecorder"}),
    "SalesDeadLetters": ("sales-report", set[str](), set[str]()),
    "ThumbnailQueue": ("image-fanout", set[str](), {"CreateThumbnail"}),
    "MobileQueue": ("image-fanout", set[str](), {"CreateMobileImage"}),
}
"""System, who sends, and who receives."""


def _on_all_queues() -> Iterator[Attempt]:
    for queue, (system, senders, receivers) in _QUEUES.items():
        url = _parameter("QueueUrl", system, queue, "AWS::SQS::Queue")
        send = _calls("sqs", "send_message", url, MessageBody=_NOTHING)
        yield Attempt(f"send to {queue}", send, frozenset(senders))
        yield Attempt(f"receive from {queue}", _calls("sqs", "receive_message", url), frozenset(receivers))
        yield Attempt(f"purge {queue}", _calls("sqs", "purge_queue", url))
        yield Attempt(f"delete {queue}", _calls("sqs", "delete_queue", url))


def _parameter(name: str, system: str, construct: str, resource_type: str) -> Callable[[Shop], dict[str, Any]]:
    """A parameter that is what CloudFormation knows a resource by."""
    return lambda shop: {name: shop.named(system, construct, resource_type)}


_TOPICS: Final = {
    "OrderTopic": ("order-pipeline", {"OrderNotifier"}),
    "AlarmsTopic": ("order-pipeline", set[str]()),
    "SalesReportTopic": ("sales-report", {"SalesReport"}),
    "ResizeTopic": ("image-fanout", set[str]()),
}


def _on_topics() -> Iterator[Attempt]:
    for topic, (system, publishers) in _TOPICS.items():
        arn = _parameter("TopicArn", system, topic, "AWS::SNS::Topic")
        yield Attempt(
            f"publish on {topic} of {system}", _calls("sns", "publish", arn, Message=_NOTHING), frozenset(publishers)
        )


def _on_secrets() -> Iterator[Attempt]:
    secrets: dict[str, tuple[Callable[[Shop], dict[str, Any]], set[str]]] = {
        "the database's master user": (
            lambda shop: {"SecretId": shop.sales_report.outputs["DatabaseSecretArn"]},
            {"DatabaseSetup"},
        ),
        "the extractor's user": (
            lambda shop: {"SecretId": shop.sales_report.extractor_secret},
            {"DatabaseSetup", "SalesReport"},
        ),
        "the recorder's user": (
            lambda shop: {"SecretId": shop.sales_report.recorder_secret},
            {"DatabaseSetup", "SalesRecorder"},
        ),
    }
    for name, (arn, readers) in secrets.items():
        call = _calls("secretsmanager", "get_secret_value", arn)
        yield Attempt(f"read the secret of {name}", call, frozenset(readers))
    yield Attempt(
        "read the database's connection parameters",
        lambda shop, clients: clients("ssm").get_parameters_by_path(Path=shop.sales_report.parameter_path),
        frozenset({"SalesReport"}),
    )
    yield Attempt(
        "change the database's connection parameters",
        lambda shop, clients: clients("ssm").put_parameter(
            Name=f"{shop.sales_report.parameter_path}{_NOTHING}", Value=_NOTHING, Type="String"
        ),
    )


_OBJECTS: Final = {
    ("images", "ingest/"): ({"CreateThumbnail", "CreateMobileImage"}, set[str]()),
    ("images", "thumbnail/"): ({"CreateThumbnail"}, {"CreateThumbnail"}),
    ("images", "mobile/"): ({"CreateMobileImage"}, {"CreateMobileImage"}),
    ("images", ""): (set[str](), set[str]()),
    ("reports", "reports/"): (set[str](), {"SalesReport"}),
    ("reports", "mailed/"): ({"ReportWatch"}, {"SalesReport"}),
    ("reports", ""): (set[str](), set[str]()),
}
"""By bucket and prefix: who reads, and who writes."""


_LISTINGS: Final = {
    ("images", ""): {"CreateThumbnail", "CreateMobileImage"},
    ("images", "ingest/"): {"CreateThumbnail", "CreateMobileImage"},
    ("images", "thumbnail/"): {"CreateThumbnail"},
    ("images", "mobile/"): {"CreateMobileImage"},
    ("reports", ""): {"ReportWatch"},
    ("reports", "mailed/"): {"ReportWatch"},
    ("reports", "reports/"): set[str](),
}
"""Who lists, by bucket and prefix; why a whole bucket: docs/security.md, "What is wider than it should be"."""


def _on_objects() -> Iterator[Attempt]:
    for (bucket, prefix), (readers, writers) in _OBJECTS.items():
        where, key = f"{prefix or 'no prefix'} in the bucket of {bucket}", _key(bucket, prefix)
        yield Attempt(f"read an object under {where}", _calls("s3", "get_object", key), frozenset(readers))
        yield Attempt(f"write an object under {where}", _calls("s3", "put_object", key, Body=b""), frozenset(writers))
        yield Attempt(f"delete an object under {where}", _calls("s3", "delete_object", key))
    for (bucket, prefix), listers in _LISTINGS.items():
        call = _calls("s3", "list_objects_v2", _listing(bucket, prefix))
        yield Attempt(f"list {prefix or 'all'} of the bucket of {bucket}", call, frozenset(listers))
    yield Attempt(
        "set the notifications of the bucket of images",
        lambda shop, clients: clients("s3").put_bucket_notification_configuration(
            Bucket=shop.images.bucket, NotificationConfiguration={}
        ),
        frozenset({"NotificationsFunction"}),
    )
    yield Attempt(
        "remove the policy of the bucket of images",
        lambda shop, clients: clients("s3").delete_bucket_policy(Bucket=shop.images.bucket),
    )
    yield Attempt("list all buckets", lambda _, clients: clients("s3").list_buckets())


def _key(bucket: str, prefix: str) -> Callable[[Shop], dict[str, Any]]:
    return lambda shop: {"Bucket": _bucket(shop, bucket), "Key": f"{prefix}{_NOTHING}"}


def _listing(bucket: str, prefix: str) -> Callable[[Shop], dict[str, Any]]:
    return lambda shop: {"Bucket": _bucket(shop, bucket)} | ({"Prefix": prefix} if prefix else {})


def _bucket(shop: Shop, name: str) -> str:
    return shop.images.bucket if name == "images" else shop.sales_report.bucket


_FUNCTIONS: Final = {
    "OrderProcessor": ("order-pipeline", set[str]()),
    "OrderService": ("order-service", set[str]()),
    "SalesReport": ("sales-report", {"SalesReportApi", "DailyReport"}),
    "SalesDataExtractor": ("sales-report", {"SalesReport"}),
    "DatabaseMigrator": ("sales-report", {"DatabaseSetup"}),
}


def _on_functions() -> Iterator[Attempt]:
    for function, (system, callers) in _FUNCTIONS.items():
        name = _parameter("FunctionName", system, function, "AWS::Lambda::Function")
        yield Attempt(f"invoke {function}", _calls("lambda", "invoke", name, Payload=b"{}"), frozenset(callers))
    yield Attempt(
        "change a function",
        lambda shop, clients: clients("lambda").update_function_configuration(
            FunctionName=shop.function("order-pipeline", "OrderProcessor"), Description=_NOTHING
        ),
    )


def _on_the_account() -> Iterator[Attempt]:
    yield Attempt("make a user", lambda _, clients: clients("iam").create_user(UserName=_NOTHING))
    yield Attempt("list the roles", lambda _, clients: clients("iam").list_roles())
    yield Attempt(
        "give a role a policy",
        lambda shop, clients: clients("iam").put_role_policy(
            RoleName=shop.policies[0].role,
            PolicyName=_NOTHING,
            PolicyDocument='{"Version": "2012-10-17", "Statement": []}',
        ),
    )
    yield Attempt(
        "take on another role",
        lambda shop, clients: clients("sts").assume_role(
            RoleArn=f"arn:aws:iam::{shop.cloud.account_id}:role/{shop.policies[0].role}", RoleSessionName=_NOTHING
        ),
    )
    yield Attempt("delete a stack", lambda _, clients: clients("cloudformation").delete_stack(StackName=_NOTHING))
    yield Attempt(
        "delete a database",
        lambda _, clients: clients("rds").delete_db_instance(DBInstanceIdentifier=_NOTHING, SkipFinalSnapshot=True),
    )
    yield Attempt(
        "delete a key",
        lambda shop, clients: clients("kms").schedule_key_deletion(
            KeyId=shop.named("order-pipeline", "TopicKey", "AWS::KMS::Key")
        ),
    )
    yield Attempt("list the keys", lambda _, clients: clients("kms").list_keys())
    # The account's role for API Gateway's logs has the policy that AWS prescribes, which is on all log groups.
    logs = frozenset({"ApiGatewayLogs"})
    yield Attempt("make a log group", lambda _, clients: clients("logs").create_log_group(logGroupName=_NOTHING), logs)
    yield Attempt(
        "read a log",
        lambda shop, clients: clients("logs").filter_log_events(
            logGroupName=shop.named("order-pipeline", "OrderProcessorLogs", "AWS::Logs::LogGroup")
        ),
        logs,
    )
    yield Attempt("delete an alarm", lambda _, clients: clients("cloudwatch").delete_alarms(AlarmNames=[_NOTHING]))
