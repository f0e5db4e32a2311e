"""The one kind of error that the command line shows as a sentence instead of a traceback, and AWS's own in one line."""

import sys


class ShopError(Exception):
    """Something a person can mend; its text is one line that names the thing, the value and the rule."""


def explain(error: Exception) -> str | None:
    """Return the line to show for an error that a person can mend; None for what deserves its traceback."""
    if isinstance(error, ShopError):
        return str(error)
    # Importing botocore takes a quarter of a second, and an error of its own cannot come from where it is not loaded.
    if "botocore" not in sys.modules:
        return None
    from boto3.exceptions import Boto3Error  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    if isinstance(error, ClientError):
        said = error.response["Error"]
        return f"{error.operation_name}: {said.get('Code', 'unknown error')}: {said.get('Message', 'no message')}"
    return " ".join(str(error).split()) if isinstance(error, (Boto3Error, BotoCoreError)) else None
