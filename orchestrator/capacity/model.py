"""How long a run takes, and what it asks of others: demand and costs put together. Pure.

The rules, stated here and nowhere else (how long it takes: `bounds`):

 P8 views       Expected as in earlier runs; of a shared secret one per scan process and `max_age`.
 P9 risk        A directory account suffers at most its budget of failed logons per window that the run lasts into, an
                account of a host at most its budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.capacity.accounts import account_pace
from orchestrator.capacity.bounds import Bound, Site, bounds_of, own_views, total, work_of
from orchestrator.capacity.costs import Costs
from orchestrator.capacity.demand import Demand, Stream

MOST_APPLIANCES = 1024


@dataclass(frozen=True, slots=True)
class AccountRisk:
    account: str
    targets: int
    budget: int
    window_s: float
    logins_per_s: float
    measured: bool
    failed_at_most: int


@dataclass(frozen=True, slots=True)
class Prediction:
    targets: int
    site: Site
    duration_s: float
    bounds: tuple[Bound, ...]
    """The binding one first."""
    logins: int
    in_flight: float
    """On average, of those that are not waiting."""
    views: int
    views_at_most: int
    vault_requests: int
    failed: int
    """Failed logons, where all goes as before."""
    failed_at_most: int
    accounts: tuple[AccountRisk, ...]
    """Of directories."""
    host_accounts: int

    @property
    def binding(self) -> Bound:
        return self.bounds[0]

    @property
    def logins_per_s(self) -> float:
        return self.logins / self.duration_s

    @property
    def vault_requests_per_s(self) -> float:
        return self.vault_requests / self.duration_s


def predict(demand: Demand, costs: Costs, site: Site) -> Prediction:
    """Of a plan that has at least one target."""
    ordered, work = bounds_of(demand, costs, site), work_of(demand, costs)
    duration = costs.start_s + ordered[0].seconds
    views, requests = _views(demand, costs, site, duration)
    accounts = tuple(_risk(account, streams, costs, duration) for account, streams in demand.by_account.items())
    own = [stream for stream in demand.streams if not stream.account]
    return Prediction(
        targets=demand.count,
        site=site,
        duration_s=duration,
        bounds=ordered,
        logins=round(total(demand.streams, costs, "logins")),
        in_flight=work.count * work.busy_mean / duration,
        views=views,
        views_at_most=demand.views_at_most,
        vault_requests=requests,
        failed=_failed(demand, costs, accounts),
        failed_at_most=sum(risk.failed_at_most for risk in accounts) + sum(s.count * s.budget for s in own),
        accounts=accounts,
        host_accounts=sum(stream.count for stream in own),
    )


def appliances_for(demand: Demand, costs: Costs, site: Site, within_s: float) -> int | None:
    """The fewest appliances, each on a machine like this site's, with which the run takes no longer than this; None
    where no number of them will do.
    """

    def fits(number: int) -> bool:
        wider = replace(site, appliances=number, together=False)
        return predict(demand, costs, wider).duration_s <= within_s

    most = 1
    while not fits(most):
        most *= 2
        if most > MOST_APPLIANCES:
            return None
    least = most // 2
    while most - least > 1:  # `least` does not fit, or is 0
        middle = (least + most) // 2
        least, most = (least, middle) if fits(middle) else (middle, most)
    return most


def _views(demand: Demand, costs: Costs, site: Site, duration: float) -> tuple[int, int]:
    """Views, and requests to all vaults."""
    views = requests = 0.0
    for vault in demand.vaults:
        own = 0.0 if vault.shared else own_views(demand, costs, vault.share)
        views += own
        requests += own * vault.requests_per_view
    ages = [vault.max_age for vault in demand.vaults if vault.shared]
    if ages:  # P8
        shared = demand.shared_secrets * site.all_processes * math.ceil(duration / min(ages))
        views, requests = views + shared, requests + shared
    return round(views), round(requests)


def _failed(demand: Demand, costs: Costs, accounts: Sequence[AccountRisk]) -> int:
    own = sum(round(total([stream], costs, "failed")) for stream in demand.streams if not stream.account)
    by_account = demand.by_account
    return own + sum(
        round(min(total(by_account[risk.account], costs, "failed"), risk.failed_at_most)) for risk in accounts
    )


def _risk(account: str, streams: Sequence[Stream], costs: Costs, duration: float) -> AccountRisk:
    budget, window_s = streams[0].budget, streams[0].window_s
    pace = account_pace(costs, account, budget)
    targets = sum(stream.count for stream in streams)
    windows = 1 + int(duration // window_s) if window_s else 1
    return AccountRisk(
        account=account,
        targets=targets,
        budget=budget,
        window_s=window_s,
        logins_per_s=pace.logins_per_s,
        measured=pace.measured,
        failed_at_most=min(targets, budget * windows),
    )
