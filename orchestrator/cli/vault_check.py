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

from appliance.contract import CredentialRef, VaultAnswer, VaultQuery, VaultQueryKind
from appliance.reasons import REASONS
from orchestrator.audit.pulling import Put
from orchestrator.plan import Plan
from orchestrator.report.tables import CODE, FittedTable, cell, column, say

SHOWN = 20


@dataclass(frozen=True, slots=True)
class SecretCheck:
    secret: CredentialRef
    targets: int
    """How many targets of the plan may ask for it."""
    answer: VaultAnswer

    @property
    def name(self) -> str:
        return f"{self.secret.described} in {self.secret.vault!r}"


async def check_secrets(plan: Plan, put: Put) -> list[SecretCheck]:
    uses = plan.uses()
    refs = list(uses)
    answers = await put([secret_query(ref) for ref in refs])
    return [SecretCheck(ref, len(uses[ref]), answer) for ref, answer in zip(refs, answers, strict=True)]


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
            if not check.answer.ok
        ],
    }


def tell(checks: Sequence[SecretCheck], console: Console) -> None:
    problems = [check for check in checks if not check.answer.ok]
    say(console, f"Vault: {len(checks) - len(problems)} of {len(checks)} secrets can be read; none was viewed.")
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
