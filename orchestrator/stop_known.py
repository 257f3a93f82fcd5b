"""Does a campaign name what is to be stopped? Pure. A stop of what nobody uses is most likely a slip of the pen."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.contract import Account, CredentialRef, account_key
from orchestrator.campaign_model import Campaign, Record, SecretReference, UnixRecord
from orchestrator.records import account_of, jump_of, root_account_of
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
        return any(
            _is_meant(whose, selector) for whose in (account_of(record, ""), root_account_of(record, "")) if whose
        )
    secrets = (CredentialRef(vault=vault, by=told.by, key=told.text) for vault, told in _secrets(record))
    return any("{" in named.key or selector.binds_secret(named) for named in secrets)


def _is_meant(account: Account, selector: Selector) -> bool:
    if account.is_directory:
        return selector.binds_account(account)
    return account_key("", selector.name.partition("@")[0]).user == account.user


def _secrets(record: Record) -> Iterator[tuple[str, SecretReference]]:
    """All but the jump host's, each with the title of its vault."""
    yield record.vault, record.secret
    if not isinstance(record, UnixRecord):
        return
    for told in record.fallback:
        if told.secret is not None:
            yield record.vault, told.secret
    root = record.root_delegation
    if root.secret is not None:
        yield root.vault or record.vault, root.secret
