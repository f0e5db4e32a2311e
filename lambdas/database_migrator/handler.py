"""Brings the database's schema up to date."""

from collections.abc import Mapping
from typing import Any

from shared.aws import Context


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Brings the database's schema up to date."""
    raise NotImplementedError
