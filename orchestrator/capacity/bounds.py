"""What keeps a run from being over sooner: one time for each limit. Pure.

The rules, stated here and nowhere else:

 P1 bounds      Each limit by itself gives a time that the run cannot be shorter than; the longest of them is the run's,
                and its limit is the one that binds. (Asymptotic bounds: where two are nearly alike, a run takes longer
                than either.) So to relax a limit never makes a run longer, and only the binding one's makes it shorter.
 P2 places      In flight: `pace.capacity` of each appliance.
 P3 account     `accounts` says at which rate.
 P4 subnet      `pace.per_subnet` targets of the fullest subnet are between dispatch and settled.
 P5 vault       `pace.vault_requests` requests of each scan process at once, each as long as its views were; or the rate
                that the vault gave when more was wanted, whoever asks, and the time that it takes to find it.
 P6 processor   A scan process and the orchestrator each have one core at most; where all are on one machine, its cores
                are theirs together, and those of other programs that the targets keep at work (hosts or a directory on
                the same machine); but for the share that other programs have in any case.
 P7 hosts       No run is shorter than its slowest target. Where doubling what binds would gain less than a twentieth,
                that is what binds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from statistics import fmean

from orchestrator.capacity.accounts import account_pace
from orchestrator.capacity.costs import ASSUMED_CPU, VIEW_S, Costs
from orchestrator.capacity.demand import Demand, Stream
from orchestrator.capacity.schedule import Block, Queue, at_rate, queue_of, with_places

GAIN = 0.05


class Limit(StrEnum):
    IN_FLIGHT = "in flight"
    VAULT = "vault"
    ACCOUNT = "account"
    SUBNET = "subnet"
    SCANNERS = "scan processes"
    ORCHESTRATOR = "orchestrator"
    MACHINE = "machine"
    HOSTS = "slowest hosts"


ADVICE = {
    Limit.IN_FLIGHT: "raise pace.capacity, or use more appliances",
    Limit.VAULT: 'raise pace.vault_requests where the vault can bear it, or share views (fetch = "shared")',
    Limit.ACCOUNT: "raise its records' failure_budget as far as the directory's lock-out threshold allows, or split it",
    Limit.SUBNET: "raise pace.per_subnet",
    Limit.SCANNERS: "use more appliances, or machines with more cores",
    Limit.ORCHESTRATOR: "split the campaign over several state directories, none of which shares an account",
    Limit.MACHINE: "use a machine with more cores, or appliances of their own",
    Limit.HOSTS: "lower pace.deadline or pace.retries, or leave out the hosts that do not answer",
}


@dataclass(frozen=True, slots=True)
class Site:
    """What a run has to work with."""

    appliances: int
    processes: int
    """Scan processes of each."""
    cores: int
    together: bool
    """Everything is on one machine: the appliance is the run's own child."""

    @property
    def all_processes(self) -> int:
        return self.appliances * self.processes


@dataclass(frozen=True, slots=True)
class Bound:
    limit: Limit
    name: str
    """Which vault or account; empty where there is only one such limit."""
    seconds: float
    """A run takes at least so long by this limit alone."""
    relaxed: float
    """The same with twice as much of it."""

    @property
    def described(self) -> str:
        return f"{self.limit.value} {self.name!r}" if self.name else self.limit.value


def bounds_of(demand: Demand, costs: Costs, site: Site) -> tuple[Bound, ...]:
    """The binding one first. Of a plan that has at least one target."""
    places, held = work_of(demand, costs), _queue(demand.streams, costs, demand.deadline, held=True)
    bounds = [
        _bound(Limit.IN_FLIGHT, lambda f: with_places(places, f * site.appliances * demand.capacity)),
        *_accounts(demand, costs),
        *_vaults(demand, costs, site, places),
        *_processors(costs, site, places),
    ]
    if demand.per_subnet:
        fullest = queue_of([(held.blocks, demand.widest_subnet)])
        bounds.append(_bound(Limit.SUBNET, lambda f: with_places(fullest, f * demand.per_subnet)))
    return _ordered(bounds, places.slowest)


def work_of(demand: Demand, costs: Costs) -> Queue:
    """The targets, and how long each has its place in a scan process."""
    return _queue(demand.streams, costs, demand.deadline, held=False)


def _bound(limit: Limit, seconds: Callable[[int], float], name: str = "") -> Bound:
    return Bound(limit, name, seconds(1), seconds(2))


def _ordered(bounds: Sequence[Bound], slowest: float) -> tuple[Bound, ...]:
    hosts = Bound(Limit.HOSTS, "", slowest, slowest)
    ordered = sorted([*bounds, hosts], key=lambda bound: (-bound.seconds, bound.limit, bound.name))
    first = ordered[0]
    if first.seconds - first.relaxed < GAIN * first.seconds and first.limit is not Limit.HOSTS:  # P7
        ordered.remove(hosts)
        ordered.insert(0, replace(hosts, seconds=first.seconds, relaxed=first.seconds))
    return tuple(ordered)


def _accounts(demand: Demand, costs: Costs) -> list[Bound]:
    return [
        _bound(Limit.ACCOUNT, partial(_account, demand, costs, streams), account)
        for account, streams in demand.by_account.items()
    ]


def _account(demand: Demand, costs: Costs, streams: Sequence[Stream], factor: int) -> float:
    held = _queue(streams, costs, demand.deadline, held=True)
    pace = account_pace(costs, streams[0].account, streams[0].budget)
    logins = total(streams, costs, "logins") / held.count
    return at_rate(held, factor * pace.logins_per_s / logins) if logins else held.slowest


def _vaults(demand: Demand, costs: Costs, site: Site, queue: Queue) -> list[Bound]:
    found = []
    for vault in demand.vaults:
        if vault.shared:
            continue
        requests = own_views(demand, costs, vault.share) * vault.requests_per_view
        if not requests:
            continue
        rate = site.all_processes * demand.vault_requests / (costs.view_s or VIEW_S)
        seconds = partial(_paced, queue, queue.count * rate / requests)
        if costs.vault_per_s is not None and (limit := costs.vault_per_s * vault.requests_per_view) < rate:
            seconds = partial(_limited, costs.vault_found_s, queue, queue.count * limit / requests)
        found.append(_bound(Limit.VAULT, seconds, vault.title))
    return found


def _processors(costs: Costs, site: Site, queue: Queue) -> list[Bound]:
    cpu = costs.cpu or ASSUMED_CPU
    found = [
        _bound(Limit.SCANNERS, partial(_paced, queue, site.all_processes / cpu.appliance)),
        _bound(Limit.ORCHESTRATOR, partial(_paced, queue, 1 / cpu.orchestrator)),
    ]
    if site.together:
        per_s = site.cores * (1 - cpu.background) / (cpu.together + cpu.others)
        found.append(_bound(Limit.MACHINE, partial(_paced, queue, per_s)))
    return found


def _paced(queue: Queue, per_s: float, factor: int) -> float:
    return at_rate(queue, factor * per_s)


def _limited(found_s: float, queue: Queue, per_s: float, factor: int) -> float:
    return found_s + at_rate(queue, factor * per_s)


def _queue(streams: Sequence[Stream], costs: Costs, deadline: float, *, held: bool) -> Queue:
    parts = []
    for stream in streams:
        blocks = []
        for tried in costs.of(stream.technology, stream.account):
            lost = tried.cut_off * deadline
            busy = (tried.held if held else tried.busy) + lost
            blocks.append(Block(busy, busy + tried.pauses))
        parts.append((tuple(blocks), stream.count))
    return queue_of(parts)


def total(streams: Sequence[Stream], costs: Costs, what: str) -> float:
    """Of `logins`, `views` or `failed` of all their targets, if they go as they went."""
    return sum(
        stream.count * fmean(getattr(tried, what) for tried in costs.of(stream.technology, stream.account))
        for stream in streams
    )


def own_views(demand: Demand, costs: Costs, share: float) -> float:
    """Views of a vault with this share of the targets that each login has of its own. Where an earlier run shared
    them, each login would have one.
    """
    return share * max(total(demand.streams, costs, "views"), total(demand.streams, costs, "logins"))
