"""The plain lab's sales report: parameters one by one, the extractor, and one mail."""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import boto3

ssm = boto3.client("ssm")
functions = boto3.client("lambda")
sns = boto3.client("sns")


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 (Lambda calls it so)
    """Makes and mails the report of the event's `date`, else of today.

    Raises:
        ClientError: a service refused.
        KeyError: the extractor failed.
    """
    names = ("dbUrl", "dbName", "dbUser", "dbPassword")
    request = {name: _parameter(name) for name in names}
    request["date"] = event.get("date", datetime.now(UTC).date().isoformat())
    answer = functions.invoke(FunctionName=os.environ["EXTRACTOR_FUNCTION_NAME"], Payload=json.dumps(request).encode())
    sales = json.loads(answer["Payload"].read())["body"]
    message = _report(sales, request["date"])
    sns.publish(TopicArn=os.environ["SALES_REPORT_TOPIC_ARN"], Subject="Daily Sales Analysis Report", Message=message)
    return {"statusCode": 200, "body": "Sale Analysis Report sent."}


def _parameter(name: str) -> str:
    path = os.environ["DB_PARAMETER_PATH"]
    return ssm.get_parameter(Name=f"{path}{name}", WithDecryption=True)["Parameter"]["Value"]


def _report(sales: Sequence[Mapping[str, Any]], day: str) -> str:
    text = f"Sales Analysis Report\nDate: {day}\n"
    if not sales:
        return f"{text}\nThere were no orders today.\n"
    group = None
    for sale in sales:
        if sale["product_group_number"] != group:
            group = sale["product_group_number"]
            text += f"\nProduct Group: {sale['product_group_name']}\n\n{'Item Name':<40}{'Quantity':>10}\n"
        text += f"{sale['product_name']:<40}{sale['quantity']:>10}\n"
    return text
