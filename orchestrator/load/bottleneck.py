"""What holds a load test back. Pure: the rules, in the order in which they are asked; the first that holds names it.

Samples are of the time in which arrivals were due. *Full*: as many attempts are out as the appliances carry (FULL).
*Late*: the arrivals after the first tenth. A party's *slot time* is what an arrival spends on it while it takes a slot.

 B1  The schedule was held (`held`): none.
 B2  TOLD of the attempts or more ended with a word of the pacer's, or in more than half of the samples jobs waited for
     others of their account while it was not full: permits. Failure budgets and canaries let no more logons out;
     where most words were of open breakers, the advice is about those.
 B3  TOLD of the attempts or more ended with "too much" from a vault (or while they waited for our own limit on requests
     to it) or from hosts: vault or host, the one with more of them.
 B4  A scan process, this command or a supervisor took BUSY of a core at the median, or the bus of all cores: appliance
     CPU, orchestrator, bus. Each of ours has one thread for its loop.
 B5  The cores of this machine were BUSY at the median, and our own processes had at least OURS of them: CPU; or the
     simulated estate, where that had most, which holds the test back and not the product.
 B6  The event loops of the appliances, or this one's, were LAG_MS late at the median: loop lag.
 B7  Full in most samples: whoever has the largest slot time of the late arrivals, if that is SLOW_S or more, or has
     grown by GREW since the first tenth: vault, host, permits, appliance CPU.
 B8  Full in most samples, and nobody is slow: capacity. There are too few slots.
 B9  Arrivals wait LATE_S on their way, though slots are free: bus or orchestrator, where they lay longest.
 B10 As B7, full or not; else unknown: what was seen is in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from orchestrator.load.stages import PARTIES, Party

FULL = 0.95
TOLD = 0.05
BUSY = 0.9
OURS = 0.5
LAG_MS = 250.0
SLOW_S = 1.0
GREW = 1.5
LATE_S = 0.5
BREAKER_WORD = "SKIPPED_BREAKER"
PERMIT_WORDS = frozenset({"PERMIT_WAIT", "LOCKOUT_BUDGET_SPENT", BREAKER_WORD, "NO_PACER"})
OWN_LIMIT = "OWN_OVERLOAD (vault requests)"
VAULT_WORDS = frozenset({"VAULT_RATE_LIMITED", "VAULT_TIMEOUT", "VAULT_UNREACHABLE", OWN_LIMIT})
HOST_WORDS = frozenset({"SSH_THROTTLED", "SSH_PENALTY", "SESSION_LIMIT", "SERVER_BUSY"})
ESTATE, SCAN, COMMAND, BUS_SERVER, SUPERVISOR = "estate", "scan", "orchestrator", "bus", "appliance"
KINDS = (ESTATE, SCAN, COMMAND, BUS_SERVER, SUPERVISOR)
"""Kinds of our processes in `Sample.cpu`."""


class Name(StrEnum):
    """What a bottleneck is called."""

    NONE = "none"
    PERMITS = "permits"
    VAULT = "vault"
    HOST = "host"
    APPLIANCE = "appliance CPU"
    ORCHESTRATOR = "orchestrator"
    BUS = "bus"
    CPU = "CPU"
    ESTATE = "simulated estate"
    LAG = "loop lag"
    CAPACITY = "capacity"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the test while it goes on."""

    at: float
    """Seconds from its start."""
    out: int
    """Attempts that have been sent and not heard of."""
    capacity: int
    waiting: int
    """Arrivals that are due and not sent."""
    held: int = 0
    """Those of them that wait for others of their account or subnet."""
    own_lag_ms: float = 0.0
    appliance_lag_ms: float = 0.0
    cpu: Mapping[str, float] = field(default_factory=dict)
    """Cores that each kind of our processes has used since the last sample; empty where it is not known."""
    busiest_scan: float = 0.0
    """Cores that the busiest scan process has used."""
    machine: float = 0.0
    """Share of this machine's cores that were in use, by anybody."""

    @property
    def full(self) -> bool:
        return self.capacity > 0 and self.out >= FULL * self.capacity


@dataclass(frozen=True, slots=True)
class Observed:
    """A load test as the rules see it."""

    held: bool
    attempts: int
    """That have ended."""
    words: Mapping[str, int]
    """Of those, by reason, whether their arrival ended with them or was put off."""
    samples: Sequence[Sample]
    early: Mapping[str, float]
    """Seconds per arrival and stage, of the first tenth."""
    late: Mapping[str, float]
    """The same of the others; empty where there are none."""
    cores: int


@dataclass(frozen=True, slots=True)
class Bottleneck:
    name: Name
    why: str
    advice: str


ADVICE: Mapping[Name, str] = {
    Name.NONE: "Offer more, or a ramp, to find where it ends.",
    Name.PERMITS: "Spread the load over more accounts, or raise failure_budget where the directory's policy allows it.",
    Name.VAULT: "Look at the vault's CPU, database and limits; pace.vault_requests bounds what we ask of it at a time.",
    Name.HOST: "Look at the hosts, in the phase that is slow. More capacity (pace.capacity) only hides it.",
    Name.APPLIANCE: "Add cores to the appliance, or appliances to the zone.",
    Name.ORCHESTRATOR: "Give the orchestrator a core of its own: it dispatches and collects in one process.",
    Name.BUS: "Give nats-server a core and a fast disk of its own, or use a cluster (--nats).",
    Name.CPU: "Use a machine with more cores, or put appliances on machines of their own.",
    Name.ESTATE: "Serve the estate on cores of its own: here it competes with what is tested.",
    Name.LAG: "Something else has the CPU: end it, or give our processes cores of their own.",
    Name.CAPACITY: "Raise pace.capacity: the slots are taken by logins that wait, not by work.",
    Name.UNKNOWN: "Repeat it longer, and look at stages and reasons.",
}

BREAKER_ADVICE = (
    "Hosts or directories have refused these accounts for good, and nobody tries them again: mend their secrets (the "
    "errors say which kind), or leave those targets out. More accounts or a larger failure_budget gain nothing here."
)
"""For permits, where most that had none were accounts whose breaker was open."""


def bottleneck(seen: Observed) -> Bottleneck:
    """The first rule that holds."""
    found = next((named for rule in _RULES if (named := rule(seen)) is not None), None)
    name, why = found or (Name.UNKNOWN, "nothing was full, slow, busy or turned away")
    broken = name is Name.PERMITS and 2 * seen.words.get(BREAKER_WORD, 0) > _number(seen, PERMIT_WORDS)
    return Bottleneck(name, why, BREAKER_ADVICE if broken else ADVICE[name])


Found = tuple[Name, str] | None


def _none(seen: Observed) -> Found:
    return (Name.NONE, "every rate that was offered was held") if seen.held else None


def _permits(seen: Observed) -> Found:
    told = _share(seen, PERMIT_WORDS)
    if told >= TOLD:
        return Name.PERMITS, f"{told:.0%} of the attempts had no permit"
    held = _most(seen, lambda sample: sample.held > 0 and not sample.full)
    return (Name.PERMITS, f"in {held:.0%} of the time jobs waited for others of their account") if held > 0.5 else None


def _told(seen: Observed) -> Found:
    vault, hosts = _share(seen, VAULT_WORDS), _share(seen, HOST_WORDS)
    if max(vault, hosts) < TOLD:
        return None
    if vault >= hosts:
        return Name.VAULT, f"the vault turned away or kept waiting {vault:.0%} of the attempts"
    return Name.HOST, f"hosts turned away {hosts:.0%} of the attempts"


def _one_core(seen: Observed) -> Found:
    scan = _median(seen, lambda sample: sample.busiest_scan)
    if scan >= BUSY:
        return Name.APPLIANCE, f"the busiest scan process used {scan:.0%} of a core"
    for name, kind, what in (
        (Name.ORCHESTRATOR, COMMAND, "the orchestrator"),
        (Name.APPLIANCE, SUPERVISOR, "the supervisor"),
    ):
        used = _used(seen, kind)
        if used >= BUSY:
            return name, f"{what} used {used:.0%} of a core"
    used = _used(seen, BUS_SERVER)
    return (Name.BUS, f"nats-server used {used:.1f} of {seen.cores} cores") if used >= BUSY * seen.cores else None


def _all_cores(seen: Observed) -> Found:
    machine = _median(seen, lambda sample: sample.machine)
    used = {kind: _used(seen, kind) for kind in KINDS}
    if machine < BUSY or sum(used.values()) < OURS * seen.cores:
        return None
    most = max(used, key=lambda kind: used[kind])
    parts = ", ".join(f"{kind} {cores:.1f}" for kind, cores in sorted(used.items(), key=lambda item: -item[1]))
    name = Name.ESTATE if most == ESTATE else Name.CPU
    return name, f"{machine:.0%} of {seen.cores} cores were in use: {parts}"


def _lag(seen: Observed) -> Found:
    appliances = _median(seen, lambda sample: sample.appliance_lag_ms)
    own = _median(seen, lambda sample: sample.own_lag_ms)
    if max(appliances, own) < LAG_MS:
        return None
    whose = "of the appliances" if appliances >= own else "of the orchestrator"
    return Name.LAG, f"event loops {whose} were {max(appliances, own):.0f} ms late"


def _full(seen: Observed) -> Found:
    full = _most(seen, lambda sample: sample.full)
    if full <= 0.5:
        return None
    found = _slow(seen)
    every = f"all slots were taken in {full:.0%} of the time"
    if found is not None:
        return found[0], f"{found[1]}; {every}"
    return Name.CAPACITY, every


_SLOW_NAMES = {
    Party.VAULT: Name.VAULT,
    Party.HOST: Name.HOST,
    Party.PERMITS: Name.PERMITS,
    Party.APPLIANCE: Name.APPLIANCE,
}


def _slow(seen: Observed) -> Found:
    late, early = _by_party(seen.late or seen.early), _by_party(seen.early)
    party = max(_SLOW_NAMES, key=lambda one: late[one])
    spent, before = late[party], early[party]
    if spent < SLOW_S and (spent < GREW * before or not before):
        return None
    return _SLOW_NAMES[party], f"an arrival spends {spent:.2f} s on the {party}, {before:.2f} s in the first tenth"


def _on_the_way(seen: Observed) -> Found:
    late = _by_party(seen.late or seen.early)
    bus, dispatch = late[Party.BUS], late[Party.DISPATCH]
    if max(bus, dispatch) < LATE_S:
        return None
    name = Name.BUS if bus >= dispatch else Name.ORCHESTRATOR
    where = "in the bus" if name is Name.BUS else "in the dispatcher"
    return name, f"an arrival waits {max(bus, dispatch):.2f} s {where}, though slots are free"


_RULES: Sequence[Callable[[Observed], Found]] = (
    _none, _permits, _told, _one_core, _all_cores, _lag, _full, _on_the_way, _slow,
)  # fmt: skip


def _share(seen: Observed, words: frozenset[str]) -> float:
    return _number(seen, words) / max(1, seen.attempts)


def _number(seen: Observed, words: frozenset[str]) -> int:
    return sum(number for word, number in seen.words.items() if word in words)


def _most(seen: Observed, what: Callable[[Sample], bool]) -> float:
    return sum(map(what, seen.samples)) / max(1, len(seen.samples))


def _median(seen: Observed, what: Callable[[Sample], float]) -> float:
    return median(map(what, seen.samples)) if seen.samples else 0.0


def _used(seen: Observed, kind: str) -> float:
    return _median(seen, lambda sample: sample.cpu.get(kind, 0.0))


def _by_party(stages: Mapping[str, float]) -> Mapping[Party, float]:
    return {party: sum(s for stage, s in stages.items() if PARTIES[stage] is party) for party in Party}
