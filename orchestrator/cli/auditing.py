"""`audit RUN`: the vault's own record of a run's secrets, held against what the run says it has read.

An appliance pulls the rows, page by page; no secret is viewed. What pairs with what is decided in `orchestrator.audit`.
"""

from __future__ import annotations

import time

import anyio
from rich.console import Console

from appliance.contract import CredentialRef
from appliance.questions import VaultAnswer
from appliance.reasons import REASONS
from orchestrator.assembly import Prepared
from orchestrator.audit.document import Unread, VaultPart, document_of
from orchestrator.audit.judging import Question, judge, user_key
from orchestrator.audit.pulling import Put, Refused, Who, pull_rows, pull_who
from orchestrator.audit.uses import SecretKey, Use, Uses, uses_of, vault_keys
from orchestrator.cli.arguments import Where
from orchestrator.cli.asker import asker
from orchestrator.cli.audit_report import tell
from orchestrator.cli.errors import BadInput, Exit, Unreachable
from orchestrator.cli.output import written_to
from orchestrator.cli.running import recalled
from orchestrator.cli.storing import find_run, stored
from orchestrator.cli.vault_check import secret_query
from orchestrator.report.documents import dumps
from orchestrator.state_dir import holder_of


async def audit(where: Where, run: str | None, interval: float, as_json: bool) -> Exit:
    """Exit 1 when something does not pair. `interval`: the vault's Secret View Interval in seconds."""
    async with stored(where.home) as store:
        record = await find_run(store, run)
        prepared = recalled(record)
        uses = await uses_of(store, prepared, time.time())
    holder = await anyio.to_thread.run_sync(holder_of, where.state)
    if record.state.under_way and holder is not None:
        raise BadInput(f"run {record.id} goes on in process {holder}, and has not told all its uses yet; wait")
    parts: list[VaultPart] = []
    used = {key.vault for key in uses.by_secret} | _vaults_of(uses.unheard, prepared)
    titles = {title for key, title in uses.titles.items() if key in used}
    if titles:
        vaults = tuple(vault for vault in prepared.campaign.vaults if vault.title in titles)
        async with asker(where, prepared.campaign.model_copy(update={"vaults": vaults})) as put:
            await _resolve(put, prepared, uses)
            parts += [await _audited(put, prepared, uses, vault.title, interval) for vault in vaults]
    document = document_of(record, parts, interval, uses.unreadable_runs)
    with written_to(None) as out:
        if as_json:
            print(dumps(document), file=out)
        else:
            tell(document, Console(file=out))
    return Exit.OK if document["clean"] else Exit.GATE_FAILED


def _vaults_of(unheard: dict[CredentialRef, list[Use]], prepared: Prepared) -> set[object]:
    keys = vault_keys(prepared.campaign)
    return {keys[ref.vault] for ref in unheard}


async def _resolve(put: Put, prepared: Prepared, uses: Uses) -> None:
    """Which secrets those attempts may have read that were never heard of. One that is not there is read by nobody."""
    keys, refs = vault_keys(prepared.campaign), list(uses.unheard)
    for ref, answer in zip(refs, await put([secret_query(ref) for ref in refs]) if refs else (), strict=True):
        if (secret_id := answer.facts.get("secret_id", "")).isdigit():
            uses.resolve(ref, SecretKey(keys[ref.vault], int(secret_id)))


async def _audited(put: Put, prepared: Prepared, uses: Uses, title: str, interval: float) -> VaultPart:
    """Raises Unreachable where the vault does not give its record."""
    record, key = prepared.record, vault_keys(prepared.campaign)[title]
    mine = {secret: found for secret, found in uses.by_secret.items() if secret.vault == key}
    who = await pull_who(put, title)
    if isinstance(who, Refused):
        raise Unreachable(_told(title, who.answer))
    since = min([record.created_at, *(use.begin for found in mine.values() for use in found if use.run == record.id)])
    pulled = await pull_rows(put, title, [secret.secret_id for secret in mine], who.clock, since)
    unread: list[Unread] = []
    rows = {}
    for secret, found in mine.items():
        got = pulled[secret.secret_id]
        if not isinstance(got, Refused):
            rows[secret] = got
        elif got.answer.reason.startswith("SECRET_"):
            unread.append(Unread(secret, found[0].secret, got.answer.reason, got.answer.text))
        else:
            raise Unreachable(_told(title, got.answer))
    question = Question(record.id, since, _names(who, key.user), who.clock, interval)
    return VaultPart(title, who, judge(mine, rows, question), mine, tuple(unread))


def _names(who: Who, user: str) -> frozenset[str]:
    return frozenset(user_key(name) for name in (user, who.user, who.display_name) if name)


def _told(title: str, answer: VaultAnswer) -> str:
    reason = REASONS.get(answer.reason)
    advice = f" {reason.advice}" if reason is not None else ""
    right = ""
    if answer.reason in ("VAULT_FORBIDDEN", "SECRET_ACCESS_DENIED"):
        right = " The vault's user needs the role permission View Secret Audit."
    return f"vault {title!r} does not show its audit: {answer.reason}: {answer.text}{right or advice}"
