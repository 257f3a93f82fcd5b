"""How fast a directory account lets its targets through. Pure.

Two things bound it, and both by latency: of its logins at most `failure_budget` wait for their verdicts at once (the
pacer's rule R3), and of its attempts at most WINDOW times as many are open, from dispatch to settled (the dispatcher's
rule D3). Where verdicts come quickly it is the second: an attempt is on its way for longer than its login takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from appliance.contract import Technology
from orchestrator.capacity.costs import VERDICT_S, Costs
from orchestrator.dispatch import WINDOW


@dataclass(frozen=True, slots=True)
class AccountPace:
    by_verdicts: float
    """Logins a second that the budget allows."""
    logins_per_s: float
    """That budget and window allow together."""
    measured: bool


def account_pace(costs: Costs, technology: Technology, account: str, budget: int) -> AccountPace:
    """Of `account`, a directory's (`user@authority`)."""
    tried = costs.of(technology, account)
    by_verdicts = budget / max(costs.verdicts.get(account, VERDICT_S), 1e-6)
    logins = fmean(one.logins for one in tried)
    held = fmean(one.held for one in tried)
    by_window = WINDOW * budget * logins / held if logins and held else by_verdicts
    return AccountPace(by_verdicts, min(by_verdicts, by_window), account in costs.verdicts)
