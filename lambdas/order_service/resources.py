"""The resource-style routes on the same items: `/order` and `/order/{id}` (HTTP semantics: RFC 9110)."""

import base64
import binascii
import re
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final

from order_service import expressions, pages, store
from order_service.contract import DEFAULT_PAGE, KEY, MOST_PATCHED_FIELDS
from order_service.envelope import not_found
from order_service.http import Request, Response, document_of, location
from order_service.items import check_name, etag_of, from_item, to_id, to_item
from order_service.problems import Problem, refuse, shown
from order_service.store import Expression, Item, Table

_ID_PLACE: Final = "id in the path"
_ENTITY_TAGS = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"(?:[ \t]*,[ \t]*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*")*')
_STRONG_TAG = re.compile(r'(W/)?"([^"]*)"')
_MOST_TAGS: Final = 100
"""An IN of a condition takes 100 values (DynamoDB, "Condition and filter expressions")."""


def list_items(request: Request, table: Table) -> Response:
    """GET /order?limit=&cursor=: a page of items, and the cursor of the next page where there is one."""
    for name in request.query:
        if name not in {"limit", "cursor"}:
            raise refuse("query", "is no parameter, which are limit and cursor", shown(name))
    limit, cursor = _query(request, "limit"), _query(request, "cursor")
    items, last_key = pages.read_page(
        table,
        DEFAULT_PAGE if limit is None else pages.read_limit(_whole_number(limit), "limit"),
        None if cursor is None else _read_cursor(cursor),
    )
    return Response(HTTPStatus.OK, {"items": items, "cursor": _cursor(last_key[KEY])} if last_key else {"items": items})


def read(request: Request, table: Table) -> Response:
    """GET /order/{id}: the item, or 304 for who has this version of it already."""
    item = store.get(table, _key(request), Expression(), consistent=True)
    if item is None:
        raise not_found(request.item_id)
    known = _entity_tags(request, "if-none-match")
    if known is not None and (known == ["*"] or etag_of(item) in known):
        return Response(HTTPStatus.NOT_MODIFIED, headers=_etag(item))
    return _answer(HTTPStatus.OK, item)


def put(request: Request, table: Table) -> Response:
    """PUT /order/{id}: the item is then as the body says, whether it was there or not."""
    document = _fields(request)
    item = to_item({**document, KEY: request.item_id}, "body")
    condition = _precondition(request)
    if "if-none-match" in request.headers:
        if _entity_tags(request, "if-none-match") != ["*"]:
            given = shown(request.headers["if-none-match"])
            raise refuse("If-None-Match", "is not *, which is all that a PUT takes there", given)
        condition = store.NEW & condition
    try:
        stored, replaced = store.put(table, item, condition)
    except store.ConditionFailed as error:
        raise _precondition_failed(request.item_id) from error
    if replaced is None:
        return _answer(HTTPStatus.CREATED, stored, location(request.item_id, beside=True))
    return _answer(HTTPStatus.OK, stored)


def patch(request: Request, table: Table) -> Response:
    """PATCH /order/{id}: the body's fields replace the item's; those that are null are removed."""
    fields = {name: value for name, value in _fields(request).items() if name != KEY}
    if len(fields) > MOST_PATCHED_FIELDS:
        raise refuse("body", f"is more than the {MOST_PATCHED_FIELDS} fields that a patch may have", str(len(fields)))
    for name in fields:
        check_name(name, "body")
    try:
        item = store.update(table, _key(request), expressions.merge(fields, "body"), _precondition(request))
    except store.ConditionFailed as error:
        raise _failed(error, request.item_id) from error
    return _answer(HTTPStatus.OK, item)


def delete(request: Request, table: Table) -> Response:
    """DELETE /order/{id}."""
    try:
        store.delete(table, _key(request), _precondition(request))
    except store.ConditionFailed as error:
        raise _failed(error, request.item_id) from error
    return Response(HTTPStatus.NO_CONTENT)


def _key(request: Request) -> Item:
    return {KEY: to_id(request.item_id, _ID_PLACE)}


def _fields(request: Request) -> dict[str, Any]:
    """The object in the body, whose id, if it has one, is the path's."""
    document = document_of(request)
    if not isinstance(document, dict):
        raise refuse("body", "is not an object", shown(document))
    if document.get(KEY, request.item_id) != request.item_id:
        raise refuse("body.id", f"is not {shown(request.item_id)}, the {_ID_PLACE}", shown(document[KEY]))
    return document


def _answer(status: HTTPStatus, item: Item, headers: dict[str, str] | None = None) -> Response:
    return Response(status, from_item(item), {**_etag(item), **(headers or {})})


def _etag(item: Item) -> dict[str, str]:
    return {"ETag": f'"{etag_of(item)}"'}


def _precondition(request: Request) -> Expression:
    """What the header If-Match asks of the stored item; weak tags match nothing (RFC 9110, section 13.1.1).

    If-None-Match, which makes sense for GET and PUT, is refused elsewhere: ignored, it would let a write happen.
    """
    if "if-none-match" in request.headers and request.method not in {"GET", "HEAD", "PUT"}:
        raise refuse("If-None-Match", f"is not taken by {request.method}", shown(request.headers["if-none-match"]))
    tags = _entity_tags(request, "if-match")
    if tags is None:
        return Expression()
    return store.EXISTS if tags == ["*"] else store.version_is_one_of(tags)


def _entity_tags(request: Request, header: str) -> list[str] | None:
    """The entity tags of a header, `["*"]` for any, None where there is no such header.

    If-Match compares strongly, so its weak tags are left out (RFC 9110, section 8.8.3.2).
    """
    text = request.headers.get(header)
    if text is None:
        return None
    text = text.strip()
    if text == "*":
        return ["*"]
    if not _ENTITY_TAGS.fullmatch(text):
        raise refuse(header.title(), 'is not * or a list of entity tags such as "5d41402abc4b2a76"', shown(text))
    tags = [tag for weak, tag in _STRONG_TAG.findall(text) if not weak or header == "if-none-match"]
    if len(tags) > _MOST_TAGS:
        raise refuse(header.title(), f"has more than {_MOST_TAGS} entity tags")
    return tags


def _failed(error: store.ConditionFailed, item_id: str) -> Problem:
    return not_found(item_id) if error.current is None else _precondition_failed(item_id)


def _precondition_failed(item_id: str) -> Problem:
    return Problem(
        "precondition_failed", f"the item {shown(item_id)} is not in the state that the request's header asks"
    )


def _query(request: Request, name: str) -> str | None:
    values = request.query.get(name)
    if not values:
        return None
    if len(values) > 1:
        raise refuse("query", "is given more than once", shown(name))
    return values[0]


def _whole_number(text: str) -> Any:
    return Decimal(text) if re.fullmatch(r"[0-9]{1,9}", text) else text


def _cursor(item_id: str) -> str:
    return base64.urlsafe_b64encode(item_id.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> Item:
    """The key that a cursor stands for; raises Problem for a text that is no cursor of ours."""
    padded = cursor.encode(errors="replace") + b"=" * (-len(cursor) % 4)
    try:
        item_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise refuse("cursor", "is not one that this service gave out", shown(cursor)) from error
    return {KEY: to_id(item_id, "cursor")}
