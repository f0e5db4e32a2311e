"""The OpenAPI description of the order service, built from the tables by which the service works.

    PYTHONPATH=lambdas python -m shop.openapi FILE

OpenAPI 3.1, whose schemas are JSON Schema 2020-12. What no schema can say (whether an expression is well formed,
38 digits, the size of an item) stands in descriptions; the service refuses it with 400 all the same.
"""

import json
import sys
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from order_service import contract

Schema = dict[str, Any]

_JSON: Final = "application/json"
_LONGEST_EXPRESSION: Final = 4096
"""DynamoDB, "Constraints": an expression string has at most 4 KB."""
_NUMBER_LIMIT: Final = 9.99e125
"""DynamoDB, "Constraints": magnitudes from 1E-130 to 9.99…E+125, and zero."""
_SMALLEST_NUMBER: Final = 1e-130
_ENTITY_TAGS: Final = r'^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$'
"""`*` or a list of entity tags (RFC 9110, sections 8.8.3 and 13.1.1)."""
_FORBIDDEN, _TOO_LARGE, _BAD_REQUEST = "forbidden", "too_large", "bad_request"
_GATEWAY_ERRORS: Final = {
    _BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    _FORBIDDEN: HTTPStatus.FORBIDDEN,
    _TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}
"""Errors that API Gateway answers before the service is asked; the rest have the service's own codes."""
_ERRORS: Final = contract.ERRORS | _GATEWAY_ERRORS
_ANY_REQUEST: Final = (_BAD_REQUEST, "invalid_request", _FORBIDDEN, "throttled")
_ANY_BODY: Final = ("invalid_json", _TOO_LARGE)

_ORDER: Final = {
    "id": "1234ABCG",
    "price": 78.89,
    "product": "Beautiful Jacket",
    "order_date": "2024-11-04T10:30:00Z",
}
_FIELDS: Final = {name: value for name, value in _ORDER.items() if name != contract.KEY}
_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "create": {"Item": _ORDER},
    "read": {"Key": {"id": "1234ABCG"}},
    "update": {
        "Key": {"id": "1234ABCG"},
        "UpdateExpression": "SET price = :price",
        "ExpressionAttributeValues": {":price": 80.5},
    },
    "delete": {"Key": {"id": "1234ABCG"}},
    "list": {"Limit": 10},
    "echo": {"somekey1": "somevalue1"},
}
_OPERATION_SUMMARIES: Final = {
    "create": "Stores a new item; one that exists stays unless `overwrite` is true.",
    "read": "Gives the item with that key.",
    "update": "Changes an item that exists by a DynamoDB update expression and gives the new one.",
    "delete": "Removes an item and gives what it was.",
    "list": "Gives one page of items; `LastEvaluatedKey` leads to the next one.",
    "echo": "Gives the payload back.",
    "ping": 'Gives "pong".',
}


def description() -> Schema:
    """The whole OpenAPI document as JSON values; the same one at each call."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Order service",
            "version": "1.0.0",
            "description": (
                "Creates, reads, changes, deletes and lists orders: by an operation envelope (POST /order) or by "
                "resource. Numbers are exact decimals of up to 38 digits, in and out. A method that a path does not "
                "offer is answered 405, with the header Allow."
            ),
        },
        "servers": [
            {
                "url": "https://{host}/v1",
                "description": "The stack's output OrderServiceEndpoint is this URL with /order behind it.",
                "variables": {"host": {"default": "api-id.execute-api.eu-central-1.amazonaws.com"}},
            }
        ],
        "security": [{"sigv4": []}, {"api_key": []}, {"sigv4": [], "api_key": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": _security_schemes(),
            "parameters": _parameters(),
            "headers": _headers(),
            "schemas": _schemas(),
        },
    }


def text() -> str:
    """The document as the file in docs/ has it."""
    return json.dumps(description(), indent=2, ensure_ascii=False) + "\n"


# ---- paths


def _paths() -> Schema:
    paths: Schema = {contract.COLLECTION: {}, contract.RESOURCE: {"parameters": [_ref("parameters", "id")]}}
    for (path, method), what in contract.ROUTES.items():
        operation = _ROUTES[what]()
        paths[path][method.lower()] = operation
        if method == "GET":
            paths[path]["head"] = _without_body(operation)
    return paths


def _envelope_route() -> Schema:
    errors = (*_ANY_REQUEST, *_ANY_BODY, "unknown_operation", "not_found", "already_exists", "condition_failed")
    examples = {name: {"value": _example(name)} for name in _OPERATION_SUMMARIES}
    return {
        "operationId": "runOperation",
        "summary": "One operation of the envelope",
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": _ref("schemas", "Envelope"), "examples": examples}},
        },
        "responses": {
            "200": _answer("read, update, delete, list, echo, ping: what the operation gives", "OperationAnswer"),
            "201": _answer("create: the stored item", "CreateAnswer", "Location", "ETag"),
            **_refusals(errors),
        },
    }


def _list_route() -> Schema:
    return {
        "operationId": "listItems",
        "summary": "One page of items",
        "parameters": [_ref("parameters", name) for name in ("limit", "cursor")],
        "responses": {"200": _answer("A page; no cursor means that it is the last", "Page"), **_refusals(_ANY_REQUEST)},
    }


def _read_route() -> Schema:
    return {
        "operationId": "readItem",
        "summary": "The item with that id",
        "parameters": [_ref("parameters", "If-None-Match")],
        "responses": {
            "200": _answer("The item", "Item", "ETag"),
            "304": {"description": "The item is the one that the client has", "headers": _header_refs("ETag")},
            **_refusals((*_ANY_REQUEST, "not_found")),
        },
    }


def _put_route() -> Schema:
    return {
        "operationId": "putItem",
        "summary": "Creates or replaces the item with that id",
        "parameters": [_ref("parameters", "If-Match"), _ref("parameters", "If-None-Match-any")],
        "requestBody": _body("ItemToPut", _FIELDS),
        "responses": {
            "200": _answer("Replaced", "Item", "ETag"),
            "201": _answer("Created", "Item", "Location", "ETag"),
            **_refusals((*_ANY_REQUEST, *_ANY_BODY, "precondition_failed")),
        },
    }


def _patch_route() -> Schema:
    return {
        "operationId": "patchItem",
        "summary": "Sets the given fields of an item and removes those that are null (RFC 7396, top level only)",
        "parameters": [_ref("parameters", "If-Match")],
        "requestBody": _body("Patch", {"price": 80.5, "product": None}),
        "responses": {
            "200": _answer("The item as it is now", "Item", "ETag"),
            **_refusals((*_ANY_REQUEST, *_ANY_BODY, "not_found", "precondition_failed")),
        },
    }


def _delete_route() -> Schema:
    return {
        "operationId": "deleteItem",
        "summary": "Removes the item with that id",
        "parameters": [_ref("parameters", "If-Match")],
        "responses": {
            "204": {"description": "Removed"},
            **_refusals((*_ANY_REQUEST, "not_found", "precondition_failed")),
        },
    }


_ROUTES: Final = {
    "envelope": _envelope_route,
    "list": _list_route,
    "read": _read_route,
    "put": _put_route,
    "patch": _patch_route,
    "delete": _delete_route,
}


def _without_body(operation: Schema) -> Schema:
    """The HEAD operation that goes with a GET (RFC 9110, section 9.3.2)."""
    responses = {
        status: {name: value for name, value in response.items() if name != "content"}
        for status, response in operation["responses"].items()
    }
    return {
        **operation,
        "operationId": operation["operationId"] + "Head",
        "summary": operation["summary"] + ": status and headers",
        "responses": responses,
    }


def _body(schema: str, example: Schema) -> Schema:
    return {"required": True, "content": {_JSON: {"schema": _ref("schemas", schema), "example": example}}}


def _answer(what: str, schema: str, *headers: str) -> Schema:
    answer: Schema = {"description": what, "content": {_JSON: {"schema": _ref("schemas", schema)}}}
    return answer | ({"headers": _header_refs(*headers)} if headers else {})


def _header_refs(*names: str) -> Schema:
    return {name: _ref("headers", name) for name in names}


def _refusals(codes: Iterable[str]) -> Schema:
    """The error responses of an operation: each status with the codes that it can have there."""
    by_status: dict[HTTPStatus, list[str]] = {}
    for code in codes:
        by_status.setdefault(_ERRORS[code], []).append(code)
    refusals = {str(status.value): _refusal(status, sorted(found)) for status, found in sorted(by_status.items())}
    failure = {
        "description": "Failed for a reason that is in the service's log",
        "content": {_JSON: {"schema": _ref("schemas", "InternalError")}},
    }
    return {**refusals, "5XX": failure}


def _refusal(status: HTTPStatus, codes: list[str]) -> Schema:
    schema = {"allOf": [_ref("schemas", "Error"), {"properties": {"error": {"enum": codes}}}]}
    refusal: Schema = {"description": status.phrase, "content": {_JSON: {"schema": schema}}}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        refusal["headers"] = _header_refs("Retry-After")
    return refusal


# ---- components


def _security_schemes() -> Schema:
    return {
        "sigv4": {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "description": "AWS Signature Version 4, service execute-api.",
            "x-amazon-apigateway-authtype": "awsSigv4",
        },
        "api_key": {
            "type": "apiKey",
            "name": "x-api-key",
            "in": "header",
            "description": "Where the stage's setting order_service_authorization asks for one.",
        },
    }


def _parameters() -> Schema:
    entity_tags: Schema = {"type": "string", "pattern": _ENTITY_TAGS}
    return {
        "id": {
            "name": contract.KEY,
            "in": "path",
            "required": True,
            "description": f"The item's id, percent-encoded UTF-8; at most {contract.LONGEST_ID_BYTES} bytes.",
            "schema": _ref("schemas", "Id"),
            "example": _ORDER["id"],
        },
        "limit": {
            "name": "limit",
            "in": "query",
            "description": "How many items a page holds at most.",
            "schema": {
                "type": "integer",
                "minimum": 1,
                "maximum": contract.LARGEST_PAGE,
                "default": contract.DEFAULT_PAGE,
            },
        },
        "cursor": {
            "name": "cursor",
            "in": "query",
            "description": "The cursor of the page before, as it was given.",
            "schema": {"type": "string", "minLength": 1},
        },
        "If-Match": {
            "name": "If-Match",
            "in": "header",
            "description": "Does it only to the version with this ETag; `*` means any that exists (RFC 9110, 13.1.1).",
            "schema": entity_tags,
        },
        "If-None-Match": {
            "name": "If-None-Match",
            "in": "header",
            "description": "304 when the item has one of these ETags; `*` means any (RFC 9110, section 13.1.2).",
            "schema": entity_tags,
        },
        "If-None-Match-any": {
            "name": "If-None-Match",
            "in": "header",
            "description": "Only when there is no such item yet (RFC 9110, section 13.1.2).",
            "schema": {"const": "*"},
        },
    }


def _headers() -> Schema:
    return {
        "ETag": {
            "description": "Which version of the item this is; changes with each write.",
            "required": True,
            "schema": {"type": "string", "pattern": '^".*"$'},
        },
        "Location": {
            "description": "Where the item is: a reference relative to the URL of the request (RFC 9110, 10.2.2).",
            "required": True,
            "schema": {"type": "string", "format": "uri-reference"},
        },
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    }


def _schemas() -> Schema:
    envelopes = {_envelope_name(name): _envelope(name) for name in _OPERATION_SUMMARIES}
    return {
        "Id": {"type": "string", "minLength": 1, "maxLength": contract.LONGEST_ID_BYTES},
        **_value_schemas(),
        "Key": _object({contract.KEY: _ref("schemas", "Id")}, required=(contract.KEY,)),
        **_parameter_schemas(),
        "Envelope": {"oneOf": [_ref("schemas", name) for name in envelopes]},
        **envelopes,
        **_answer_schemas(),
        "Error": {
            **_object({"error": {"enum": sorted(_ERRORS)}, "message": {"type": "string"}}, ("error", "message")),
            "description": "`error` is stable and for programs, `message` is for people.",
        },
        "InternalError": _object(
            {"error": {"const": "internal_error"}, "message": {"type": "string"}, "requestId": {"type": "string"}},
            ("error", "message"),
        ),
    }


def _value_schemas() -> Schema:
    """Items and what they are made of."""
    return {
        "Number": {
            "description": "An exact decimal of at most 38 significant digits.",
            "type": "number",
            "anyOf": [
                {"const": 0},
                {"minimum": _SMALLEST_NUMBER, "maximum": _NUMBER_LIMIT},
                {"minimum": -_NUMBER_LIMIT, "maximum": -_SMALLEST_NUMBER},
            ],
        },
        "Value": {
            "description": f"Any JSON value that is at most {contract.DEEPEST_NESTING} levels deep.",
            "anyOf": [
                {"type": ["string", "boolean", "null"]},
                _ref("schemas", "Number"),
                {"type": "array", "items": _ref("schemas", "Value")},
                _ref("schemas", "Fields"),
            ],
        },
        "Name": {"type": "string", "minLength": 1},
        "Fields": {
            "type": "object",
            "propertyNames": _ref("schemas", "Name"),
            "additionalProperties": _ref("schemas", "Value"),
        },
        "Item": _open_object({contract.KEY: _ref("schemas", "Id")}, required=(contract.KEY,)),
        "ItemToPut": _open_object({contract.KEY: {**_ref("schemas", "Id"), "description": "As in the path."}}),
        "Patch": {
            **_open_object({contract.KEY: {**_ref("schemas", "Id"), "description": "As in the path."}}),
            "maxProperties": contract.MOST_PATCHED_FIELDS,
        },
    }


def _parameter_schemas() -> Schema:
    """DynamoDB's parameters, under their own names."""
    expression: Schema = {"type": "string", "minLength": 1, "maxLength": _LONGEST_EXPRESSION}
    return {
        "ConsistentRead": {"type": "boolean"},
        "ProjectionExpression": expression,
        "UpdateExpression": expression,
        "ConditionExpression": expression,
        "FilterExpression": expression,
        "Limit": {"type": "integer", "minimum": 1, "maximum": contract.LARGEST_PAGE, "default": contract.DEFAULT_PAGE},
        "ExclusiveStartKey": {**_ref("schemas", "Key"), "description": "The LastEvaluatedKey of the page before."},
        contract.NAMES: {
            "type": "object",
            "minProperties": 1,
            "patternProperties": {"^#[A-Za-z0-9_]+$": {"type": "string", "minLength": 1}},
            "additionalProperties": False,
        },
        contract.VALUES: {
            "type": "object",
            "minProperties": 1,
            "patternProperties": {"^:[A-Za-z0-9_]+$": _ref("schemas", "Value")},
            "additionalProperties": False,
        },
    }


def _answer_schemas() -> Schema:
    item, page_of = _ref("schemas", "Item"), {"type": "array", "items": _ref("schemas", "Fields")}
    count = {"type": "integer", "minimum": 0, "maximum": contract.LARGEST_PAGE}
    answers = {
        "CreateAnswer": _object({"Item": item}, ("Item",)),
        "ReadAnswer": _object({"Item": _ref("schemas", "Fields")}, ("Item",)),
        "UpdateAnswer": _object({"Attributes": item}, ("Attributes",)),
        "DeleteAnswer": _object({"Attributes": item}, ("Attributes",)),
        "ListAnswer": _object(
            {"Items": page_of, "Count": count, "LastEvaluatedKey": _ref("schemas", "Key")}, ("Items", "Count")
        ),
        "EchoAnswer": {"description": "The payload as it came."},
        "PingAnswer": {"const": "pong"},
    }
    by_operation = [_ref("schemas", name) for name in answers if name != "CreateAnswer"]
    return {
        **answers,
        "OperationAnswer": {"anyOf": by_operation},
        "Page": _object(
            {"items": {"type": "array", "items": item}, "cursor": {"type": "string", "minLength": 1}}, ("items",)
        ),
    }


# ---- the envelope


def _envelope_name(operation: str) -> str:
    return f"{operation.capitalize()}Envelope"


def _envelope(operation: str) -> Schema:
    """The request of one operation, with exactly the parameters that it takes."""
    members: Schema = {
        "operation": {"const": operation},
        "tableName": {
            "type": "string",
            "description": f"The service's own table or {contract.TABLE_ALIAS}; any other name is refused.",
            "examples": [contract.TABLE_ALIAS],
        },
    }
    required = ["operation"]
    if operation in contract.UNCHECKED_OPERATIONS:
        members["payload"] = {"description": "Anything."}
    else:
        members["payload"] = _payload(contract.OPERATIONS[operation])
        required += ["payload"] if contract.OPERATIONS[operation].required else []
    if operation == "create":
        members["overwrite"] = {"type": "boolean", "default": False}
    return {
        **_object(members, required),
        "description": _OPERATION_SUMMARIES[operation],
        "examples": [_example(operation)],
    }


def _payload(operation: contract.Operation) -> Schema:
    return _object({name: _ref("schemas", name) for name in operation.allowed}, operation.required)


def _example(operation: str) -> Schema:
    payload = _EXAMPLES.get(operation)
    return {"operation": operation} | ({"payload": payload} if payload else {})


# ---- parts of schemas


def _ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(members: Schema, required: Iterable[str]) -> Schema:
    """An object with these members and no others."""
    names = list(required)
    found: Schema = {"type": "object", "properties": members, "additionalProperties": False}
    return found | ({"required": names} if names else {})


def _open_object(members: Schema, required: Iterable[str] = ()) -> Schema:
    """An object with these members and any others that an item can have."""
    names = list(required)
    found = {
        "type": "object",
        "properties": members,
        "propertyNames": {**_ref("schemas", "Name"), "not": {"const": contract.ETAG}},
        "additionalProperties": _ref("schemas", "Value"),
    }
    return found | ({"required": names} if names else {})


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
