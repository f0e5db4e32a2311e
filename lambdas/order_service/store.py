"""The service's table: one function an operation, each one DynamoDB call on that table and no other.

Every write gives the item a new version (`contract.ETAG`), which is what conditions on an item's state compare. A
call that was throttled did nothing and is tried again. A call whose answer was lost may have been done: reads are
tried again, and so are puts, which know their own version when they meet it; updates and deletes are not.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from order_service.contract import ETAG, KEY
from order_service.items import Attribute
from order_service.problems import Problem
from shared.aws import error_code, is_throttled, is_transient
from shared.times import RemainingTime, attempts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Attribute]

_LONGEST_REASON: Final = 1000
"""Of what DynamoDB says, which may quote the client's own names, in characters."""
_RETRY_AFTER = {"Retry-After": "1"}
ETAG_NAME: Final = "#_etag"
_ETAG_VALUE: Final = ":_etag"
OWN_PLACEHOLDERS: Final = (ETAG_NAME, _ETAG_VALUE)
"""Placeholders that the service adds to a client's expressions."""


class Table(NamedTuple):
    """The table, the client to reach it by, and the time that is left for it."""

    dynamodb: "DynamoDBClient"
    name: str
    remaining_ms: RemainingTime


@dataclass(frozen=True)
class Expression:
    """A DynamoDB expression with the names and values that it speaks of; an empty text is none."""

    text: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Attribute] = field(default_factory=dict)

    def __and__(self, other: "Expression") -> "Expression":
        """Both conditions; each in parentheses, so that none can reach into the other."""
        if not self.text or not other.text:
            return self if self.text else other
        text = f"{_enclosed(self.text)} AND {_enclosed(other.text)}"
        return Expression(text, {**self.names, **other.names}, {**self.values, **other.values})


def _enclosed(text: str) -> str:
    """The expression in parentheses; one that has them around all of it already gets no second ones.

    DynamoDB refuses those ("The expression has redundant parentheses").
    """
    text, depth = text.strip(), 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            is_enclosed = place > 0 and place == len(text) - 1
            return text if is_enclosed and text.startswith("(") else f"({text})"
    return f"({text})"


EXISTS: Final = Expression(f"attribute_exists({KEY})")
NEW: Final = Expression(f"attribute_not_exists({KEY})")


def version_is_one_of(etags: Sequence[str]) -> Expression:
    """Holds for an item whose stored version is one of these; an empty one means an item without a version.

    With none to choose from it never holds.
    """
    if not etags:
        return EXISTS & NEW
    names = {ETAG_NAME: ETAG}
    values: dict[str, Attribute] = {f":_etag{index}": {"S": etag} for index, etag in enumerate(etags) if etag}
    choices = [f"{ETAG_NAME} IN ({', '.join(values)})"] if values else []
    if "" in etags:
        choices.append(f"attribute_exists({KEY}) AND attribute_not_exists({ETAG_NAME})")
    return Expression(" OR ".join(choices), names, values)


class ConditionFailed(Exception):
    """The condition of a write does not hold; `current` is the item as it is, None where there is none."""

    def __init__(self, current: Item | None) -> None:
        super().__init__()
        self.current = current


class Page(NamedTuple):
    """Some of the table's items, and the key to go on from; None at the end."""

    items: list[Item]
    last_key: Item | None


def get(table: Table, key: Item, projection: Expression, *, consistent: bool) -> Item | None:
    """The item under the key, or what the projection asks of it; None where there is none."""
    parameters = {"Key": key, "ConsistentRead": consistent, **_placeholders(projection)}
    if projection.text:
        parameters["ProjectionExpression"] = projection.text
    answer = _call(table, table.dynamodb.get_item, parameters, may_repeat=True)
    item: Item | None = answer.get("Item")
    return item


def put(table: Table, item: Item, condition: Expression) -> tuple[Item, Item | None]:
    """Writes the item whole; returns it with its version, and the one that it replaced.

    Raises:
        ConditionFailed: nothing was written.
    """
    versioned = {**item, ETAG: {"S": _new_etag()}}
    parameters = {"Item": versioned, "ReturnValues": "ALL_OLD", **_condition(condition)}
    try:
        answer = _call(table, table.dynamodb.put_item, parameters, may_repeat=True)
    except ConditionFailed as failed:
        if failed.current and failed.current.get(ETAG) == versioned[ETAG]:
            # This call did it, in a try whose answer was lost; what it replaced is known no more.
            return versioned, None if condition == NEW else failed.current
        raise
    return versioned, answer.get("Attributes")


def update(table: Table, key: Item, change: Expression, condition: Expression) -> Item:
    """Changes the item and returns it as it is then.

    Raises:
        ConditionFailed: nothing was changed; without a condition: there is no such item.
    """
    condition = EXISTS & condition
    parameters = {
        "Key": key,
        "UpdateExpression": change.text,
        "ConditionExpression": condition.text,
        "ExpressionAttributeNames": {**change.names, **condition.names, ETAG_NAME: ETAG},
        "ExpressionAttributeValues": {**change.values, **condition.values, _ETAG_VALUE: {"S": _new_etag()}},
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    item: Item = _call(table, table.dynamodb.update_item, parameters, may_repeat=False)["Attributes"]
    return item


def delete(table: Table, key: Item, condition: Expression) -> Item:
    """Removes the item and returns what was removed.

    Raises:
        ConditionFailed: nothing was removed; without a condition: there is no such item.
    """
    parameters = {"Key": key, "ReturnValues": "ALL_OLD", **_condition(EXISTS & condition)}
    item: Item = _call(table, table.dynamodb.delete_item, parameters, may_repeat=False)["Attributes"]
    return item


def scan(
    table: Table,
    limit: int,
    start: Item | None,
    conditions: Mapping[str, str],
    placeholders: Expression,
) -> Page:
    """Up to `limit` items after the key `start`, in the table's own order; `conditions` are expressions by parameter.

    A page ends earlier at 1 MB (Amazon DynamoDB Developer Guide, "Paginating the results").
    """
    parameters = {"Limit": limit, **conditions, **_placeholders(placeholders)}
    if start:
        parameters["ExclusiveStartKey"] = start
    answer = _call(table, table.dynamodb.scan, parameters, may_repeat=True)
    return Page(answer["Items"], answer.get("LastEvaluatedKey"))


SET_ETAG: Final = f"{ETAG_NAME} = {_ETAG_VALUE}"
"""What an update's SET clause has beside the client's own changes."""


def _new_etag() -> str:
    return secrets.token_hex(8)


def _condition(condition: Expression) -> dict[str, Any]:
    if not condition.text:
        return {}
    return {
        "ConditionExpression": condition.text,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        **_placeholders(condition),
    }


def _placeholders(expression: Expression) -> dict[str, Any]:
    """DynamoDB refuses empty maps of names or values, so there are none."""
    found = {"ExpressionAttributeNames": dict(expression.names), "ExpressionAttributeValues": dict(expression.values)}
    return {name: value for name, value in found.items() if value}


def _call(table: Table, method: Callable[..., Any], parameters: Mapping[str, Any], *, may_repeat: bool) -> Any:
    """Calls DynamoDB, again where that is safe and time is left.

    Raises:
        ConditionFailed: see the callers.
        Problem: `invalid_request` for what DynamoDB finds wrong, `throttled` where it stays so.
        ClientError, BotoCoreError: everything else, which is nothing that the client can mend.
    """
    failure: ClientError | BotoCoreError | None = None
    for _ in attempts(table.remaining_ms):
        try:
            return method(TableName=table.name, **parameters)
        except (ClientError, BotoCoreError) as error:
            failure = error
            if not (is_throttled(error_code(error)) or (may_repeat and is_transient(error))):
                break
    assert failure  # noqa: S101 - there is at least one attempt; for the type checker
    raise _translated(failure) from failure


def _translated(error: ClientError | BotoCoreError) -> Exception:
    code = error_code(error)
    if is_throttled(code):
        return Problem("throttled", "too many requests at the moment; try again in a second", _RETRY_AFTER)
    if not isinstance(error, ClientError):
        return error
    if code == "ConditionalCheckFailedException":
        response: Mapping[str, Any] = error.response
        return ConditionFailed(response.get("Item") or None)
    if code == "ValidationException":
        reason = str(error.response["Error"].get("Message", code))[:_LONGEST_REASON]
        return Problem("invalid_request", f"DynamoDB refuses it: {reason}")
    return error
