"""What the systems do for their users, each as a scenario that can be started, and told when it is done."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError

from shop.local.clients import client
from tests.integration.images import SIZES, picture
from tests.permissions.shop import Shop
from tests.polling import eventually

AT_DEPLOYMENT: Final = "the stacks are deployed"
_LAST_SEQUENCER: Final = "F" * 16
_ANSWERS: Final = "proof-of-permissions-answers"


@dataclass(frozen=True)
class Scenario:
    """`begin` does what starts it and gives what it is known by; `done` tells whether all of it has happened."""

    name: str
    begin: Callable[[Shop], Any]
    done: Callable[[Shop, Any], bool]
    retried: bool = False
    """Whether what failed for want of a right is done later without anybody's asking."""


@dataclass(frozen=True)
class TakenAway:
    """A role's permission, without which a scenario must fail."""

    system: str
    role: str
    action: str
    scenario: Scenario


def _new(name: str) -> str:
    return f"{name}-{secrets.token_hex(4)}"


def _order(order_id: str) -> str:
    return json.dumps({"orderID": order_id, "product": "Caffè Latte", "quantity": 2, "price_per_item": 3.5})


def _post_order(shop: Shop) -> str:
    order_id = _new("order")
    assert shop.pipeline.post(_order(order_id)).status == 202
    return order_id


def _is_order_everywhere(shop: Shop, order_id: str) -> bool:
    recorded = "SELECT id FROM orders WHERE order_key = %s"
    return bool(
        shop.pipeline.stored(order_id) and shop.pipeline.mails(order_id) and shop.sales_report.query(recorded, order_id)
    )


def _post_order_twice(shop: Shop) -> str:
    order_id = _post_order(shop)
    eventually(lambda: _is_order_everywhere(shop, order_id))
    assert shop.pipeline.post(_order(order_id)).status == 202
    return order_id


def _is_queue_empty(shop: Shop, order_id: str) -> bool:
    waiting = (*shop.pipeline.queued().values(), *shop.pipeline.dead_letters().values())
    return not any(order_id in body for body in waiting)


def _simulate(shop: Shop) -> Any:
    return shop.sales_report.client("lambda").invoke(
        FunctionName=shop.pipeline.outputs["OrderSimulatorFunctionName"],
        Payload=json.dumps({"count": 2, "error_rate": 0, "seed": 7}),
    )


def _succeeded(_: Shop, answer: Any) -> bool:
    return "FunctionError" not in answer


def _on_item(operation: str, **payload: Any) -> Callable[[Shop], int]:
    """An operation of the order service on an item that is there; its status."""

    def begin(shop: Shop) -> int:
        item_id = _new("item")
        shop.order_service.fill([item_id])
        return shop.order_service.run(operation, {"Key": {"id": item_id}, **payload}).status

    return begin


def _create(shop: Shop) -> int:
    return shop.order_service.run("create", {"Item": {"id": _new("item")}}).status


def _list(shop: Shop) -> int:
    return shop.order_service.run("list", {"Limit": 1}).status


def _is_good(_: Shop, status: int) -> bool:
    return 200 <= status < 300


def _day() -> str:
    """A day that is over, without orders, and most probably nobody else's."""
    return (date(1800, 1, 1) + timedelta(days=secrets.randbelow(50_000))).isoformat()


def _report(shop: Shop) -> str:
    day = _day()
    shop.sales_report.invoke("SalesReportFunctionName", {"date": day})
    return day


def _report_by_request(shop: Shop) -> str:
    day = _day()
    shop.sales_report.post(json.dumps({"date": day}))
    return day


def _is_mailed(shop: Shop, day: str) -> bool:
    return bool(shop.sales_report.mails(day))


def _watch(shop: Shop) -> Any:
    day = _report(shop)
    function = shop.function("sales-report", "ReportWatch")
    return shop.client("lambda").invoke(FunctionName=function, Payload=json.dumps({"date": day}))


def _upload(shop: Shop) -> str:
    name = f"{_new('image')}.jpg"
    shop.images.put(name, picture())
    return name


def _has_all_sizes(shop: Shop, name: str) -> bool:
    return len(shop.images.results(name)) == len(SIZES)


def _notify_of_old_version(shop: Shop) -> tuple[str, str]:
    """An event that names a version which lies under a newer one, as when events come late."""
    name = f"{_new('image')}.jpg"
    versions = []
    for width in (400, 500):
        versions.append(shop.images.put(name, picture(width)))
        eventually(lambda: _are_of_version(shop, (name, versions[-1])), timeout=60)
    shop.images.publish(shop.images.event(name, version=versions[0], sequencer=_LAST_SEQUENCER))
    return name, versions[0]


def _are_of_version(shop: Shop, wanted: tuple[str, str]) -> bool:
    name, version = wanted
    results = shop.images.results(name)
    return len(results) == len(SIZES) and all(
        stored.metadata.get("source-version") == version for stored in results.values()
    )


def _notify_of_missing(shop: Shop) -> str:
    """An event of an object that nobody has uploaded."""
    name = f"{_new('missing')}.jpg"
    shop.images.publish(shop.images.event(name, version=None, sequencer=_LAST_SEQUENCER))
    return name


def _is_acknowledged(shop: Shop, name: str) -> bool:
    """Whether each function has logged that there is nothing to do, which takes the message off its queue."""
    return all(any(name in line for line in shop.images.log(prefix)) for prefix in SIZES)


def _ask_for_custom_resource(function: str, system: str, resource_type: str) -> Callable[[Shop], str]:
    """Asks a custom resource's function for an update as CloudFormation does, for the properties that it has."""

    def begin(shop: Shop) -> str:
        s3 = client(shop.cloud, "s3", Config(signature_version="s3v4"))
        s3.create_bucket(Bucket=_ANSWERS)
        answer = _new("answer")
        event = {
            "RequestType": "Update",
            "ResponseURL": s3.generate_presigned_url("put_object", Params={"Bucket": _ANSWERS, "Key": answer}),
            "StackId": "proof",
            "RequestId": answer,
            "LogicalResourceId": resource_type,
            "PhysicalResourceId": resource_type,
            "ResourceProperties": _custom_resource_properties(shop),
        }
        shop.client("lambda").invoke(
            FunctionName=shop.function(system, function), InvocationType="Event", Payload=json.dumps(event)
        )
        return answer

    return begin


def _custom_resource_properties(shop: Shop) -> dict[str, Any]:
    """Those of the bucket's notifications; the migration has none that its function reads."""
    bucket = shop.images.bucket
    [found] = shop.client("s3").get_bucket_notification_configuration(Bucket=bucket)["TopicConfigurations"]
    rules = {rule["Name"].lower(): rule["Value"] for rule in found["Filter"]["Key"]["FilterRules"]}
    return {
        "BucketName": bucket,
        "TopicArn": found["TopicArn"],
        "Prefix": rules["prefix"],
        "Suffixes": [rules["suffix"]],
    }


def _is_answered(shop: Shop, answer: str) -> bool:
    try:
        body = shop.client("s3").get_object(Bucket=_ANSWERS, Key=answer)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return False
    return bool(json.loads(body)["Status"] == "SUCCESS")


_ORDER: Final = Scenario(
    "an order is posted, stored, announced and recorded", _post_order, _is_order_everywhere, retried=True
)
_SIMULATED: Final = Scenario("the simulator sends orders", _simulate, _succeeded)
_READ: Final = Scenario("the order service reads an order", _on_item("read"), _is_good)
_REPORT: Final = Scenario("a sales report is made", _report, _is_mailed)
_WATCHED: Final = Scenario("a mailed report is looked for", _watch, _succeeded)
_REQUESTED: Final = Scenario("a sales report is asked for by POST /report", _report_by_request, _is_mailed)
_IMAGE: Final = Scenario("an image is uploaded and made in each size", _upload, _has_all_sizes, retried=True)
_NOTIFICATIONS: Final = Scenario(
    "the bucket's notifications are set anew",
    _ask_for_custom_resource("NotificationsFunction", "image-fanout", "Custom::BucketNotifications"),
    _is_answered,
)
_MIGRATION: Final = Scenario(
    "the database is migrated anew",
    _ask_for_custom_resource("DatabaseSetup", "sales-report", "Custom::DatabaseMigration"),
    _is_answered,
)

SCENARIOS: Final = (
    _ORDER,
    Scenario("an order is sent a second time", _post_order_twice, _is_queue_empty),
    _SIMULATED,
    Scenario("the order service creates an order", _create, _is_good),
    _READ,
    Scenario(
        "the order service changes an order",
        _on_item("update", UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": 2}),
        _is_good,
    ),
    Scenario("the order service deletes an order", _on_item("delete"), _is_good),
    Scenario("the order service lists orders", _list, _is_good),
    _REPORT,
    _WATCHED,
    _REQUESTED,
    _IMAGE,
    Scenario("an event names an older version of an image", _notify_of_old_version, _are_of_version),
    Scenario("an event names an image that is gone", _notify_of_missing, _is_acknowledged),
    _NOTIFICATIONS,
    _MIGRATION,
)
"""In the order in which they are run; a permission is listed with the first that uses it."""

TAKEN_AWAY: Final = (
    TakenAway("order-pipeline", "OrderProcessor", "dynamodb:PartiQLInsert", _ORDER),
    TakenAway("order-pipeline", "OrderNotifier", "sns:Publish", _ORDER),
    TakenAway("order-pipeline", "OrderSimulator", "sqs:SendMessage", _SIMULATED),
    TakenAway("order-service", "OrderService", "dynamodb:GetItem", _READ),
    TakenAway("sales-report", "SalesRecorder", "secretsmanager:GetSecretValue", _ORDER),
    TakenAway("sales-report", "SalesReport", "lambda:InvokeFunction", _REPORT),
    TakenAway("sales-report", "SalesReportApi", "lambda:InvokeFunction", _REQUESTED),
    TakenAway("sales-report", "ReportWatch", "s3:GetObject", _WATCHED),
    TakenAway("sales-report", "DatabaseSetup", "secretsmanager:GetSecretValue", _MIGRATION),
    TakenAway("image-fanout", "CreateThumbnail", "s3:PutObject", _IMAGE),
    TakenAway("image-fanout", "CreateMobileImage", "s3:GetObject", _IMAGE),
    TakenAway("image-fanout", "NotificationsFunction", "s3:PutBucketNotification", _NOTIFICATIONS),
)
"""One of each role that has any which the emulator decides about."""
