"""The connections' sign-in, trust and names for errors, without a server."""

import json
import os
import ssl
import string
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import botocore.auth
import pymysql
import pytest
from botocore.credentials import Credentials
from botocore.hooks import HierarchicalEmitter
from botocore.model import ServiceId
from botocore.signers import RequestSigner
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st
from pymysql.constants import CR, ER

from shared import database, database_token, rds_certificates
from shop import rds_certificates as writer
from shop.errors import ShopError

NINE = datetime(2026, 11, 21, 9, tzinfo=UTC)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session/+=")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")


@pytest.fixture
def connect_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the driver was called with."""
    arguments: dict[str, Any] = {}
    monkeypatch.setattr(pymysql, "connect", lambda **given: arguments.update(given))
    return arguments


labels = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)
some_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
"""What an environment variable can hold."""


@given(
    host=st.lists(labels, min_size=1, max_size=4).map(".".join),
    port=st.integers(1, 65_535) | st.just(443),
    user=some_text.filter(bool),
    keys=st.tuples(some_text.filter(bool), some_text.filter(bool)),
    session_token=some_text,
    region=st.sampled_from(["eu-west-1", "us-gov-west-1", "cn-north-1"]),
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)),
)
@example("db.example.com", 3307, "sales reader&", ("AKIDEXAMPLE", "example"), "session/+=", "eu-west-1", NINE)
@example("DB.Example.com", 443, "é~*'(", ("AKIDEXAMPLE", "example"), "", "eu-west-1", NINE)
def test_the_token_is_the_one_that_the_sdk_makes(
    host: str, port: int, user: str, keys: tuple[str, str], session_token: str, region: str, moment: datetime
) -> None:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
    credentials = Credentials(*keys, session_token or None)
    hooks = HierarchicalEmitter()  # the signer holds it by a weak reference
    signer = RequestSigner(ServiceId("rds"), region, "rds-db", "v4", credentials, hooks)
    query = {"Action": "connect", "DBUser": user}
    request = {"url_path": "/", "query_string": {}, "headers": {}, "body": query, "method": "GET", "context": {}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        patch.setattr(database_token, "datetime", SimpleNamespace(now=lambda _: moment))
        patch.setattr(os, "environ", dict(zip(names, (*keys, session_token, region), strict=True)))
        expected = signer.generate_presigned_url(
            {**request, "url": f"https://{host}:{port}/"},
            operation_name="connect",
            region_name=region,
            expires_in=900,
            signing_name="rds-db",
        )
        assert database_token.sign_in_token(host, port, user) == expected.removeprefix("https://")


def test_without_credentials_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    with pytest.raises(RuntimeError, match="'AWS_SECRET_ACCESS_KEY' is not set"):
        database_token.sign_in_token("db.example.com", 3306, "sales_reader")


@pytest.mark.usefixtures("credentials")
def test_without_a_password_a_token_signs_in(connect_arguments: dict[str, Any]) -> None:
    database.connect("db.example.com", "cafe", "sales_reader")

    token = connect_arguments["password"].decode()
    assert token.startswith("db.example.com:3306/?Action=connect&DBUser=sales_reader&")


def test_a_connection_trusts_only_the_databases_authorities(connect_arguments: dict[str, Any]) -> None:
    database.connect("db.example.com:3307", "cafe", "sales_reader", "secret ✓")

    context: ssl.SSLContext = connect_arguments["ssl"]
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == len(rds_certificates.CERTIFICATES)
    assert connect_arguments["password"] == "secret ✓".encode()
    assert connect_arguments["port"] == 3307
    assert connect_arguments["autocommit"] is False


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("cafe.c0ffee.eu-west-1.rds.amazonaws.com", "eu-west-1"),
        ("CAFE.C0FFEE.US-EAST-1.RDS.AMAZONAWS.COM", "us-east-1"),
    ],
)
def test_where_the_name_tells_the_region_only_its_authority_is_loaded(
    connect_arguments: dict[str, Any], host: str, region: str
) -> None:
    database.connect(host, "cafe", "sales_reader", "secret")

    [authority] = connect_arguments["ssl"].get_ca_certs()
    assert f"Amazon RDS {region} Root CA" in str(authority["subject"])


@pytest.mark.parametrize(
    "host",
    [
        *("eu-west-1", "cafe.example.com", "eu-west-1.rds.amazonaws.com"),
        *("cafe.c0ffee.moon-1.rds.amazonaws.com", "cafe.c0ffee.eu-west-1.rds.amazonaws.com.example.com"),
    ],
)
def test_where_it_does_not_all_are(connect_arguments: dict[str, Any], host: str) -> None:
    database.connect(host, "cafe", "sales_reader", "secret")

    assert len(connect_arguments["ssl"].get_ca_certs()) == len(rds_certificates.CERTIFICATES)


def test_the_local_authority_takes_the_place_of_the_others(
    connect_arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "ca.crt").write_text(rds_certificates.CERTIFICATES["eu-west-1"])
    monkeypatch.setenv("DB_CA_BUNDLE", str(tmp_path / "ca.crt"))
    database.connect("db.example.com", "cafe", "sales_reader", "secret")

    assert len(connect_arguments["ssl"].get_ca_certs()) == 1


def test_the_authorities_are_rds_roots_of_most_regions() -> None:
    for region, text in rds_certificates.CERTIFICATES.items():
        [certificate] = x509.load_pem_x509_certificates(text.encode())
        name = certificate.subject.rfc4514_string()
        assert f"CN=Amazon RDS {region} Root CA RSA2048 G1" in name
        assert "O=Amazon Web Services" in name
        assert certificate.subject == certificate.issuer
    assert {"us-east-1", "eu-west-1", "eu-central-1"} <= set(rds_certificates.CERTIFICATES)


def test_the_writer_keeps_the_chosen_authorities_that_are_valid() -> None:
    text = writer.module("".join(rds_certificates.CERTIFICATES.values()).encode())

    assert text == writer.MODULE.read_text()


@pytest.mark.parametrize("bundle", [b"", b"<html>not found</html>"])
def test_the_writer_refuses_what_is_no_bundle(bundle: bytes) -> None:
    with pytest.raises(ShopError, match="no bundle of certificates"):
        writer.module(bundle)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("db.example.com", ("db.example.com", 3306)),
        ("localhost:13306", ("localhost", 13306)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        (f"{63 * 'a'}.x-1.com:1", (f"{63 * 'a'}.x-1.com", 1)),
    ],
)
def test_an_address_is_a_host_and_maybe_a_port(address: str, expected: tuple[str, int]) -> None:
    assert database.split_address(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        *("", ":3306", "host:", "host:0", "host:65536", "mysql://host", "a b", "host:1:2", "host\n"),
        *("a..b", "host.", ".host", "a-.b", f"{64 * 'a'}.com", ".".join(127 * ["aa"])),
    ],
)
def test_what_is_no_address_is_refused_by_name(address: str) -> None:
    with pytest.raises(ValueError, match="is not a host") as refusal:
        database.split_address(address)
    assert repr(address) in str(refusal.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (pymysql.OperationalError(CR.CR_CONN_HOST_ERROR, "Can't connect"), database.DatabaseUnreachable),
        (pymysql.OperationalError(ER.CON_COUNT_ERROR, "Too many connections"), database.DatabaseUnreachable),
        (pymysql.OperationalError(CR.CR_SERVER_LOST, "Lost connection"), database.DatabaseUnreachable),
        (pymysql.OperationalError(ER.ACCESS_DENIED_ERROR, "Access denied"), database.DatabaseAccessDenied),
        (pymysql.OperationalError(1698, "Access denied"), database.DatabaseAccessDenied),
        (pymysql.OperationalError(4151, "Access denied, this account is locked"), database.DatabaseAccessDenied),
        (pymysql.OperationalError(ER.TABLEACCESS_DENIED_ERROR, "SELECT denied"), database.DatabaseAccessDenied),
        (pymysql.ProgrammingError(ER.NO_SUCH_TABLE, "no table"), database.DatabaseObjectMissing),
        (pymysql.OperationalError(ER.BAD_DB_ERROR, "no database"), database.DatabaseObjectMissing),
        (pymysql.OperationalError(1969, "max_statement_time exceeded"), database.QueryTimedOut),
        (pymysql.OperationalError(ER.LOCK_WAIT_TIMEOUT, "lock"), database.QueryTimedOut),
        (pymysql.InternalError(1, "something else"), database.DatabaseFailed),
        (pymysql.InternalError("Packet sequence number wrong"), database.DatabaseFailed),
        (pymysql.InterfaceError(), database.DatabaseFailed),
    ],
)
def test_errors_have_names(error: pymysql.MySQLError, kind: type[Exception]) -> None:
    with pytest.raises(database.DatabaseError) as raised, database.errors("db.example.com"):
        raise error
    assert type(raised.value) is kind
    assert "db.example.com" in str(raised.value)


def test_an_answer_that_does_not_come_is_a_query_over_its_time() -> None:
    def lose_the_connection() -> None:
        try:
            raise TimeoutError("timed out")
        except OSError:
            raise pymysql.OperationalError(CR.CR_SERVER_LOST, "Lost connection (timed out)")  # noqa: B904 (as PyMySQL)

    with pytest.raises(database.QueryTimedOut), database.errors("db"):
        lose_the_connection()


def test_no_password_is_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens on the port, and the password is one that PyMySQL itself could not encode."""
    monkeypatch.setitem(os.environ, "AWS_REGION", "eu-west-1")
    with pytest.raises(database.DatabaseUnreachable) as raised:
        database.connect("127.0.0.1:1", "cafe", "sales_reader", "pässwörd✓", connect_seconds=1)
    error: BaseException | None = raised.value
    while error:
        assert "pässwörd" not in json.dumps(repr(error), ensure_ascii=False)
        error = error.__cause__ or error.__context__
