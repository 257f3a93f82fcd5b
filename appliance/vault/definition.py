"""A vault as campaigns define it, in two strengths: with the login (`VaultLogin`) and without (`VaultAccess`).

The login exists in the memory of the orchestrator and of the appliance's supervisor only; it reaches the supervisor by
an inherited pipe (`to_pipe`, `from_pipe`). Scan processes get a `VaultAccess`, and tokens when they ask for one.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import ssl
from dataclasses import dataclass
from typing import Annotated, Literal, NoReturn, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_serializer, field_validator, model_validator

from appliance.contract import Wire, is_host
from appliance.pem import certificates_alone
from appliance.vault.client_certificate import TlsUnusableError, load_client_certificate

Api = Literal["rest", "soap"]
"""The two interfaces of one vault."""
DEFAULT_MAX_AGE, LONGEST_MAX_AGE = 60.0, 900.0
"""Seconds; no scan process lives for longer than the latter."""
PIN = r"^sha256//[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$"
"""`certificates.pin_of`: base64 of 32 bytes."""


class Hidden:
    """A secret text that no repr, pickle or log line shows; only `reveal` does."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hidden):
            return NotImplemented
        mine, theirs = (h.reveal().encode("utf-8", "surrogatepass") for h in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> NoReturn:
        raise TypeError("a secret is no key of a table")

    def __repr__(self) -> str:
        return "<hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


class VaultTls(Wire):
    """How the vault's certificate is judged, and what we show of our own."""

    ca: str = ""
    """PEM text of the only authorities to trust (the text, not a path: the appliance may be another machine); empty for
    the system's."""
    verify: bool = True
    pins: tuple[Annotated[str, Field(pattern=PIN)], ...] = ()
    """Public keys, one of which the vault must have, whatever `verify` says; empty for any."""
    client_cert: str = ""
    """PEM text of the certificate that we show the vault, and of those that lead to its authority; empty for none."""
    client_key: SecretStr = SecretStr("")
    """PEM text of its private key, not encrypted. It is in the JSON form, which is for inherited pipes alone: whoever
    connects needs it, so scan processes have it too."""
    plain_http: bool = False
    """Leave was given to reach the vault without TLS, from off this machine too."""

    @field_serializer("client_key", when_used="json")
    def _reveal(self, key: SecretStr) -> str:
        return key.get_secret_value()

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 at least. Raises TlsUnusableError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca:
            try:
                context.load_verify_locations(cadata=certificates_alone(self.ca))
            except (ssl.SSLError, ValueError, TypeError):
                raise TlsUnusableError("the CA given for this vault (tls.ca) holds no readable certificate") from None
        else:
            context.load_default_certs()
        if self.client_cert:
            load_client_certificate(context, self.client_cert, self.client_key.get_secret_value())
        return context


class VaultAccess(Wire):
    """What a scan process knows of a vault: where it is and how hard it may be asked, no password."""

    title: str
    tls: VaultTls = VaultTls()
    url: str
    """Base URL without a trailing slash, e.g. `https://vault.example/SecretServer`."""
    user: str = ""
    """The vault login's user, for reports."""
    api: Literal[Api, "auto"] = "rest"
    """`auto`: whichever answers, REST first; who grants tokens finds out, and each token says it."""
    proxy: str = ""
    """The HTTP proxy through which the vault is reached (CONNECT, so that it sees no request); empty for none."""
    requests: int = Field(default=8, ge=1, le=256)
    """Requests in flight at once from this process."""

    fetch: Literal["per-target", "shared"] = "per-target"
    """Whether every target's credential is a view of its own, or one view serves all within `max_age` (`shared`)."""
    max_age: float = Field(default=DEFAULT_MAX_AGE, ge=1.0, le=LONGEST_MAX_AGE)
    """Seconds for which a scan process keeps what is shared."""

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str, info: ValidationInfo) -> str:
        parts = _parts_of(url)
        host = parts.hostname if parts else None
        if parts is None or parts.scheme not in ("http", "https") or not host or not is_host(host):
            raise ValueError("the vault's URL must be https://HOST[:PORT][/PATH]")
        plain = url.isascii() and url.isprintable() and "\\" not in url
        if parts.query or parts.fragment or parts.username is not None or not plain:
            raise ValueError("the vault's URL must hold no user, query, fragment or unusual character")
        tls = info.data.get("tls")
        if parts.scheme == "http" and not _is_loopback(host) and not (tls and tls.plain_http):
            raise ValueError("the vault's URL must begin with https://, since a password goes there")
        return url.rstrip("/")

    @field_validator("proxy")
    @classmethod
    def _plain_proxy(cls, proxy: str) -> str:
        parts = _parts_of(proxy)
        if parts is None:
            raise ValueError("the proxy's URL must be http://HOST:PORT")
        named = parts.scheme == "http" and is_host(parts.hostname or "") and "\\" not in proxy
        if proxy and (not named or parts.path.strip("/") or parts.query):
            raise ValueError("the proxy's URL must be http://HOST:PORT")
        if parts.username is not None:
            raise ValueError(
                "the proxy's URL must hold no user or password; let the appliance's address through instead"
            )
        return proxy

    @model_validator(mode="after")
    def _sealed(self) -> Self:
        if urlsplit(self.url).scheme == "https":
            return self
        if self.proxy:
            raise ValueError("a proxy is for vaults that are asked over https")
        if self.tls.pins or self.tls.client_cert:
            raise ValueError("pins and a client certificate are for vaults that are asked over https")
        return self


def _parts_of(url: str) -> SplitResult | None:
    """None for what is no URL: the library's own errors quote what stands where the port should, or all of it."""
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port >= 1 else None
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class VaultLogin:
    """A vault with its login, for the supervisor alone."""

    access: VaultAccess
    password: Hidden
    domain: str = ""
    version: str = "1"
    """Changes whenever user, password or domain do: a refusal is remembered for one version."""

    def to_pipe(self) -> bytes:
        """JSON with the password in it: for an inherited pipe, nothing else."""
        return json.dumps(
            {
                "access": self.access.model_dump(mode="json"),
                "password": self.password.reveal(),
                "domain": self.domain,
                "version": self.version,
            }
        ).encode()

    @classmethod
    def from_pipe(cls, data: bytes) -> VaultLogin:
        """Raises ContractError; its text names the field, never the value."""
        read = _LoginOnPipe.decode(data)
        return cls(read.access, Hidden(read.password.get_secret_value()), read.domain, read.version)


class _LoginOnPipe(Wire):
    access: VaultAccess
    password: SecretStr
    domain: str
    version: str
