"""Writes `lambdas/shared/rds_certificates.py` from the bundle of certificate authorities that Amazon RDS publishes.

`make rds-certificates` fetches the bundle and keeps what the shop's database needs: the authorities of
`rds-ca-rsa2048-g1`, which stacks/constructs/database.py chooses, one a region. To be run when a region is missing.
"""

import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shop.errors import ShopError

BUNDLE_URL = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
"""Amazon RDS User Guide, "Using SSL/TLS to encrypt a connection to a DB instance": all commercial regions."""
MODULE = Path(__file__).parents[1] / "lambdas" / "shared" / "rds_certificates.py"
_CHOSEN = "Root CA RSA2048 G1"
_FOR_TESTS = (" Beta ", " Preview ")
_TIMEOUT_SECONDS = 30

_HEADER = '''\
"""The certificate authorities of Amazon RDS (rds-ca-rsa2048-g1), one a region; see shop/rds_certificates.py."""

from typing import Final

CERTIFICATES: Final = {
'''


def chosen(bundle: bytes) -> Iterator[x509.Certificate]:
    """The bundle's certificates that the shop needs and that are valid now, by region.

    Raises ShopError where the bundle has none of them, or is no bundle.
    """
    try:
        certificates = x509.load_pem_x509_certificates(bundle)
    except ValueError as error:
        raise ShopError(f"no bundle of certificates: {error}") from error
    found = {_name(certificate): certificate for certificate in certificates if _is_chosen(certificate)}
    if not found:
        raise ShopError(f"the bundle has no certificate named “Amazon RDS REGION {_CHOSEN}”")
    yield from (found[name] for name in sorted(found))


def _is_chosen(certificate: x509.Certificate) -> bool:
    name = _name(certificate)
    is_wanted = name.endswith(_CHOSEN) and not any(word in name for word in _FOR_TESTS)
    return is_wanted and certificate.not_valid_after_utc > datetime.now(UTC)


def _name(certificate: x509.Certificate) -> str:
    [attribute] = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(attribute.value)


def _region(certificate: x509.Certificate) -> str:
    return _name(certificate).removeprefix("Amazon RDS ").removesuffix(f" {_CHOSEN}")


def module(bundle: bytes) -> str:
    """The text of the module that holds them."""
    parts = [
        f'    "{_region(certificate)}": """\\\n{certificate.public_bytes(Encoding.PEM).decode()}""",\n'
        for certificate in chosen(bundle)
    ]
    return f"{_HEADER}{''.join(parts)}}}\n"


def main() -> int:
    """Fetches the bundle and writes the module. Returns the exit code."""
    try:
        with urllib.request.urlopen(BUNDLE_URL, timeout=_TIMEOUT_SECONDS) as answer:
            text = module(answer.read())
    except (OSError, ShopError) as error:
        print(f"error: {BUNDLE_URL}: {error}", file=sys.stderr)  # noqa: T201 - a command's error
        return 1
    MODULE.write_text(text)
    print(f"wrote {MODULE.relative_to(Path.cwd())}: {text.count('BEGIN')} regions", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
