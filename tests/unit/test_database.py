"""The connections' sign-in, trust and names for errors, without a server."""

import json
import os
import ssl
from datetime import UTC, datetime
from typing import Any

import boto3
import pymysql
import pytest
from botocore.auth import SigV4QueryAuth
from cryptography import x509
from pymysql.constants import CR, ER

from shared import database, database_token, rds_certificates
from shop import rds_certificates as writer
from shop.errors import ShopError


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


@pytest.mark.usefixtures("credentials")
def test_the_token_is_the_one_that_the_sdk_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([datetime(2026, 11, 21, 9, 0, 0, tzinfo=UTC)] * 9)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: next(moments))
    rds = boto3.Session().client("rds", region_name="eu-west-1")  # not of the default session, which keeps credentials
    expected = rds.generate_db_auth_token("db.example.com", 3307, "sales reader&")

    assert database_token.sign_in_token("db.example.com", 3307, "sales reader&") == expected
    assert "X-Amz-Expires=900" in expected


@pytest.mark.usefixtures("credentials")
def test_without_a_password_a_token_signs_in(
    connect_arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SigV4QueryAuth, "add_auth", lambda *_: None)
    database.connect("db.example.com", "cafe", "sales_reader")

    assert connect_arguments["password"] == b"db.example.com:3306/"


def test_a_connection_trusts_only_the_databases_authorities(connect_arguments: dict[str, Any]) -> None:
    database.connect("db.example.com:3307", "cafe", "sales_reader", "secret ✓")

    context: ssl.SSLContext = connect_arguments["ssl"]
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == rds_certificates.CERTIFICATES.count("BEGIN CERTIFICATE")
    assert connect_arguments["password"] == "secret ✓".encode()
    assert connect_arguments["port"] == 3307
    assert connect_arguments["autocommit"] is False


def test_the_local_authority_takes_the_place_of_the_others(
    connect_arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    one = rds_certificates.CERTIFICATES.split("#")[1].partition("\n")[2]
    (tmp_path / "ca.crt").write_text(one)
    monkeypatch.setenv("DB_CA_BUNDLE", str(tmp_path / "ca.crt"))
    database.connect("db.example.com", "cafe", "sales_reader", "secret")

    assert len(connect_arguments["ssl"].get_ca_certs()) == 1


def test_the_authorities_are_rds_roots_of_most_regions() -> None:
    certificates = x509.load_pem_x509_certificates(rds_certificates.CERTIFICATES.encode())
    names = [certificate.subject.rfc4514_string() for certificate in certificates]

    assert all("Root CA RSA2048 G1" in name and "O=Amazon Web Services" in name for name in names)
    assert all(certificate.subject == certificate.issuer for certificate in certificates)
    assert {"us-east-1", "eu-west-1", "eu-central-1"} <= {name.split("Amazon RDS ")[1].split()[0] for name in names}


def test_the_writer_keeps_the_chosen_authorities_that_are_valid() -> None:
    text = writer.module(rds_certificates.CERTIFICATES.encode())

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
