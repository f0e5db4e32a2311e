"""Requests to an API whose callers AWS knows: Signature Version 4 for API Gateway, made by botocore."""

from collections.abc import Mapping
from urllib.parse import quote, unquote_to_bytes, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials

SERVICE = "execute-api"
"""The name by which API Gateway's callers sign (Service Authorization Reference, "Amazon API Gateway")."""


def signed_headers(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials | ReadOnlyCredentials,
    region: str,
) -> dict[str, str]:
    """Return the headers to send: those given, and the ones that sign the request now.

    `url` is the address as it will be sent, percent-encoded. Of the given headers the content type and the ones that
    begin with `x-amz-` are signed, as AWS asks (IAM, "Create a signed AWS API request"); what a proxy may change on
    the way is not. A signature among them is replaced.
    """
    kept = {name: value for name, value in headers.items() if name.lower() not in _MADE_HERE}
    signed = {name: value for name, value in kept.items() if _is_signed(name)}
    request = AWSRequest(method=method.upper(), url=_with_canonical_query(url), headers=signed, data=body)
    SigV4Auth(credentials, SERVICE, region).add_auth(request)
    return {**kept, **dict(request.headers.items())}


_MADE_HERE = frozenset({"authorization", "x-amz-date", "x-amz-security-token"})


def _is_signed(name: str) -> bool:
    return name.lower() == "content-type" or name.lower().startswith("x-amz-")


def _with_canonical_query(url: str) -> str:
    """Return `url` with its query encoded as it is signed, whatever of it was left unencoded; botocore signs it as is.

    A `+` stands for itself here; a space is to be sent as `%20`.
    """
    parts = urlsplit(url)
    pairs = [pair.partition("=") for pair in parts.query.split("&") if pair]
    return parts._replace(query="&".join(f"{_encoded(name)}={_encoded(value)}" for name, _, value in pairs)).geturl()


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")
