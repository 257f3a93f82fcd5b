"""`vault test`: a question to a vault, put by an appliance."""

from __future__ import annotations

import secrets

from anyio import to_thread

from appliance.contract import CredentialRef, SecretLookup
from appliance.questions import VaultAnswer
from appliance.reasons import REASONS
from orchestrator.campaign_model import Campaign
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.asking import vaults_of_campaign
from orchestrator.cli.engine import Engine
from orchestrator.cli.errors import BadInput
from orchestrator.report.documents import SCHEMA_VERSION, Document
from orchestrator.report.escape import plain


def known_vault(campaign: Campaign, title: str) -> None:
    """Raises BadInput for a vault that the campaign does not have."""
    if title not in {vault.title for vault in campaign.vaults}:
        known = ", ".join(repr(vault.title) for vault in campaign.vaults)
        raise BadInput(f"the campaign has no vault titled {title!r}; it has {known}")


async def ask(engine: Engine, campaign: Campaign, logins: tuple[Login, ...], title: str, secret: str) -> VaultAnswer:
    """Does the vault answer and take the login; and, where a secret is named, is it there for us? Nothing is read."""
    known_vault(campaign, title)
    question = f"ask-{secrets.token_hex(4)}"
    await engine.admit(question, campaign, logins)
    vaults = {} if engine.stand_in else await to_thread.run_sync(vaults_of_campaign, campaign)
    await engine.wait_for_appliance(*vaults)
    zone = engine.zone_to_ask(title, vaults)
    answer = await engine.check_vault(question, title, zone)
    if answer.ok and secret:
        ref = CredentialRef(vault=title, by=SecretLookup.NAME, key=secret)
        answer = await engine.ask_secret(question, ref, zone)
    return answer


def told(title: str, answer: VaultAnswer) -> str:
    """The answer for people: a line, and one for each fact."""
    reason = REASONS.get(answer.reason)
    said = "the vault answers and takes the login" if answer.ok else f"{answer.reason}: {answer.text}"
    if reason is not None:
        said = " ".join(filter(None, (f"{reason.code}: {reason.meaning} {reason.advice}", answer.text)))
    lines = [f"{title}: {said}", *(f"  {name}: {value}" for name, value in answer.facts.items())]
    return "\n".join(map(plain, lines))


def document(title: str, secret: str, answer: VaultAnswer) -> Document:
    return {
        "schema_version": SCHEMA_VERSION,
        "vault": title,
        "secret": secret or None,
        "ok": answer.ok,
        "reason": answer.reason or None,
        "text": answer.text or None,
        "facts": answer.facts,
    }
