"""Which limit binds: a table of campaigns, each made to be bound by one, and what must hold of all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contract import Technology
from orchestrator.capacity.bounds import Bound, Limit, Site, bounds_of
from orchestrator.capacity.costs import Costs
from orchestrator.capacity.demand import Demand
from orchestrator.capacity.spent import Cpu
from tests.unit.capacity.sizes import ACCOUNT, LOGIN, SILENT, SITE, costs, demand, own, shared, vault

MANY = replace(SITE, appliances=4, together=False)
ROWS = [
    pytest.param(demand(), costs(), SITE, Limit.IN_FLIGHT, 10.0, id="capacity"),
    pytest.param(demand(), costs(), MANY, Limit.IN_FLIGHT, 3.0, id="capacity of four appliances"),
    pytest.param(demand(), costs(view_s=1.0), SITE, Limit.VAULT, 63.5, id="slow vault"),
    pytest.param(demand(), costs(vault_per_s=50.0), SITE, Limit.VAULT, 21.0, id="throttling vault"),
    pytest.param(
        demand(), costs(vault_per_s=50.0, vault_found_s=3.0), SITE, Limit.VAULT, 24.0, id="whose rate has to be found"
    ),
    pytest.param(
        demand(vaults=(vault(requests_per_view=2.0),)),
        costs(view_s=1.0),
        SITE,
        Limit.VAULT,
        126.0,
        id="names looked up",
    ),
    pytest.param(demand(vaults=(vault(shared=True),)), costs(view_s=1.0), SITE, Limit.IN_FLIGHT, 10.0, id="shared"),
    pytest.param(demand(shared()), costs(verdicts={ACCOUNT: 1.0}), SITE, Limit.ACCOUNT, 501.2, id="account"),
    pytest.param(demand(shared()), costs(), SITE, Limit.ACCOUNT, 51.2, id="account with quick verdicts"),
    pytest.param(demand(shared(budget=50)), costs(), SITE, Limit.IN_FLIGHT, 10.0, id="a larger budget"),
    pytest.param(demand(per_subnet=2, widest_subnet=250), costs(), SITE, Limit.SUBNET, 150.0, id="subnet"),
    pytest.param(
        demand(capacity=1000), costs(cpu=Cpu(0.001, 0.001, 0.1)), MANY, Limit.SCANNERS, 13.5, id="scan processes"
    ),
    pytest.param(
        demand(capacity=1000), costs(cpu=Cpu(0.02, 0.001, 0.002)), MANY, Limit.ORCHESTRATOR, 21.0, id="orchestrator"
    ),
    pytest.param(
        demand(capacity=1000), costs(cpu=Cpu(0.001, 0.001, 0.002, background=0.8)), SITE, Limit.MACHINE, 11.0, id="busy"
    ),
    pytest.param(
        demand(capacity=1000), costs(cpu=Cpu(0.001, 0.001, 0.002, 0.016)), SITE, Limit.MACHINE, 11.0, id="hosts on it"
    ),
    pytest.param(
        demand(capacity=1000), costs(tried={"unix": (LOGIN,) * 19 + (SILENT,)}), SITE, Limit.HOSTS, 63.0, id="silent"
    ),
]


@pytest.mark.parametrize(("asked", "known", "site", "limit", "seconds"), ROWS)
def test_what_binds(asked: Demand, known: Costs, site: Site, limit: Limit, seconds: float) -> None:
    first = bounds_of(asked, known, site)[0]
    assert first.limit is limit
    assert first.seconds == pytest.approx(seconds, rel=0.02)


def test_accounts_and_vaults_are_named() -> None:
    two = (vault(share=0.5), vault(title="Other", share=0.5))
    bounds = bounds_of(demand(shared(500), own(500), vaults=two), costs(), SITE)
    named = {bound.described for bound in bounds if bound.name}
    assert named == {f"account {ACCOUNT!r}", "vault 'Vault'", "vault 'Other'"}


def test_an_account_of_both_technologies_has_one_budget() -> None:
    windows = replace(shared(250), technology=Technology.WINDOWS)
    known = costs(verdicts={ACCOUNT: 1.0})
    [account] = [b for b in bounds_of(demand(shared(750), windows), known, SITE) if b.limit is Limit.ACCOUNT]
    [alone] = [b for b in bounds_of(demand(shared(1000)), known, SITE) if b.limit is Limit.ACCOUNT]
    assert account == alone


DEMANDS = st.builds(
    lambda count, share, capacity, requests, budget, subnet: demand(
        shared(count * share // 4 + 1, budget),
        own(count),
        capacity=capacity,
        vault_requests=requests,
        per_subnet=subnet,
        widest_subnet=min(count, 250),
    ),
    st.integers(1, 400),
    st.integers(0, 4),
    st.integers(1, 500),
    st.integers(1, 32),
    st.integers(1, 20),
    st.integers(0, 8),
)
TRIED = st.builds(
    lambda busy, over, cut_off, logins: replace(LOGIN, busy=busy, held=busy + over, cut_off=cut_off, logins=logins),
    st.floats(0.01, 5.0),
    st.floats(0.01, 0.5),
    st.integers(0, 2),
    st.integers(0, 2),
)
COSTS = st.builds(
    lambda tried, verdict, view, cpu: costs(
        tried={"unix": tuple(tried), ACCOUNT: tuple(tried)},
        verdicts={ACCOUNT: verdict},
        view_s=view,
        cpu=Cpu(cpu, cpu / 4, cpu * 4),
    ),
    st.lists(TRIED, min_size=1, max_size=10),
    st.floats(0.01, 2.0),
    st.floats(0.001, 1.0),
    st.floats(0.0001, 0.02),
)


def relaxed(asked: Demand, known: Costs, site: Site, bound: Bound) -> tuple[Demand, Costs, Site]:
    """With twice as much of what this limit is of, as a user would have it."""
    cpu = known.cpu or Cpu(0.0, 0.0, 0.0)
    match bound.limit:
        case Limit.IN_FLIGHT:
            return replace(asked, capacity=2 * asked.capacity), known, site
        case Limit.VAULT:
            return replace(asked, vault_requests=2 * asked.vault_requests), known, site
        case Limit.SUBNET:
            return replace(asked, per_subnet=2 * asked.per_subnet), known, site
        case Limit.ACCOUNT:
            more = [replace(s, budget=2 * s.budget) if s.account == bound.name else s for s in asked.streams]
            return replace(asked, streams=tuple(more)), known, site
        case Limit.SCANNERS:
            return asked, replace(known, cpu=replace(cpu, appliance=cpu.appliance / 2)), site
        case Limit.ORCHESTRATOR:
            return asked, replace(known, cpu=replace(cpu, orchestrator=cpu.orchestrator / 2)), site
        case Limit.MACHINE:
            return asked, known, replace(site, cores=2 * site.cores)
        case Limit.HOSTS:
            halved = {
                name: tuple(replace(t, busy=t.busy / 2, pauses=t.pauses / 2) for t in of)
                for name, of in known.tried.items()
            }
            return replace(asked, deadline=asked.deadline / 2), replace(known, tried=halved), site


@settings(deadline=None)
@given(DEMANDS, COSTS)
def test_the_limit_that_binds_is_the_one_whose_relaxing_helps(asked: Demand, known: Costs) -> None:
    first, *others = bounds_of(asked, known, SITE)
    tied = [bound for bound in others if bound.seconds > 0.95 * first.seconds]
    for bound in (first, *others):
        after = bounds_of(*relaxed(asked, known, SITE, bound))[0].seconds
        assert after <= first.seconds * (1 + 1e-9)
        if bound.limit not in (first.limit, Limit.HOSTS) and not tied and first.limit is not Limit.HOSTS:
            # CPU counts towards the machine as well, so that one may gain a little with it.
            slack = 0.5 if bound.limit in (Limit.SCANNERS, Limit.ORCHESTRATOR) and first.limit is Limit.MACHINE else 1
            assert after >= slack * first.seconds * (1 - 1e-9)
    if not tied and first.limit is not Limit.HOSTS:
        assert bounds_of(*relaxed(asked, known, SITE, first))[0].seconds < first.seconds


@settings(deadline=None)
@given(DEMANDS, COSTS, st.integers(1, 4))
def test_more_appliances_are_never_slower(asked: Demand, known: Costs, appliances: int) -> None:
    site = replace(SITE, appliances=appliances, together=False)
    fewer, more = (
        bounds_of(asked, known, replace(site, appliances=n))[0].seconds for n in (appliances, appliances + 1)
    )
    assert more <= fewer
