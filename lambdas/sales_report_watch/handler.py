"""Fails where the sales report of a day was not mailed, so that the alarm on this function's errors calls a person.

A report that fails raises an alarm by itself. This is for all other ways in which none comes: its schedule is gone or
disabled, or its run neither ended nor failed.
"""

import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from botocore.exceptions import ClientError

from shared.aws import Config, make_client
from shared.log import logger
from shared.report_days import mailed_key, read_day
from shared.times import Context

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONFIG: Final = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})

_s3: "S3Client" = make_client("s3", _CONFIG)


class ReportNotSent(RuntimeError):
    """The report of a day was not mailed; the text says which."""


def handler(event: Mapping[str, Any] | None, context: Context) -> dict[str, str]:  # noqa: ARG001 (Lambda passes it)
    """Looks whether the report of a day (`report_days.read_day` says which) was mailed; returns the day.

    Raises:
        ReportNotSent: it was not.
        InvalidEvent: the event asks for no day.
        ClientError: S3 refused to say.
    """
    day = read_day(event, ZoneInfo(os.environ["SHOP_TIME_ZONE"]))
    if not _exists(os.environ["SALES_REPORTS_BUCKET"], mailed_key(day)):
        raise ReportNotSent(f"the sales report of {day} has not been mailed: there is no {mailed_key(day)}")
    logger.info("report was mailed", extra={"date": day.isoformat()})
    return {"date": day.isoformat()}


def _exists(bucket: str, key: str) -> bool:
    try:
        _s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        # The answer to HEAD has no body, so the SDK has no other name for a missing key than the status.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True
