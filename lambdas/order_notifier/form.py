"""Encodes the body of a call to SNS once, where the SDK does it twice: to sign it and to send it.

SNS takes HTML forms, of a dozen fields for each announcement, and percent-encoding them is a third of what a batch
costs (bench/notifier_cpu.py). The SDK encodes a body that is a mapping whenever it looks at it, and leaves bytes alone.
"""

from typing import Any
from urllib.parse import quote_plus


def encode_form(params: dict[str, Any], **_: object) -> None:
    """Replaces the fields in a request's `body` by the form's bytes, as `urllib.parse.urlencode` makes them.

    For the SDK's event `before-call`. The fields' names, which are the API's own, need no encoding: they are letters,
    digits and dots (Amazon SNS API Reference, "PublishBatch").
    """
    params["body"] = "&".join([f"{name}={quote_plus(value)}" for name, value in params["body"].items()]).encode()
