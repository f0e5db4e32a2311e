"""What the functions behind an API read of its events ("Lambda proxy integration", API Gateway Developer Guide)."""

import base64
from collections.abc import Mapping
from typing import Any


def body_of(event: Mapping[str, Any]) -> str:
    """The request's body as text, empty where it has none.

    Raises:
        ValueError: it is not UTF-8.
    """
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body)
    try:
        return base64.b64decode(body).decode()
    except UnicodeDecodeError:
        raise ValueError("body: is not UTF-8") from None
