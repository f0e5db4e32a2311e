"""Makes a smaller image of each image that comes in."""

from collections.abc import Mapping
from typing import Any

from shared.aws import Context


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Makes a smaller image of each image that comes in."""
    raise NotImplementedError
