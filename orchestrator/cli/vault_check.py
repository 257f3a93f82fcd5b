"""`plan --check-vault`: is every secret of a plan there, and could it be read now? No secret is viewed.

An appliance asks the vault for each secret once, however many targets share it: a search or a look at its state. The
vault's audit gains no view by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from appliance.contract import CredentialRef
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from appliance.reasons import REASONS
from orchestrator.approvals import NEEDS_APPROVAL, told
from orchestrator.audit.pulling import Put
from orchestrator.campaign_model import Campaign
from orchestrator.plan import Plan
from orchestrator.report.tables import CODE, FittedTable, cell, column, say

SHOWN = 20


@dataclass(frozen=True, slots=True)
class SecretCheck:
    secret: CredentialRef
    targets: int
    """How many targets of the plan may ask for it."""
    answer: VaultAnswer

    asks: bool = False
    """A run asks for an approval that lacks, and waits for it."""

    @property
    def fault(self) -> bool:
        """Would its targets fail, as things are?"""
        return not self.answer.ok and not (self.asks and self.answer.reason == NEEDS_APPROVAL)

    @property
    def approval(self) -> str:
        """How access that somebody has to approve stands: `approved`, `needed`, or its request's status; empty for a
        secret that wants none.
        """
        if self.answer.ok:
            return "approved" if "approved_until" in self.answer.facts else ""
        if self.answer.reason != NEEDS_APPROVAL:
            return ""
        return self.answer.facts.get("status") or "needed"

    @property
    def approval_text(self) -> str:
        facts = self.answer.facts
        if self.answer.ok:
            return f"access is approved until {facts.get('approved_until', '')} (the vault's time)"
        if facts.get("request"):
            return told(facts)
        return "a run asks for it; nothing was asked for now" if self.asks else "nobody has asked for it"

    @property
    def name(self) -> str:
        return f"{self.secret.described} in {self.secret.vault!r}"


async def check_secrets(plan: Plan, campaign: Campaign, put: Put) -> list[SecretCheck]:
    asking = {vault.title for vault in campaign.vaults if vault.approval == "request"}
    uses = plan.uses()
    refs = list(uses)
    answers = await put([secret_query(ref) for ref in refs])
    return [
        SecretCheck(ref, len(uses[ref]), answer, asks=ref.vault in asking)
        for ref, answer in zip(refs, answers, strict=True)
    ]


def secret_query(ref: CredentialRef) -> VaultQuery:
    return VaultQuery(run="", kind=VaultQueryKind.SECRET, vault=ref.vault, secret=ref)


def document(checks: Sequence[SecretCheck]) -> dict[str, Any]:
    return {
        "asked": len(checks),
        "readable": sum(check.answer.ok for check in checks),
        "problems": [
            {
                "vault": check.secret.vault,
                "secret": check.secret.key,
                "by": check.secret.by.value,
                "narrowed_by": check.secret.narrowed_by or None,
                "targets": check.targets,
                "reason": check.answer.reason,
                "text": check.answer.text,
                "advice": REASONS[check.answer.reason].advice if check.answer.reason in REASONS else "",
            }
            for check in checks
            if check.fault
        ],
        "approvals": [
            {
                "vault": check.secret.vault,
                "secret": check.secret.key,
                "by": check.secret.by.value,
                "targets": check.targets,
                "state": check.approval,
                "approved_until": check.answer.facts.get("approved_until"),
                "text": check.approval_text,
            }
            for check in checks
            if check.approval
        ],
    }


def tell(checks: Sequence[SecretCheck], console: Console) -> None:
    problems = [check for check in checks if check.fault]
    readable = sum(check.answer.ok for check in checks)
    say(console, f"Vault: {readable} of {len(checks)} secrets can be read; none was viewed.")
    _tell_approvals([check for check in checks if check.approval], console)
    if not problems:
        return
    head = (column("Secret"), column("Targets", right=True), column("Reason", keep=CODE), column("Vault's words"))
    table = FittedTable("", *head)
    for check in sorted(problems, key=lambda c: -c.targets)[:SHOWN]:
        table.add_row(*map(cell, (check.name, f"{check.targets:,}", check.answer.reason, check.answer.text)))
    console.print(table)
    for reason, number in Counter(check.answer.reason for check in problems).most_common():
        advice = REASONS[reason].advice if reason in REASONS else ""
        say(console, f"{number} x {reason}: {advice}")
    if len(problems) > SHOWN:
        say(console, f"{len(problems) - SHOWN} more with --json.")


def _tell_approvals(checks: Sequence[SecretCheck], console: Console) -> None:
    for check in sorted(checks, key=lambda c: -c.targets)[:SHOWN]:
        waits = "" if check.answer.ok else "wait for approval: " if check.asks else "need approval: "
        say(console, f"Secret {check.name}: {check.targets:,} targets {waits or 'can go on: '}{check.approval_text}.")
    if len(checks) > SHOWN:
        say(console, f"{len(checks) - SHOWN} more secrets want approval; --json has them.")
