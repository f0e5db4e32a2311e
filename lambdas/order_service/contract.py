"""What the order service offers: operations and their parameters, routes, error codes, limits.

The handler works by these tables and the OpenAPI description is generated from them, so the two cannot drift apart.
"""

from http import HTTPStatus
from typing import Final, NamedTuple

TABLE_ALIAS: Final = "order-microservice-db"
"""The name under which clients may speak of the service's table, whatever it is called in a stage."""
KEY: Final = "id"
ETAG: Final = "_etag"
"""The attribute that says which version of an item is stored. The service's own: clients never see or name it."""

LONGEST_ID_BYTES: Final = 2048
"""DynamoDB, "Constraints": the length of a partition key's value."""
DEFAULT_PAGE: Final = 100
LARGEST_PAGE: Final = 1000
DEEPEST_NESTING: Final = 32
"""DynamoDB, "Constraints": nested attributes up to 32 levels deep."""
LARGEST_ITEM_BYTES: Final = 400 * 1024
"""DynamoDB, "Constraints": an item's size, attribute names included."""
MOST_PATCHED_FIELDS: Final = 200
"""An update expression may have 300 operators and functions (DynamoDB, "Constraints"); this leaves room for ours."""


class Operation(NamedTuple):
    """What may stand in the payload of an operation."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    expressions: tuple[str, ...] = ()
    """Those of the parameters that are expressions; with one of these, names and values may stand beside it."""

    @property
    def allowed(self) -> tuple[str, ...]:
        """All parameters that the operation takes."""
        return (*self.required, *self.optional, *(_PLACEHOLDERS if self.expressions else ()))


NAMES: Final = "ExpressionAttributeNames"
VALUES: Final = "ExpressionAttributeValues"
_PLACEHOLDERS = (NAMES, VALUES)

OPERATIONS: Final = {
    "create": Operation(("Item",), ()),
    "read": Operation(("Key",), ("ConsistentRead", "ProjectionExpression"), ("ProjectionExpression",)),
    "update": Operation(
        ("Key", "UpdateExpression"), ("ConditionExpression",), ("UpdateExpression", "ConditionExpression")
    ),
    "delete": Operation(("Key",), ("ConditionExpression",), ("ConditionExpression",)),
    "list": Operation(
        (),
        ("Limit", "ExclusiveStartKey", "FilterExpression", "ProjectionExpression"),
        ("FilterExpression", "ProjectionExpression"),
    ),
}
"""The operations on the table, with the DynamoDB parameters that each takes and no others."""
UNCHECKED_OPERATIONS: Final = ("echo", "ping")
"""Operations that take any payload: echo gives it back, ping ignores it."""

COLLECTION: Final = "/order"
RESOURCE: Final = "/order/{id}"
ROUTES: Final = {
    (COLLECTION, "POST"): "envelope",
    (COLLECTION, "GET"): "list",
    (RESOURCE, "GET"): "read",
    (RESOURCE, "PUT"): "put",
    (RESOURCE, "PATCH"): "patch",
    (RESOURCE, "DELETE"): "delete",
}
"""What the service answers on which path and method. HEAD is GET without the body."""

ERRORS: Final = {
    "invalid_json": HTTPStatus.BAD_REQUEST,
    "invalid_request": HTTPStatus.BAD_REQUEST,
    "unknown_operation": HTTPStatus.BAD_REQUEST,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "already_exists": HTTPStatus.CONFLICT,
    "condition_failed": HTTPStatus.CONFLICT,
    "precondition_failed": HTTPStatus.PRECONDITION_FAILED,
    "throttled": HTTPStatus.TOO_MANY_REQUESTS,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The stable codes of errors, each with its HTTP status."""
