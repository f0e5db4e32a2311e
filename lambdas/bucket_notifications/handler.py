"""Has a bucket tell a topic of new objects, while the stack is deployed."""

from collections.abc import Mapping
from typing import Any

from shared.aws import Context


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Has a bucket tell a topic of new objects, while the stack is deployed."""
    raise NotImplementedError
