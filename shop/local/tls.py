"""Certificates for HTTPS on the loopback address: a certificate authority of the cloud's own, and a server certificate.

The emulator could make a certificate itself, but only with an `openssl` program of a recent version on PATH, and one
that is its own authority, which clients that check strictly (Python 3.13's `ssl`, say) may refuse.
"""

from __future__ import annotations

import datetime
import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shop.local.files import write_private

if TYPE_CHECKING:
    from pathlib import Path

# Apple's systems trust a server certificate for at most 825 days (Apple support, HT103769).
_DAYS = 820
_RENEW_WHEN_LEFT = datetime.timedelta(days=30)


def ensure_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """The files (authority, server certificate, server key) in `folder`, made anew where missing or about to expire."""
    authority, server, key = folder / "ca.crt", folder / "server.crt", folder / "server.key"
    if not _is_usable(authority, server, key):
        _make(authority, server, key)
    return authority, server, key


def _is_usable(authority: Path, server: Path, key: Path) -> bool:
    if not (authority.exists() and server.exists() and key.exists()):
        return False
    try:
        expires = x509.load_pem_x509_certificate(server.read_bytes()).not_valid_after_utc
    except ValueError:
        return False
    return expires - datetime.datetime.now(datetime.UTC) > _RENEW_WHEN_LEFT


def _make(authority: Path, server: Path, key: Path) -> None:
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "serverless-shop local cloud")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    authority_certificate = (
        _builder(issuer, issuer, authority_key.public_key(), authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    server_certificate = (
        _builder(subject, issuer, server_key.public_key(), authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_private(
        key,
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    # The authority stands behind the server's certificate in one file because the emulator lets functions trust
    # whatever is in its certificate file. The authority's own key is forgotten: nothing more can be signed with it.
    authority_pem = authority_certificate.public_bytes(pem)
    write_private(authority, authority_pem)
    write_private(server, server_certificate.public_bytes(pem) + authority_pem)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, issuer_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    # An hour of leeway for a clock that is corrected after the certificate was made.
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
