"""The files that a vault's clients need: its users' passwords, its CA, and a certificate to show."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

from targets.estate import Estate
from targets.secret_server import tls
from targets.spec import EstateError
from targets.vault_spec import TlsSpec, VaultSpec


@dataclass(frozen=True, slots=True)
class VaultFiles:
    """What a vault's clients need, and the server's own certificate."""

    password: Path
    users: Path
    context: ssl.SSLContext | None = None
    ca: Path | None = None
    pin: str | None = None
    clients: tls.Clients | None = None

    def url(self, port: int, vault: VaultSpec) -> str:
        return f"http{'s' if self.context else ''}://{vault.hostname}:{port}{vault.mount}"


def prepare(what: Estate, state: Path) -> VaultFiles:
    """Make the state directory and write them there. Raises EstateError."""
    given = what.vault.all_users[0].password_file
    password_file, users_file = given or state / "vault-password", state / "vault-users.json"
    users = [
        {
            "user": user.name,
            "domain": user.domain,
            "password": user.password or what.password_of(user.name),
            "one_time_code": user.one_time_code,
            "enabled": user.enabled,
            "permissions": user.permissions,
            "access": user.access,
            "addresses": user.addresses,
        }
        for user in what.vault.all_users
    ]
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if given is None:
            tls.write_private(password_file, what.vault_password.encode())
        tls.write_private(users_file, json.dumps(users, indent=2).encode())
        return _over_tls(VaultFiles(password_file, users_file), what.vault, state)
    except (OSError, ValueError) as error:
        raise EstateError(f"cannot set up the state directory {state} or the vault's certificate: {error}") from None


def _over_tls(files: VaultFiles, vault: VaultSpec, state: Path) -> VaultFiles:
    """Raises OSError, ValueError."""
    if vault.tls is False:
        return files
    made = tls.make(state, vault.hostname) if vault.tls is True else None
    own = vault.tls if isinstance(vault.tls, TlsSpec) else made
    assert own is not None  # noqa: S101 - it is one of the two
    clients = tls.make_client(state) if vault.client_certificates else None
    context = tls.context(own.certificate, own.key, None if clients is None else clients.ca)
    ca = None if made is None else made.ca
    return replace(files, context=context, ca=ca, pin=tls.pin(own.certificate), clients=clients)
