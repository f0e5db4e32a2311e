"""Makes the daily sales report and mails it."""

from collections.abc import Mapping
from typing import Any

from shared.aws import Context


def handler(event: Mapping[str, Any], context: Context) -> None:
    """Makes the daily sales report and mails it."""
    raise NotImplementedError
