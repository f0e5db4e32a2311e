"""Makes the sales report of one day, keeps it as CSV and mails it.

What fails before the mail fails the run, so that Lambda repeats it and the alarm tells somebody: there is no report
that is empty for any other reason than a day without orders. The mail goes last, so that a repeated run does not mail
twice what it failed on. After it there is only a note that the day's report was mailed, for the function that watches
over that (`sales_report_watch`).
"""

import functools
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from botocore.exceptions import BotoCoreError, ClientError

from sales_report.connection import read_parameters, read_password
from sales_report.extractor import extract
from sales_report.sales import Sale, to_csv
from sales_report.text import SUBJECT, Source, report_text
from shared.aws import Config, error_code, make_client
from shared.log import logger
from shared.metrics import measures
from shared.report_days import mailed_key, read_day
from shared.shop_days import today
from shared.times import Context

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

_CONFIG: Final = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
_EXTRACTOR_CONFIG: Final = Config(
    connect_timeout=2, read_timeout=900, tcp_keepalive=True, retries={"total_max_attempts": 1}
)
"""Waits for as long as any function may run (Lambda quotas, "Function timeout"), so that the extractor always ends
first and says why; and asks once, because a second query beside the first would slow both."""
_LOCAL_STAGE: Final = "local"
"""What `python -m shop` works on unless told otherwise."""

_ssm: "SSMClient" = make_client("ssm", _CONFIG)
_lambda: "LambdaClient" = make_client("lambda", _EXTRACTOR_CONFIG)
_s3: "S3Client" = make_client("s3", _CONFIG)
_sns: "SNSClient" = make_client("sns", _CONFIG)


def handler(event: Mapping[str, Any] | None, context: Context) -> dict[str, Any]:  # noqa: ARG001 (Lambda passes it)
    """Makes and mails the report of a day (`report_days.read_day` says which); returns its figures, CSV key and text.

    Raises:
        InvalidEvent: the event asks for no day.
        ReportFailed: the extractor failed, or what it needs to know is missing.
        ClientError: another service refused.
    """
    zone = ZoneInfo(os.environ["SHOP_TIME_ZONE"])
    day = read_day(event, zone)
    sales = extract(_lambda, os.environ["EXTRACTOR_FUNCTION_NAME"], _request(day))
    key = f"reports/{day.isoformat()}.csv"
    text = report_text(sales, Source(day, zone.key, key, _fetch_command(day)))
    _keep(key, sales)
    _sns.publish(TopicArn=os.environ["SALES_REPORT_TOPIC_ARN"], Subject=SUBJECT, Message=text)
    figures = {"date": day.isoformat(), "products": len(sales), "quantity": sum(sale.quantity for sale in sales)}
    logger.info("report mailed", extra={**figures, **measures(ReportsMailed=1)})
    if day < today(zone):
        _note_as_mailed(day, figures)
    return {"statusCode": 200, **figures, "csv": key, "message": text}


def _request(day: date) -> dict[str, str]:
    request = read_parameters(_ssm, os.environ["DB_PARAMETER_PATH"]) | {"date": day.isoformat()}
    secret = os.environ.get("EXTRACTOR_SECRET_ARN")
    return request if secret is None else request | {"dbPassword": read_password(_secrets(), secret)}


@functools.cache
def _secrets() -> "SecretsManagerClient":
    """Made when it is first needed, because with IAM tokens it never is."""
    client: SecretsManagerClient = make_client("secretsmanager", _CONFIG)
    return client


def _keep(key: str, sales: Sequence[Sale]) -> None:
    bucket = os.environ["SALES_REPORTS_BUCKET"]
    _s3.put_object(Bucket=bucket, Key=key, Body=to_csv(sales), ContentType="text/csv; charset=utf-8")


def _note_as_mailed(day: date, figures: Mapping[str, Any]) -> None:
    """Notes that the report of a whole day went out. A failure is logged only: a repeated run would mail twice."""
    note = json.dumps({"mailed_at": datetime.now(UTC).isoformat(timespec="seconds"), **figures})
    bucket, key = os.environ["SALES_REPORTS_BUCKET"], mailed_key(day)
    try:
        _s3.put_object(Bucket=bucket, Key=key, Body=note.encode(), ContentType="application/json")
    except (ClientError, BotoCoreError) as error:
        logger.error("report mailed and not noted", extra={"date": day.isoformat(), "error_code": error_code(error)})


def _fetch_command(day: date) -> str:
    stage = os.environ["SHOP_STAGE"]
    option = "" if stage == _LOCAL_STAGE else f" --stage {stage}"
    return f"python -m shop report get {day.isoformat()}{option}"
