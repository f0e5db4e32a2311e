"""A CRUD service for orders: an operation envelope and REST routes over one table (`contract` has what they take)."""

import os
import traceback
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from order_service import envelope, resources
from order_service.contract import ROUTES
from order_service.http import Request, Response, read_request, to_event
from order_service.problems import Problem
from order_service.store import Table
from shared.aws import make_client
from shared.log import logger
from shared.times import Context

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_dynamodb: "DynamoDBClient" = make_client("dynamodb")

_RUN: Final[Mapping[str, Callable[[Request, Table], Response]]] = {
    "envelope": envelope.run,
    "list": resources.list_items,
    "read": resources.read,
    "put": resources.put,
    "patch": resources.patch,
    "delete": resources.delete,
}


def handler(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Answers one request of API Gateway's Lambda proxy integration."""
    try:
        request = read_request(event)
        table = Table(_dynamodb, os.environ["ORDER_SERVICE_TABLE"], context.get_remaining_time_in_millis)
        answer = to_event(_run(request, table))
    except Problem as problem:
        answer = _refusal(problem)
    except Exception as error:  # noqa: BLE001 (whatever it is, the client gets an answer and the log the rest)
        answer = _failure(error, event)
    if event.get("httpMethod") == "HEAD":
        answer["body"] = ""  # RFC 9110, section 9.3.2
    logger.info("request done", extra={"api_request_id": _request_id(event), "status": answer["statusCode"]})
    return answer


def _run(request: Request, table: Table) -> Response:
    method = "GET" if request.method == "HEAD" else request.method
    route = ROUTES.get((request.resource, method))
    if route is None:
        allowed = [name for resource, name in ROUTES if resource == request.resource]
        headers = {"Allow": ", ".join([*allowed, "HEAD"])}
        raise Problem("method_not_allowed", f"{request.method} is not one of {headers['Allow']}", headers)
    return _RUN[route](request, table)


def _refusal(problem: Problem) -> dict[str, Any]:
    document = {"error": problem.code, "message": problem.message}
    return to_event(Response(HTTPStatus(problem.status), document, problem.headers))


def _failure(error: Exception, event: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request that failed for a reason of ours: the client learns an id, the log has the reason.

    Not the error's own text, which may quote what a client sent, unless it is AWS's.
    """
    request_id = _request_id(event)
    reason = str(error) if hasattr(error, "response") else ""
    logger.error(
        "request failed",
        extra={
            "api_request_id": request_id,
            "error": type(error).__name__,
            "reason": reason,
            "stack": traceback.format_tb(error.__traceback__),
        },
    )
    message = "the request failed; the service's log has the reason under this request id"
    document = {"error": "internal_error", "message": message, "requestId": request_id}
    return to_event(Response(HTTPStatus.INTERNAL_SERVER_ERROR, document))


def _request_id(event: Mapping[str, Any]) -> str | None:
    context = event.get("requestContext")
    return context.get("requestId") if isinstance(context, dict) else None
