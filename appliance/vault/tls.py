"""TLS with a vault, beyond what aiohttp does of itself: pins, and what a failure means.

Pins are checked once per connection, when it is made and before a byte of any request is on it, through a proxy too.
aiohttp's own `Fingerprint` will not do: it is the digest of the whole certificate, so that every renewal breaks it, and
it switches the check of the authority off.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import aiohttp
from aiohttp.client_proto import ResponseHandler

from appliance.certificates import pin_of

NO_KEY = "none"
"""A pin that no key has."""


class PinMismatchError(aiohttp.ClientConnectionError):
    """The vault has another key than those that it is pinned to."""

    def __init__(self, seen: str) -> None:
        super().__init__("pin mismatch")
        self.seen = seen
        """The pin of the key that it has shown; empty where it has shown none that can be read."""


class PinningConnector(aiohttp.TCPConnector):
    """Makes connections to one vault, whose key must be one of `pins` where there are any."""

    def __init__(self, *, limit: int, keepalive_timeout: float, ssl: ssl.SSLContext, pins: Sequence[str]) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout, ssl=ssl)
        self._pins = frozenset(pins)
        self.seen = ""
        """The pin of the key that the vault has shown last; empty before the first connection, and without TLS."""

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        made = await super()._create_connection(req, traces, timeout)
        self.seen = _shown(made)
        if self._pins and self.seen not in self._pins:
            if made.transport is not None:
                made.transport.abort()
            raise PinMismatchError(self.seen)
        return made


def _shown(made: ResponseHandler) -> str:
    """The pin of a connection's peer."""
    peer = made.transport.get_extra_info("ssl_object") if made.transport is not None else None
    certificate = peer.getpeercert(binary_form=True) if peer is not None else None
    try:
        return pin_of(certificate) if certificate else ""
    except ValueError:
        return ""


_OF_US = "our client certificate (tls.client_cert)"
_ALERTS = {
    "CERTIFICATE_REQUIRED": "the vault demands a client certificate: give tls.client_cert and tls.client_key",
    "CERTIFICATE_EXPIRED": f"the vault says that {_OF_US} has expired",
    "CERTIFICATE_REVOKED": f"the vault says that {_OF_US} is revoked",
    "UNKNOWN_CA": f"the vault does not know the authority of {_OF_US}",
    "BAD_CERTIFICATE": f"the vault refuses {_OF_US}",
    "CERTIFICATE_UNKNOWN": f"the vault refuses {_OF_US}",
    "UNSUPPORTED_CERTIFICATE": f"the vault refuses {_OF_US}: it is of a kind that it does not take",
    "ACCESS_DENIED": f"the vault refuses {_OF_US}",
    "HANDSHAKE_FAILURE": "the vault breaks the handshake off: it has no cipher in common with us, or demands a client "
    "certificate (tls.client_cert)",
}
"""What the vault's alerts say, by the end of OpenSSL's names for them."""


def tls_trouble(error: BaseException) -> tuple[str, dict[str, str]] | None:
    """What an exception says of TLS, as a text and facts; None where it is about something else. None of it is secret.

    A vault may refuse a client certificate when the handshake is over for us (TLS 1.3): then aiohttp tells of a lost
    connection, and what ended it is the cause.
    """
    if isinstance(error, PinMismatchError):
        shown = f"the vault shows {error.seen}" if error.seen else "the vault shows no key that can be read"
        text = (
            f"{shown}, which is none of tls.pin: nothing was sent. Ask its administrators whether its key has changed"
        )
        return f"{text}; if it has, put the new pin there", {"pin": error.seen} if error.seen else {}
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return getattr(error.certificate_error, "verify_message", ""), {}
    for one in (getattr(error, "os_error", None), error.__cause__, error):
        if isinstance(one, ssl.SSLError):
            reason = getattr(one, "reason", None) or ""  # aiohttp's own kinds have none
            alert = next((text for name, text in _ALERTS.items() if reason.endswith(f"ALERT_{name}")), "")
            return f"{alert} ({reason})" if alert else reason or "the TLS handshake failed", {}
    return ("the TLS handshake failed", {}) if isinstance(error, aiohttp.ClientSSLError) else None


def hung_up(error: BaseException) -> str:
    """Of a connection that could not be made: did the vault end it within the handshake, without a word? Some do so
    (Windows among them) where they lack a client certificate.
    """
    # asyncio's word for an end within the handshake; one before it has an errno.
    silent = isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionResetError)
    return "the vault ended the TLS handshake; it may demand a client certificate (tls.client_cert)" if silent else ""
