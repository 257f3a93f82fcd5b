"""Where a PostgreSQL store is: what its URL says, and how the connection to it is secured.

Off loopback TLS is on, and the server's certificate and name are checked, unless `sslmode` says otherwise. Of libpq's
modes those that fall back silently to no encryption (`allow`, `prefer`) are refused.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from sqlalchemy import URL

from orchestrator.store.errors import StoreError

PORT = 5432
MODES = ("disable", "require", "verify-ca", "verify-full")
KEYS = ("host", "sslmode", "sslrootcert", "sslcert", "sslkey")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    host: str
    """A name or address, or the directory of a Unix socket."""
    port: int
    database: str
    user: str | None
    """None: the name of the process's user, as libpq has it."""
    password: str | None = field(repr=False)
    """None: PGPASSFILE or ~/.pgpass, where they have one."""
    sslmode: str
    files: Mapping[str, str]
    """sslrootcert, sslcert, sslkey: PEM files."""

    @property
    def name(self) -> str:
        """As messages name it."""
        user = f"{self.user}@" if self.user else ""
        if self.host.startswith("/"):
            return f"postgresql://{user}/{self.database}?host={self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{user}{host}:{self.port}/{self.database}"

    def tls(self) -> ssl.SSLContext | None:
        """None for no TLS. Reads files. Raises StoreError."""
        if self.sslmode == "disable":
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.sslmode == "verify-full"
        context.verify_mode = ssl.CERT_NONE if self.sslmode == "require" else ssl.CERT_REQUIRED
        authorities, own, key = (self.files.get(name) for name in ("sslrootcert", "sslcert", "sslkey"))
        try:
            if authorities:
                context.load_verify_locations(authorities)
            elif context.verify_mode is not ssl.CERT_NONE:
                context.load_default_certs()
            if own:
                context.load_cert_chain(own, key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            named = ", ".join(f"{name}={path}" for name, path in self.files.items())
            raise StoreError(f"store {self.name}: {named}: cannot be read as PEM ({error}); check the files") from None
        return context


def server_address(url: URL, password: str | None) -> ServerAddress:
    """Raises StoreError, which says what is wrong with the URL."""
    shown = url.set(query={}).render_as_string()
    unknown = [key for key in url.query if key not in KEYS]
    if unknown:
        raise StoreError(f"store {shown}: {unknown[0]!r} is no setting of it; there are {', '.join(KEYS)}")
    told = {key: value for key, value in url.query.items() if isinstance(value, str)}
    if len(told) < len(url.query):
        raise StoreError(f"store {shown}: each setting is given once")
    host = url.host or told.get("host", "localhost")
    if url.host and "host" in told:
        raise StoreError(f"store {shown}: ?host= is for the directory of a Unix socket, where the URL names no host")
    if not url.database:
        raise StoreError(f"store {shown}: it names no database; write postgresql://USER@HOST/DATABASE")
    mode = told.get("sslmode", "disable" if _is_local(host) else "verify-full")
    if mode not in MODES:
        raise StoreError(f"store {shown}: sslmode={mode} is not supported; choose one of {', '.join(MODES)}")
    if mode != "disable" and host.startswith("/"):
        raise StoreError(f"store {shown}: a Unix socket has no TLS; leave sslmode out")
    files = {key: value for key, value in told.items() if key.startswith("ssl") and key != "sslmode"}
    if "sslkey" in files and "sslcert" not in files:
        raise StoreError(f"store {shown}: sslkey needs sslcert, the certificate that the key is for")
    if missing := [path for path in files.values() if not Path(path).is_file()]:
        raise StoreError(f"store {shown}: there is no file {missing[0]}")
    return ServerAddress(
        host, url.port or PORT, url.database, url.username, url.password or password, mode, files
    )  # fmt: skip


def _is_local(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _no_password() -> str:
    # OpenSSL would ask for it on the terminal.
    raise ValueError("the key is encrypted")
