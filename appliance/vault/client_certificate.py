"""The client certificate that a vault is shown.

OpenSSL reads a certificate and its key from files alone: they are given it as a file of the kernel's memory, which has
no name, is overwritten and is gone when it has been read.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager


class TlsUnusableError(Exception):
    """TLS settings that no connection can be made with; the text says what is wrong with them."""


def load_client_certificate(context: ssl.SSLContext, chain: str, key: str) -> None:
    """Let a context show this certificate (PEM texts). Raises TlsUnusableError."""
    try:
        with _unnamed_file(f"{chain}\n{key}".encode()) as path:
            context.load_cert_chain(path, password=str)  # an encrypted key is an error, no question on the terminal
    except (ssl.SSLError, ValueError):
        raise TlsUnusableError("the client certificate and its key cannot be used (tls.client_cert)") from None
    # Some servers ask for it only when they have seen the request (IIS, for a part of a site).
    context.post_handshake_auth = True


@contextmanager
def _unnamed_file(data: bytes) -> Iterator[str]:
    """A path that leads to these bytes while the context lasts. Raises TlsUnusableError where there can be none."""
    if not hasattr(os, "memfd_create"):
        raise TlsUnusableError("a client certificate needs Linux, so that its key is never in a file")
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    with open(descriptor, "r+b", buffering=0) as file:  # noqa: PTH123 - a descriptor, no path
        file.write(data)
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            file.seek(0)
            file.write(bytes(len(data)))
