"""Starts the sales report of a day by request; who gets the report's mails sees what became of it."""

import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from botocore.exceptions import BotoCoreError, ClientError

from shared.api_event import body_of
from shared.aws import error_code, make_client
from shared.log import logger
from shared.shop_days import parse_day, today
from shared.times import Context

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_NOT_STARTED: Final = "the report could not be started; the function's log has the reason under this request id"

_lambda: "LambdaClient" = make_client("lambda")


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:  # noqa: ARG001 (Lambda passes it)
    """Answers one request of API Gateway's Lambda proxy integration: 202 with the day, 400 or 500 with an error."""
    try:
        day = _read_date(body_of(event)) or today(ZoneInfo(os.environ["SHOP_TIME_ZONE"])).isoformat()
    except ValueError as error:
        return _answer(HTTPStatus.BAD_REQUEST, {"error": "bad_request", "message": str(error)})
    request_id = event["requestContext"]["requestId"]
    try:
        # The day goes along, so that a start before and a run after midnight are of the same one.
        _lambda.invoke(
            FunctionName=os.environ["SALES_REPORT_FUNCTION_NAME"],
            InvocationType="Event",
            Payload=json.dumps({"date": day}).encode(),
        )
    except (ClientError, BotoCoreError) as error:
        logger.error("report not started", extra={"api_request_id": request_id, "error": error_code(error)})
        document = {"error": "internal_error", "message": _NOT_STARTED, "requestId": request_id}
        return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, document)
    logger.info("report started", extra={"api_request_id": request_id, "date": day})
    return _answer(HTTPStatus.ACCEPTED, {"date": day})


def _read_date(body: str) -> str | None:
    """The `date` of a body, None where it has none; raises ValueError for a body or date that breaks its rule."""
    if not body.strip():
        return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("body: is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("body: is not a JSON object")  # noqa: TRY004 (the data is wrong, not the call)
    return parse_day(document["date"]).isoformat() if "date" in document else None


def _answer(status: HTTPStatus, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status.value,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(document),
    }
