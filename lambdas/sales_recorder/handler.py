"""Records announced orders in the database."""

from collections.abc import Mapping
from typing import Any

from shared.aws import Context


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Records announced orders in the database."""
    raise NotImplementedError
