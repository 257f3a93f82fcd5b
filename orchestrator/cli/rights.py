"""`vault rights CAMPAIGN`: least privilege. What the campaign needs of its vaults' users, beside what they have.

An appliance asks; no secret is viewed or checked out, and no audit is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from appliance.contract import CredentialRef
from appliance.questions import VaultQuery, VaultQueryKind
from appliance.reasons import REASONS
from orchestrator.audit.pulling import Put
from orchestrator.campaign_model import Campaign
from orchestrator.cli.arguments import Where
from orchestrator.cli.asker import asker
from orchestrator.cli.errors import Exit, NothingToDo, Unreachable
from orchestrator.cli.output import written_to
from orchestrator.cli.vaults import known_vault
from orchestrator.least_privilege import (
    FAULTS,
    PermissionVerdict,
    SecretVerdict,
    Verdict,
    folders,
    judge_permissions,
    judge_secret,
)
from orchestrator.plan import NothingSelected, build_plan
from orchestrator.records import RecordBook
from orchestrator.report.documents import SCHEMA_VERSION, Document, dumps
from orchestrator.report.tables import BAD, GOOD, FittedTable, cell, column, say

SHOWN = 20
"""Secrets; of folders and permissions all are shown."""


@dataclass(frozen=True, slots=True)
class VaultRights:
    title: str
    user: str
    permissions: Sequence[PermissionVerdict]
    secrets: Sequence[SecretVerdict]

    @property
    def ok(self) -> bool:
        verdicts = [one.verdict for one in self.permissions] + [one.verdict for one in self.secrets]
        return not any(verdict in FAULTS for verdict in verdicts)


async def rights(where: Where, campaign: Campaign, title: str | None, as_json: bool) -> Exit:
    """Exit 1 when something lacks or is too much."""
    if title is not None:
        known_vault(campaign, title)
    book = RecordBook(campaign.records, campaign.vaults)
    plan = build_plan(campaign, book, run="rights", seed=0)
    if isinstance(plan, NothingSelected):
        raise NothingToDo(plan.text)
    uses = {ref: len(jobs) for ref, jobs in plan.uses().items() if title in (None, ref.vault)}
    used = tuple(vault for vault in campaign.vaults if any(ref.vault == vault.title for ref in uses))
    if not used:
        raise NothingToDo(f"no target of the campaign needs a secret of vault {title!r}")
    async with asker(where, campaign.model_copy(update={"vaults": used})) as put:
        found = [await _of_vault(put, vault.title, uses) for vault in used]
    with written_to(None) as out:
        if as_json:
            print(dumps(document(campaign.name, found)), file=out)
        else:
            tell(found, Console(file=out))
    return Exit.OK if all(one.ok for one in found) else Exit.GATE_FAILED


async def _of_vault(put: Put, title: str, uses: Mapping[CredentialRef, int]) -> VaultRights:
    """Raises Unreachable."""
    [who] = await put([VaultQuery(run="", kind=VaultQueryKind.WHO, vault=title)])
    refs = [ref for ref in uses if ref.vault == title]
    queries = [VaultQuery(run="", kind=VaultQueryKind.RIGHTS, vault=title, secret=ref) for ref in refs]
    answers = await put(queries) if who.ok else ()
    for answer in (who, *answers):
        # Of one secret the vault may say no; whatever else it says, it has not told the user's rights.
        if not answer.ok and not answer.reason.startswith("SECRET_"):
            reason = REASONS.get(answer.reason)
            advice = f" {reason.advice}" if reason is not None else ""
            raise Unreachable(
                f"vault {title!r} does not tell its user's rights: {answer.reason}: {answer.text}{advice}"
            )
    hidden = any(answer.facts.get("hides_password") == "yes" for answer in answers)
    permissions = judge_permissions(who.facts.get("permissions", "").splitlines(), hidden=hidden)
    secrets = [judge_secret(ref, uses[ref], answer) for ref, answer in zip(refs, answers, strict=True)]
    return VaultRights(title, who.facts.get("user", ""), permissions, secrets)


def document(campaign: str, found: Sequence[VaultRights]) -> Document:
    return {
        "schema_version": SCHEMA_VERSION,
        "campaign": campaign,
        "ok": all(one.ok for one in found),
        "vaults": [_document(one) for one in found],
    }


def _document(one: VaultRights) -> dict[str, Any]:
    return {
        "vault": one.title,
        "user": one.user,
        "ok": one.ok,
        "permissions": [
            {"permission": p.permission, "needed": p.needed, "has": p.has, "verdict": p.verdict.value, "why": p.why}
            for p in one.permissions
        ],
        "folders": [{"folder": folder, "needs": "View", "secrets": number} for folder, number in folders(one.secrets)],
        "secrets": [
            {
                "secret": s.secret.key,
                "by": s.secret.by.value,
                "narrowed_by": s.secret.narrowed_by or None,
                "secret_id": s.secret_id,
                "folder": s.folder or None,
                "targets": s.targets,
                "needs": "View",
                "has": s.has or None,
                "verdict": s.verdict.value,
                "why": s.why or None,
                "approval": s.approval or None,
            }
            for s in one.secrets
        ],
    }


def tell(found: Sequence[VaultRights], console: Console) -> None:
    for one in found:
        said = "has what the campaign needs, and no more" if one.ok else "has not what it needs, or more than that"
        console.print(cell(f"{one.title}: user {one.user} {said}", GOOD if one.ok else BAD))
        table = FittedTable("", *map(column, ("Role permission", "Needed", "Has", "Verdict", "Why")))
        for p in one.permissions:
            style = BAD if p.verdict in FAULTS else ""
            needed, has = ("yes" if flag else "no" for flag in (p.needed, p.has))
            table.add_row(cell(p.permission), cell(needed), cell(has), cell(p.verdict.value, style), cell(p.why))
        console.print(table)
        for folder, number in folders(one.secrets):
            say(console, f"View on folder {folder}, or on each of the {number} secrets of the campaign in it.")
        _tell_secrets(one.secrets, console)


def _tell_secrets(secrets: Sequence[SecretVerdict], console: Console) -> None:
    fine = sum(secret.verdict is Verdict.OK for secret in secrets)
    say(console, f"{fine} of {len(secrets)} secrets: View, and no more. No secret was viewed.")
    if gated := sum(bool(secret.approval) for secret in secrets):
        lacking = sum(secret.approval == "needed" for secret in secrets)
        how = 'View lets the user ask for it (approval = "request" in the campaign), no further right is needed'
        say(console, f"{gated} secrets want access approved, {lacking} of them lack it now: {how}.")
    wrong = [secret for secret in secrets if secret.verdict is not Verdict.OK]
    if not wrong:
        return
    head = (column("Secret"), column("Targets", right=True), *map(column, ("Has", "Verdict", "Why")))
    table = FittedTable("", *head)
    for secret in sorted(wrong, key=lambda s: -s.targets)[:SHOWN]:
        texts = (
            secret.secret.described,
            f"{secret.targets:,}",
            secret.has or "nothing",
            secret.verdict.value,
            secret.why,
        )
        table.add_row(*map(cell, texts))
    console.print(table)
    if len(wrong) > SHOWN:
        say(console, f"{len(wrong) - SHOWN} more with --json.")
