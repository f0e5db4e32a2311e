"""Signatures as AWS documents them, for whatever address a client asks for."""

import re
from datetime import datetime

import pytest
from botocore.credentials import Credentials, ReadOnlyCredentials

from shop.signing import signed_headers

CALLER = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
URL = "https://api.example:4566/restapis/a1/v1/order"


def sign(
    url: str = URL,
    headers: dict[str, str] | None = None,
    body: bytes = b"{}",
    credentials: Credentials | ReadOnlyCredentials = CALLER,
    method: str = "POST",
) -> dict[str, str]:
    return signed_headers(method, url, headers or {}, body, credentials, "eu-central-1")


def signature(headers: dict[str, str]) -> str:
    return headers["Authorization"].rsplit("Signature=", 1)[1]


@pytest.fixture
def _fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: datetime(2026, 11, 26, 9, 15))


def test_the_caller_the_service_and_the_region_are_named() -> None:
    headers = sign(headers={"content-type": "application/json", "accept": "*/*", "x-api-key": "k"})
    assert re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-central-1/execute-api/aws4_request, "
        r"SignedHeaders=content-type;host;x-amz-date, Signature=[0-9a-f]{64}",
        headers["Authorization"],
    )
    assert (headers["content-type"], headers["accept"], headers["x-api-key"]) == ("application/json", "*/*", "k")


def test_temporary_credentials_send_their_token() -> None:
    headers = sign(credentials=Credentials("ASIAEXAMPLE", "secret", "the-token"))
    assert headers["X-Amz-Security-Token"] == "the-token"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token" in headers["Authorization"]


def test_an_older_signature_is_replaced_whole() -> None:
    old = {"authorization": "AWS4-HMAC-SHA256 old", "x-amz-date": "20200101T000000Z", "x-amz-security-token": "old"}
    headers = sign(headers=old)
    assert "old" not in "".join(headers.values())
    assert sorted(name.lower() for name in headers) == ["authorization", "x-amz-date"]


@pytest.mark.usefixtures("_fixed_time")
def test_all_that_a_request_asks_for_is_signed() -> None:
    signatures = {
        signature(headers)
        for headers in (
            sign(),
            sign(),
            sign(method="PUT"),
            sign(body=b"{} "),
            sign(URL + "/A%2F1"),
            sign(URL + "?limit=1"),
            sign(headers={"content-type": "text/plain"}),
            sign(URL.replace("4566", "4567")),
        )
    }
    assert len(signatures) == 7


@pytest.mark.usefixtures("_fixed_time")
@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("?b=2&a=1", "?a=1&b=2"),
        ("?cursor=it's(a)*!", "?cursor=it%27s%28a%29%2A%21"),
        ("?cursor=caff%c3%a8%7e", "?cursor=caff%C3%A8~"),
        ("?cursor=caffè", "?cursor=caff%C3%A8"),
        ("?limit", "?limit="),
        ("?&limit=1&", "?limit=1"),
        ("?cursor=a==", "?cursor=a%3D%3D"),
    ],
)
def test_a_query_is_signed_in_its_canonical_form_however_it_is_written(written: str, canonical: str) -> None:
    """RFC 3986's unreserved characters stand, all others are encoded (IAM, "Create a signed AWS API request")."""
    assert signature(sign(URL + written)) == signature(sign(URL + canonical))
    assert signature(sign(URL + written)) != signature(sign(URL + canonical + "x"))
