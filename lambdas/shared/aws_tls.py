"""Verified TLS to AWS without the time that the SDK takes to read its list of certificate authorities.

The SDK reads all of its list, some 130 certificates, at each connection that a client opens. A package has the same
authorities in a folder where OpenSSL looks up the one that it needs (stacks/constructs/authorities.py; decision 0025).
"""

import ssl
from pathlib import Path
from typing import Any, Final

import botocore.httpsession

AUTHORITIES: Final = Path(__file__).resolve().parents[1] / "authorities"
_SDK_LIST: Final = getattr(botocore.httpsession, "DEFAULT_CA_BUNDLE", None)


class _LookingUp(ssl.SSLContext):
    """Looks authorities up where the SDK would read its own list; another list (`AWS_CA_BUNDLE`) is read as ever."""

    _looks_up = False

    def load_verify_locations(self, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        if cafile and cafile == _SDK_LIST:
            self._looks_up = True
            cafile, capath = None, str(AUTHORITIES)
        super().load_verify_locations(cafile, capath, cadata)

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Connects. Where it cannot verify, the next attempt goes by the runtime's own list, which may be newer."""
        try:
            return super().wrap_socket(*args, **options)
        except ssl.SSLCertVerificationError:
            if self._looks_up:
                super().load_verify_locations(_SDK_LIST)
            raise


def look_authorities_up() -> None:
    """Lets clients that are made from now on look authorities up; does nothing outside of a package, where none are.

    The SDK makes its contexts of this name of its module. Should it make them otherwise one day, it reads its list.
    """
    if AUTHORITIES.is_dir():
        botocore.httpsession.SSLContext = _LookingUp  # type: ignore[attr-defined]
