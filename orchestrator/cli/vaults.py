"""`vault test`: a question to a vault, put by an appliance."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from appliance.contract import CredentialRef, SecretLookup, VaultQuery, VaultQueryKind
from orchestrator.campaign_model import Campaign
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.engine import Engine
from orchestrator.cli.errors import BadInput


@dataclass(frozen=True, slots=True)
class VaultReply:
    ok: bool
    text: str


def known_vault(campaign: Campaign, title: str) -> None:
    """Raises BadInput for a vault that the campaign does not have."""
    if title not in {vault.title for vault in campaign.vaults}:
        known = ", ".join(repr(vault.title) for vault in campaign.vaults)
        raise BadInput(f"the campaign has no vault titled {title!r}; it has {known}")


async def ask(engine: Engine, campaign: Campaign, logins: tuple[Login, ...], title: str, secret: str) -> VaultReply:
    """Does the vault answer and take the login; and, where a secret is named, is it there for us? Nothing is read."""
    known_vault(campaign, title)
    question = f"ask-{secrets.token_hex(4)}"
    await engine.admit(question, campaign, logins)
    await engine.wait_for_appliance()
    answer = await engine.ask_vault(VaultQuery(run=question, kind=VaultQueryKind.CHECK, vault=title))
    if answer.ok and secret:
        ref = CredentialRef(vault=title, by=SecretLookup.NAME, key=secret)
        answer = await engine.ask_secret(question, ref)
    facts = "".join(f"\n  {name}: {value}" for name, value in answer.facts.items())
    if answer.ok:
        return VaultReply(ok=True, text=f"{title}: the vault answers and takes the login{facts}")
    return VaultReply(ok=False, text=f"{title}: {answer.reason}: {answer.text}{facts}")
