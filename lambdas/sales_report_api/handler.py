"""Starts a sales report by request."""

from collections.abc import Mapping
from typing import Any

from shared.aws import Context


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Starts a sales report by request."""
    raise NotImplementedError
