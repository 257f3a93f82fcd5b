"""Demands and costs for the tests of the planner."""

from __future__ import annotations

from dataclasses import replace

from appliance.contract import Technology
from orchestrator.capacity.bounds import Site
from orchestrator.capacity.costs import Costs, Tried
from orchestrator.capacity.demand import Demand, Stream, VaultDemand
from orchestrator.capacity.spent import Cpu

ACCOUNT = "scan@dir:corp"
SITE = Site(appliances=1, processes=2, cores=2, together=True)
LOGIN = Tried(busy=1.0, held=1.2, pauses=0.0, cut_off=0, logins=1, views=1, failed=0)
SILENT = replace(LOGIN, busy=0.0, held=0.2, pauses=3.0, cut_off=2, logins=0, views=0)
CHEAP = Cpu(orchestrator=0.0005, bus=0.0001, appliance=0.002)


def own(count: int = 1000) -> Stream:
    return Stream(Technology.UNIX, "", count, budget=2, window_s=1800.0)


def shared(count: int = 1000, budget: int = 2) -> Stream:
    return Stream(Technology.UNIX, ACCOUNT, count, budget, window_s=1800.0)


def vault(**changes: object) -> VaultDemand:
    told = VaultDemand("Vault", share=1.0, requests_per_view=1.0, shared=False, max_age=60.0)
    return replace(told, **changes)  # type: ignore[arg-type]  # the names and types are its own


def demand(*streams: Stream, **changes: object) -> Demand:
    told = Demand(
        streams=streams or (own(),),
        vaults=(vault(),),
        shared_secrets=0,
        views_at_most=5000,
        widest_subnet=0,
        deadline=30.0,
        capacity=100,
        vault_requests=8,
        per_subnet=0,
    )
    return replace(told, **changes)  # type: ignore[arg-type]  # likewise


def costs(**changes: object) -> Costs:
    tried = {"unix": (LOGIN,), ACCOUNT: (LOGIN,)}
    told = Costs(tried=tried, verdicts={ACCOUNT: 0.1}, view_s=0.01, cpu=CHEAP, runs=("r0",))
    return replace(told, **changes)  # type: ignore[arg-type]  # likewise
