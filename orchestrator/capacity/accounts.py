"""How fast a directory account lets its targets through. Pure.

Of its logins at most `failure_budget` wait for their verdicts at once (the pacer's rule R3), and the dispatcher keeps
as many attempts open as that takes (`crowd`). So an account's rate is its budget by the time that a verdict takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.capacity.costs import VERDICT_S, Costs


@dataclass(frozen=True, slots=True)
class AccountPace:
    logins_per_s: float
    measured: bool


def account_pace(costs: Costs, account: str, budget: int) -> AccountPace:
    """Of `account`, a directory's (`user@authority`)."""
    return AccountPace(budget / max(costs.verdicts.get(account, VERDICT_S), 1e-6), account in costs.verdicts)
