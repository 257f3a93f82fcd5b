"""`plan --check-vault`: is every secret of a plan there, and could it be read now? No secret is viewed.

An appliance asks the vault for each secret once, however many targets share it: a search or a look at its state. The
vault's audit gains no view by it.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from rich.console import Console

from appliance.contract import CredentialRef, VaultAnswer
from appliance.reasons import REASONS
from orchestrator.campaign_model import Campaign
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.engine import Engine
from orchestrator.plan import Plan
from orchestrator.report.tables import CODE, FittedTable, cell, column, say

AT_ONCE = 16
"""Questions on the bus at once; the vault's own limit on requests is the appliance's."""
PORTION = 200
"""Questions in one message to the holder of the state directory."""
SHOWN = 20

Look = Callable[[Sequence[CredentialRef]], Awaitable[Sequence[VaultAnswer]]]
"""Puts these questions, and gives the answers in their order."""


@dataclass(frozen=True, slots=True)
class SecretCheck:
    secret: CredentialRef
    targets: int
    """How many targets of the plan may ask for it."""
    answer: VaultAnswer

    @property
    def name(self) -> str:
        return f"{self.secret.by} {self.secret.key} in {self.secret.vault!r}"


async def check_secrets(plan: Plan, look: Look) -> list[SecretCheck]:
    uses = plan.uses()
    refs, answers = list(uses), list[VaultAnswer]()
    for begin in range(0, len(refs), PORTION):
        answers += await look(refs[begin : begin + PORTION])
    return [SecretCheck(ref, len(uses[ref]), answer) for ref, answer in zip(refs, answers, strict=True)]


async def look_by(engine: Engine, campaign: Campaign, logins: tuple[Login, ...]) -> Look:
    """An engine's appliance as the one that asks. Raises Incomplete, Unreachable when it cannot."""
    question = f"look-{secrets.token_hex(4)}"
    await engine.admit(question, campaign, logins)
    await engine.check_vaults(question, campaign)

    async def look(refs: Sequence[CredentialRef]) -> Sequence[VaultAnswer]:
        answers: dict[int, VaultAnswer] = {}
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def one(number: int, ref: CredentialRef) -> None:
            async with limit:
                answers[number] = await engine.ask_secret(question, ref)

        async with anyio.create_task_group() as tasks:
            for number, ref in enumerate(refs):
                tasks.start_soon(one, number, ref, name="plan: look at a secret")
        return [answers[number] for number in range(len(refs))]

    return look


def document(checks: Sequence[SecretCheck]) -> dict[str, Any]:
    return {
        "asked": len(checks),
        "readable": sum(check.answer.ok for check in checks),
        "problems": [
            {
                "vault": check.secret.vault,
                "secret": check.secret.key,
                "by": check.secret.by.value,
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
