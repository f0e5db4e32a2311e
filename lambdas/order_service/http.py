"""Requests and answers of API Gateway's Lambda proxy integration (Amazon API Gateway, "Lambda proxy integrations")."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, unquote

from order_service.documents import decode, encode
from order_service.problems import Problem, refuse
from shared.api_event import body_of

_LARGEST_ANSWER_BYTES: Final = 6 * 1024 * 1024 - 64 * 1024
"""AWS Lambda quotas: 6 MB for a synchronous answer; some of it is for what surrounds the body."""
_SURELY_FITS: Final = _LARGEST_ANSWER_BYTES // 2
"""The answer holds the body as a JSON string, in which a byte of JSON text takes at most two."""


@dataclass(frozen=True)
class Request:
    """A request as the service reads it."""

    request_id: str
    method: str
    resource: str
    item_id: str
    headers: Mapping[str, str]
    """By lower-case name."""
    query: Mapping[str, list[str]]
    body: str


@dataclass(frozen=True)
class Response:
    """An answer; without a document the body is empty."""

    status: HTTPStatus
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


def read_request(event: Mapping[str, Any]) -> Request:
    """The request that an event of API Gateway holds; raises Problem for a body or path that is not UTF-8."""
    path = event.get("pathParameters") or {}
    return Request(
        request_id=event["requestContext"]["requestId"],
        method=event["httpMethod"],
        resource=event["resource"],
        item_id=_decoded_id(path.get("id", "")),
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        query=event.get("multiValueQueryStringParameters") or {},
        body=_body(event),
    )


def to_event(response: Response) -> dict[str, Any]:
    """The answer in the form that API Gateway takes; raises Problem for one that is too large for Lambda."""
    has_document = response.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    body = encode(response.document).decode() if has_document else ""
    if not fits(len(body.encode())) and len(json.dumps(body)) > _LARGEST_ANSWER_BYTES:
        raise refuse("payload", f"makes an answer of more than {_LARGEST_ANSWER_BYTES:,} bytes")
    content_type = {"Content-Type": "application/json"} if has_document else {}
    return {
        "statusCode": response.status.value,
        "headers": {**content_type, **response.headers},
        "body": body,
    }


def fits(size: int) -> bool:
    """Whether JSON text of so many bytes surely fits into an answer."""
    return size <= _SURELY_FITS


def location(item_id: str, *, beside: bool) -> dict[str, str]:
    """The header that leads to an item, relative to the request's own URL, which the service does not know.

    `beside` is for requests whose URL is that of an item already (RFC 9110, section 10.2.2).
    """
    # Bare, these would mean "here" and "up" (RFC 3986, section 5.2.4).
    name = item_id.replace(".", "%2E") if item_id in {".", ".."} else quote(item_id, safe="")
    return {"Location": name if beside else f"order/{name}"}


def _decoded_id(text: str) -> str:
    """REST APIs hand path parameters over as they were sent, percent-encoded."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise refuse("id in the path", "is not percent-encoded UTF-8") from error


def _body(event: Mapping[str, Any]) -> str:
    try:
        return body_of(event)
    except ValueError as error:
        raise Problem("invalid_json", "the body is not UTF-8") from error


def document_of(request: Request) -> Any:
    """The JSON value in the request's body; raises Problem (`invalid_json`)."""
    if not request.body.strip():
        raise Problem("invalid_json", "the body is empty; it must be a JSON object")
    return decode(request.body)
