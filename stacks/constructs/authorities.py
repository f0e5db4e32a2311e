"""The certificate authorities that the SDK trusts, as files that OpenSSL finds by name, for a package.

The SDK reads its whole list at each connection that a client opens: some 130 certificates, 17 ms, of which a handshake
needs one. OpenSSL can look up just that one in a folder whose files are named by a hash of the authority's name
(openssl-rehash(1)). The folder has the same certificates as the list; decision 0025 has what it gains.
"""

import hashlib
import importlib.metadata
import re
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

FOLDER = "authorities"
"""Where they are in a package; `lambdas/shared/aws_tls.py` looks there."""
SDK_LIST = Path(str(importlib.metadata.distribution("botocore").locate_file("botocore/cacert.pem")))
EDITION = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in (SDK_LIST, Path(__file__)))
"""What the files depend on: the SDK's list, and this module as it was loaded."""

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _SUBJECT = 0xA0, 4
"""The tag of a certificate's first field, which the oldest do not have, and the place of its subject without that."""
_SEQUENCE, _SET, _UTF8_STRING = 0x30, 0x31, 0x0C
_ENCODINGS = {
    _UTF8_STRING: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1A: "ascii", 0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}  # fmt: skip
"""Of the types of text that a name may have (X.680, clause 8): UTF-8, Printable, Teletex, IA5, Visible, Universal, BMP.
OpenSSL compares them all as text; what is of another type it compares as it is."""


def write(bundle: Path, folder: Path) -> None:
    """Writes the authorities of a bundle (PEM), a file each."""
    folder.mkdir(parents=True)
    of_name: Counter[str] = Counter()
    for certificate in _PEM.findall(bundle.read_text(encoding="utf-8")):
        name = name_hash(_subject(ssl.PEM_cert_to_DER_cert(certificate)))
        (folder / f"{name}.{of_name[name]}").write_text(f"{certificate}\n", encoding="ascii")
        of_name[name] += 1


def _subject(certificate: bytes) -> bytes:
    """The name, encoded, that a certificate is of (RFC 5280, section 4.1)."""
    ((_, signed),) = _elements(certificate)
    (_, content), *_ = _elements(signed)
    fields = [field for field in _elements(content) if field[0] != _VERSION]
    return _element(*fields[_SUBJECT])


def name_hash(name: bytes) -> str:
    """OpenSSL's hash of a name in DER, eight hexadecimal digits (X509_NAME_hash_ex(3)).

    It is of the name in its canonical form: all text in UTF-8, in small letters, with single spaces; and without what
    encloses the whole.
    """
    ((_, attribute_sets),) = _elements(name)
    canonical = b"".join(
        _element(_SET, b"".join(sorted(_canonical_attribute(attribute) for _, attribute in _elements(attributes))))
        for _, attributes in _elements(attribute_sets)
    )
    digest = hashlib.sha1(canonical, usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _canonical_attribute(attribute: bytes) -> bytes:
    (kind_tag, kind), (tag, value) = _elements(attribute)
    if tag in _ENCODINGS:
        text = value.decode(_ENCODINGS[tag]).encode()
        # bytes, whose lower() and split() know ASCII alone, as OpenSSL's do
        tag, value = _UTF8_STRING, b" ".join(text.lower().split())
    return _element(_SEQUENCE, _element(kind_tag, kind) + _element(tag, value))


def _elements(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents of the elements that stand one after the other (DER: X.690, clause 8.1)."""
    at = 0
    while at < len(encoded):
        tag, length, at = encoded[at], encoded[at + 1], at + 2
        if length & 0x80:
            start, at = at, at + (length & 0x7F)
            length = int.from_bytes(encoded[start:at], "big")
        yield tag, encoded[at : at + length]
        at += length


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:  # noqa: PLR2004 (X.690, clause 8.1.3: above, the length of the length comes first)
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content
