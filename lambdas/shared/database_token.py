"""The token that stands in for a password where the database trusts IAM: signed here, with no call to AWS.

It is the address of a request to the database, signed by AWS Signature Version 4 (IAM User Guide, "Create a signed AWS
API request", with the signature in the query). That is four HMACs of the standard library; the SDK, which makes the
same text, takes most of a cold start to import (decision 0025).
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

_LIFETIME_SECONDS: Final = 900
"""Amazon RDS User Guide, "IAM database authentication": a token can be used for 15 minutes, a connection longer."""
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "rds-db"
_HASH_OF_NO_BODY: Final = hashlib.sha256(b"").hexdigest()
_HTTPS_PORT: Final = 443
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def sign_in_token(host: str, port: int, user: str) -> str:
    """A token by which the function's role signs in as `user`; needs the right to `rds-db:connect` as that user.

    Region and credentials are read from the environment each time, where Lambda keeps them (Lambda Developer Guide,
    "Defined runtime environment variables"). A function with SnapStart has no credentials there.

    Raises:
        RuntimeError: there are no credentials to sign with.
    """
    try:
        key_id, secret_key = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    except KeyError as error:
        raise RuntimeError(f"no AWS credentials to sign the database's token with: {error} is not set") from None
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    scope = (moment[:8], os.environ["AWS_REGION"], _SERVICE, "aws4_request")
    parameters = {
        "Action": "connect",
        "DBUser": user,
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": "/".join((key_id, *scope)),
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(_LIFETIME_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    if session_token := os.environ.get("AWS_SESSION_TOKEN"):
        parameters["X-Amz-Security-Token"] = session_token
    signature = _signature(_canonical_request(host, port, parameters), moment, scope, secret_key)
    return f"{host}:{port}/?{_query(parameters)}&X-Amz-Signature={signature}"


def _canonical_request(host: str, port: int, parameters: Mapping[str, str]) -> str:
    """The request in the one form that both sides sign: the query by name, and the host as a client would send it."""
    header = host.lower() if port == _HTTPS_PORT else f"{host.lower()}:{port}"
    query = _query(dict(sorted(parameters.items())))
    return f"GET\n/\n{query}\nhost:{header}\n\nhost\n{_HASH_OF_NO_BODY}"


def _signature(request: str, moment: str, scope: tuple[str, ...], secret_key: str) -> str:
    """Signs by a key that is derived from the secret one, and good for that day, region and service alone."""
    key = f"AWS4{secret_key}".encode()
    for part in scope:
        key = _hmac(key, part).digest()
    request_hash = hashlib.sha256(request.encode()).hexdigest()
    return _hmac(key, "\n".join((_ALGORITHM, moment, "/".join(scope), request_hash))).hexdigest()


def _hmac(key: bytes, text: str) -> "hmac.HMAC":
    return hmac.new(key, text.encode(), hashlib.sha256)


def _query(parameters: Mapping[str, str]) -> str:
    return "&".join(f"{name}={_encode(value)}" for name, value in parameters.items())


def _encode(value: str) -> str:
    """Encoded as RFC 3986 has it, section 2: only letters, digits and `-._~` stay.

    `urllib.parse` would be imported for this alone, which takes 2 of the 30 ms of the extractor's cold start.
    """
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in value.encode())
