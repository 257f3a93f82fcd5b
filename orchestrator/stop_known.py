"""Does a campaign name what is to be stopped? Pure. A stop of what nobody uses is most likely a slip of the pen."""

from __future__ import annotations

from appliance.contract import CredentialRef, account_key
from orchestrator.campaign_model import Campaign, Record
from orchestrator.records import account_of, jump_of
from orchestrator.stops import Selector, StopKind


def names(campaign: Campaign, selector: Selector) -> bool:
    """In doubt yes: an account of each host, and a secret whose name is built from the target, may be any."""
    if selector.kind is StopKind.VAULT:
        return any(selector.binds_vault(vault.title) for vault in campaign.vaults)
    return any(_uses(record, selector) for record in campaign.records)


def _uses(record: Record, selector: Selector) -> bool:
    jump = jump_of(record)
    if jump is not None and (selector.binds_account(jump.account) or selector.binds_secret(jump.secret)):
        return True
    if selector.kind is StopKind.ACCOUNT:
        account = account_of(record, "")
        if account.is_directory:
            return selector.binds_account(account)
        return account_key("", selector.name.partition("@")[0]).user == account.user
    named = CredentialRef(vault=record.vault, by=record.secret.by, key=record.secret.text)
    return "{" in named.key or selector.binds_secret(named)
