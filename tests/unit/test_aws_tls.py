"""Whom a function's clients trust: real handshakes with a server whose authority is known, unknown, or newly known."""

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import botocore.httpsession
import botocore.session
import pytest
from botocore.exceptions import SSLError

from shared import aws_tls
from shared.aws import CLIENT_CONFIG
from shop.local.tls import ensure_certificates
from stacks.constructs import authorities


class Sqs(BaseHTTPRequestHandler):
    """Has no queues."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Says nothing of connections that a client refused."""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the server, in a folder with the server's certificate."""
    return ensure_certificates(tmp_path_factory.mktemp("server"))[0]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another authority of the same name."""
    return ensure_certificates(tmp_path_factory.mktemp("stranger"))[0]


@pytest.fixture(scope="module")
def url(authority: Path) -> Iterator[str]:
    _, certificate, key = ensure_certificates(authority.parent)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(("127.0.0.1", 0), Sqs)
    # The handshake is in the thread of its connection, where a refused one ends nothing else.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Path], None]:
    """Makes a package's authorities of one bundle, and the SDK's own list of another."""
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)

    def package(in_package: Path, in_sdk: Path) -> None:
        authorities.write(in_package, tmp_path / "authorities")
        monkeypatch.setattr(aws_tls, "AUTHORITIES", tmp_path / "authorities")
        monkeypatch.setattr(aws_tls, "_SDK_LIST", str(in_sdk))
        monkeypatch.setattr(botocore.httpsession, "where", lambda: str(in_sdk))
        monkeypatch.setattr(botocore.httpsession, "SSLContext", ssl.SSLContext)
        aws_tls.look_authorities_up()

    return package


def client(url: str) -> Any:
    session = botocore.session.Session()
    return session.create_client("sqs", "eu-west-1", endpoint_url=url, config=CLIENT_CONFIG)


def test_an_authority_of_the_package_is_trusted_without_the_sdks_list(
    packaged: Callable[[Path, Path], None], authority: Path, url: str, tmp_path: Path
) -> None:
    packaged(authority, tmp_path / "not-read.pem")
    assert client(url).list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_nobody_else_is_trusted_however_often_it_is_asked(
    packaged: Callable[[Path, Path], None], stranger: Path, url: str
) -> None:
    packaged(stranger, stranger)
    sqs = client(url)
    for _ in range(2):
        with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            sqs.list_queues()


def test_an_authority_that_the_runtime_alone_knows_is_trusted_from_the_second_attempt_on(
    packaged: Callable[[Path, Path], None], authority: Path, stranger: Path, url: str
) -> None:
    packaged(stranger, authority)
    sqs = client(url)
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        sqs.list_queues()
    assert sqs.list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_the_users_own_list_goes_before_the_packages(
    packaged: Callable[[Path, Path], None], authority: Path, stranger: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(authority, authority)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(stranger))
    sqs = client(url)
    for _ in range(2):
        with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            sqs.list_queues()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority))
    assert client(url).list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_outside_of_a_package_the_sdk_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_tls, "AUTHORITIES", tmp_path / "authorities")
    aws_tls.look_authorities_up()
    assert type(botocore.httpsession.create_urllib3_context()) is ssl.SSLContext
