"""How one gets on the bus: where the server is, whom to trust there, and who one is."""

from __future__ import annotations

import re
import ssl

from pydantic import SecretStr, field_serializer

from appliance.bus.claims import BadKey, BadToken, KeyKind, claims_of, public_of
from appliance.bus.servers import wants_tls
from appliance.contract import Wire
from appliance.pem import certificates_alone

_PART = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+(\S+)\s+-{3,}END \1-{3,}")


class CredentialsError(ValueError):
    """A file or text that holds no login for the bus; the text says what to do."""


class BusLogin(Wire):
    """Everything that a connection to the bus takes. For a pipe, or a file of mode 0600: the seed is in it."""

    url: str
    """The server, or those of a cluster with commas between them."""
    seed: SecretStr
    """The user's nkey seed."""
    token: str = ""
    """What the user's account says of it, for a server in operator mode; empty where the server knows users itself."""
    ca: str = ""
    """The authorities to trust for TLS, as PEM; empty for the system's."""

    @field_serializer("seed", when_used="json")
    def _reveal(self, seed: SecretStr) -> str:
        return seed.get_secret_value()

    def tls(self) -> ssl.SSLContext | None:
        """None where the URL is none of TLS and no authority is named. Raises CredentialsError."""
        if not self.ca and not wants_tls(self.url):
            return None
        try:
            return ssl.create_default_context(cadata=certificates_alone(self.ca) if self.ca else None)
        except (ssl.SSLError, ValueError, TypeError):
            raise CredentialsError(f"the CA for {self.url} is none: it must be certificates in PEM") from None


def credentials_text(seed: str, token: str) -> str:
    """A credentials file as NATS's own tools read and write it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        "This file proves who its holder is: keep it to yourself.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def read_credentials(text: str) -> tuple[str, str]:
    """Seed and token out of a credentials file; or the seed alone, out of a file that holds nothing else (then the
    token is empty). Raises CredentialsError.
    """
    parts = dict(_PART.findall(text))
    seed, token = parts.get("USER NKEY SEED", text.strip() if not parts else ""), parts.get("NATS USER JWT", "")
    try:
        user = public_of(seed, KeyKind.USER)
        told = claims_of(token)["sub"] if token else user
    except (BadKey, BadToken, KeyError):
        raise CredentialsError(
            "holds no login for the bus: it must be a credentials file of NATS, or the nkey seed alone, "
            "the line that begins with SU"
        ) from None
    if told != user:
        raise CredentialsError("holds the token of one user and the seed of another; fetch the file anew")
    return seed, token
