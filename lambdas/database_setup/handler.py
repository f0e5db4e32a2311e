"""Has the database migrated when the stack is deployed."""

from collections.abc import Mapping
from typing import Any

from shared.aws import Context


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Has the database migrated when the stack is deployed."""
    raise NotImplementedError
