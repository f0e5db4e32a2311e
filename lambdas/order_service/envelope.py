"""The operation envelope: `POST /order` with `{"operation": …, "payload": …}`."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from order_service import expressions, pages, store
from order_service.contract import DEFAULT_PAGE, OPERATIONS, TABLE_ALIAS, UNCHECKED_OPERATIONS, VALUES
from order_service.http import Request, Response, document_of, location
from order_service.items import etag_of, from_item, to_item, to_key
from order_service.problems import Problem, refuse, shown
from order_service.store import Expression, Table

Payload = Mapping[str, Any]

_NAMES = (*OPERATIONS, *UNCHECKED_OPERATIONS)
_MEMBERS = ("operation", "payload", "tableName")
_OVERWRITE = "overwrite"


def run(request: Request, table: Table) -> Response:
    """Does what the envelope in the request's body asks for; raises Problem where it cannot."""
    envelope = document_of(request)
    if not isinstance(envelope, dict):
        raise refuse("the body", "is not an object", shown(envelope))
    operation = _operation(envelope)
    _check_members(envelope, operation)
    _check_table(envelope, table.name)
    if operation == "ping":
        return Response(HTTPStatus.OK, "pong")
    if operation == "echo":
        return Response(HTTPStatus.OK, envelope.get("payload"))
    payload = envelope.get("payload", {})
    _check_payload(payload, operation)
    if operation == "create":
        return _create(payload, table, overwrite=_flag(envelope, _OVERWRITE, _OVERWRITE))
    return _RUN[operation](payload, table)


def _operation(envelope: Payload) -> str:
    operation = envelope.get("operation")
    if isinstance(operation, str) and operation in _NAMES:
        return operation
    what = shown(operation) if "operation" in envelope else "nothing"
    raise Problem("unknown_operation", f"operation: {what} is not one of {', '.join(_NAMES)}")


def _check_members(envelope: Payload, operation: str) -> None:
    allowed = (*_MEMBERS, _OVERWRITE) if operation == "create" else _MEMBERS
    for name in envelope:
        if name not in allowed:
            raise refuse("the body", f"is no member of {operation}, which takes {', '.join(allowed)}", shown(name))


def _check_table(envelope: Payload, own_name: str) -> None:
    name = envelope.get("tableName", TABLE_ALIAS)
    if name not in (TABLE_ALIAS, own_name):
        raise refuse("tableName", f"is not this service's table, which is known as {TABLE_ALIAS}", shown(name))


def _check_payload(payload: Any, operation: str) -> None:
    if not isinstance(payload, dict):
        raise refuse("payload", "is not an object", shown(payload))
    rule = OPERATIONS[operation]
    for name in payload:
        if name not in rule.allowed:
            raise refuse(
                "payload", f"is no parameter of {operation}, which takes {', '.join(rule.allowed)}", shown(name)
            )
    for name in rule.required:
        if name not in payload:
            raise refuse(f"payload.{name}", "is missing")


def _create(payload: Payload, table: Table, *, overwrite: bool) -> Response:
    item = to_item(payload["Item"], "payload.Item")
    item_id = item["id"]["S"]
    try:
        stored, _ = store.put(table, item, Expression() if overwrite else store.NEW)
    except store.ConditionFailed as error:
        raise Problem("already_exists", f"an item with the id {shown(item_id)} exists already") from error
    headers = {**location(item_id, beside=False), "ETag": f'"{etag_of(stored)}"'}
    return Response(HTTPStatus.CREATED, {"Item": from_item(stored)}, headers)


def _read(payload: Payload, table: Table) -> Response:
    key = to_key(payload["Key"], "payload.Key")
    consistent = _flag(payload, "ConsistentRead", "payload.ConsistentRead")
    used = expressions.placeholders(payload)
    if used.values:
        # Only names can stand in a projection; DynamoDB's GetItem has no such parameter.
        raise refuse(f"payload.{VALUES}", "is used by no expression")
    projection = Expression(expressions.read(payload, "ProjectionExpression"), used.names, used.values)
    item = store.get(table, key, projection, consistent=consistent)
    if item is None:
        raise not_found(key["id"]["S"])
    return Response(HTTPStatus.OK, {"Item": from_item(item)})


def _update(payload: Payload, table: Table) -> Response:
    key, condition = _key_and_condition(payload)
    change = expressions.change(expressions.read(payload, "UpdateExpression"), condition)
    try:
        item = store.update(table, key, change, condition)
    except store.ConditionFailed as error:
        raise _failed(error, key["id"]["S"]) from error
    return Response(HTTPStatus.OK, {"Attributes": from_item(item)})


def _delete(payload: Payload, table: Table) -> Response:
    key, condition = _key_and_condition(payload)
    try:
        item = store.delete(table, key, condition)
    except store.ConditionFailed as error:
        raise _failed(error, key["id"]["S"]) from error
    return Response(HTTPStatus.OK, {"Attributes": from_item(item)})


def _list(payload: Payload, table: Table) -> Response:
    limit = pages.read_limit(payload["Limit"], "payload.Limit") if "Limit" in payload else DEFAULT_PAGE
    start_name = "ExclusiveStartKey"
    start = to_key(payload[start_name], f"payload.{start_name}") if start_name in payload else None
    conditions = {name: text for name in OPERATIONS["list"].expressions if (text := expressions.read(payload, name))}
    items, last_key = pages.read_page(table, limit, start, conditions, expressions.placeholders(payload))
    answer = {"Items": items, "Count": len(items)}
    return Response(HTTPStatus.OK, {**answer, "LastEvaluatedKey": last_key} if last_key else answer)


def _key_and_condition(payload: Payload) -> tuple[store.Item, Expression]:
    key = to_key(payload["Key"], "payload.Key")
    used = expressions.placeholders(payload)
    return key, Expression(expressions.read(payload, "ConditionExpression"), used.names, used.values)


def _flag(values: Payload, name: str, place: str) -> bool:
    value = values.get(name, False)
    if not isinstance(value, bool):
        raise refuse(place, "is not true or false", shown(value))
    return value


def _failed(error: store.ConditionFailed, item_id: str) -> Problem:
    if error.current is None:
        return not_found(item_id)
    return Problem("condition_failed", f"the item {shown(item_id)} does not meet the ConditionExpression")


def not_found(item_id: str) -> Problem:
    """The problem that there is no such item."""
    return Problem("not_found", f"there is no item with the id {shown(item_id)}")


_RUN: Mapping[str, Callable[[Payload, Table], Response]] = {
    "read": _read,
    "update": _update,
    "delete": _delete,
    "list": _list,
}
