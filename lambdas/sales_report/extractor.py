"""Asks the extractor for a day's sales, and makes what it reports as failed an error here."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from sales_report.sales import Sale, read_sales

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_MOST_SHOWN: Final = 1_000
"""Characters of an extractor's own words in an error."""
_HIDDEN: Final = "***"


class ReportFailed(RuntimeError):
    """There is no report; the text says why, in the extractor's words where it said something."""


def extract(client: "LambdaClient", function: str, request: Mapping[str, str]) -> list[Sale]:
    """The sales that the extractor answers a request (`dbUrl`, `dbName`, `dbUser`, `dbPassword`?, `date`) with.

    Raises:
        ReportFailed: it could not be invoked, it raised, or its answer is not of the agreed form. Never quotes the
            password.
    """
    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(request).encode())
        payload = answer["Payload"].read()
    except (ClientError, BotoCoreError) as error:
        raise ReportFailed(f"the extractor could not be invoked: {error}") from None
    # From here on the request, which may hold a password, is in no error's chain.
    document = _decode(payload)
    if "FunctionError" in answer:
        raise ReportFailed(_without(request.get("dbPassword"), f"the extractor failed: {_named_error(document)}"))
    return _read_answer(document)


def _decode(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return None


def _named_error(document: Any) -> str:
    """What Lambda answers for a function that raised (Lambda Developer Guide, "Lambda function exceptions")."""
    if not isinstance(document, Mapping):
        return "it named no error"
    parts = (document.get("errorType"), document.get("errorMessage"))
    return ": ".join(str(part) for part in parts if part)[:_MOST_SHOWN] or "it named no error"


def _without(password: str | None, text: str) -> str:
    return text.replace(password, _HIDDEN) if password else text


def _read_answer(document: Any) -> list[Sale]:
    if not isinstance(document, Mapping) or document.get("statusCode") != 200:  # noqa: PLR2004 (HTTP's OK)
        raise ReportFailed("the extractor's answer has no statusCode 200")
    try:
        return read_sales(document.get("body"))
    except ValueError as error:
        raise ReportFailed(f"the extractor's answer is not of the agreed form: {error}") from None
