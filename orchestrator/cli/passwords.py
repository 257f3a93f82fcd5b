"""The vault logins of a campaign, whole: what is known of the vault, and the secrets that its references stand for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.campaign_model import Campaign, Vault
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.errors import BadInput
from orchestrator.cli.secret_references import Reader, read_secret

if TYPE_CHECKING:
    from appliance.certificates import ClientCertificate


def logins_of(campaign: Campaign, read: Reader = read_secret) -> tuple[Login, ...]:
    """The campaign's vault logins, with their passwords. Raises BadInput."""
    return tuple(_login(vault, campaign.pace.vault_requests, read) for vault in campaign.vaults)


def _login(vault: Vault, requests: int, read: Reader) -> Login:
    own = _certificate(vault, read)
    access = {
        "title": vault.title,
        "url": vault.url,
        "user": vault.user,
        "api": vault.api,
        "tls": {
            "ca": _authorities(vault),
            "verify": vault.tls.verify,
            "pins": list(vault.tls.pin),
            "client_cert": own.chain if own else "",
            "plain_http": vault.tls.plain_http,
        },
        "proxy": vault.proxy or "",
        "requests": requests,
        "fetch": vault.fetch,
        "max_age": vault.max_age,
    }
    asked = f"Password of {vault.user} at {vault.title}"
    password = read(vault.password, vault.title, "password", asked)
    return Login(access, vault.domain or "", password, own.key if own else "")


def _certificate(vault: Vault, read: Reader) -> ClientCertificate | None:
    """What the vault is shown, where it is shown something. Raises BadInput."""
    if vault.tls.client_cert is None:
        return None
    from orchestrator.cli.client_certificates import own_certificate  # noqa: PLC0415 - X.509, which few vaults ask for

    return own_certificate(vault, time.time(), read)


def _authorities(vault: Vault) -> str:
    if vault.tls.ca is None:
        return ""
    try:
        return Path(str(vault.tls.ca)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"vault {vault.title!r}: cannot read the CA file {vault.tls.ca}") from None
