"""The certificates in a PEM text, which may tell more than they: such files often say in words whose each one is."""

from __future__ import annotations

import re

_CERTIFICATE = re.compile(r"-----BEGIN ((?:X509 )?CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)


def certificates_alone(text: str) -> str:
    """For OpenSSL, which takes a text of ASCII's characters alone. Raises ValueError where there are none."""
    found = [match.group() for match in _CERTIFICATE.finditer(text)]
    if not found:
        raise ValueError("no certificate in PEM")
    return "\n".join(found) + "\n"
