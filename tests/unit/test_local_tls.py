from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from shop.local.tls import ensure_certificates

if TYPE_CHECKING:
    from pathlib import Path


def _handshake(folder: Path, host: str) -> None:
    """Connect as a client that checks as strictly as Python 3.13 does by default."""
    authority, certificate, key = ensure_certificates(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(authority))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=host).close()
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_strict_client_trusts_the_loopback_names(tmp_path: Path, host: str) -> None:
    _handshake(tmp_path, host)


def test_no_other_name_is_trusted(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tmp_path, "example.com")


def test_certificates_are_kept_and_the_key_is_private(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in ensure_certificates(tmp_path)]
    again = ensure_certificates(tmp_path)
    assert [path.read_bytes() for path in again] == first
    assert again[2].stat().st_mode & 0o077 == 0


def test_a_damaged_certificate_is_made_anew(tmp_path: Path) -> None:
    _, certificate, _ = ensure_certificates(tmp_path)
    certificate.write_text("broken")
    _handshake(tmp_path, "localhost")
