"""Reads a day's sales from the database."""

from collections.abc import Mapping
from typing import Any

from shared.aws import Context


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Reads a day's sales from the database."""
    raise NotImplementedError
