"""A load test when it is over: what reports say of it. Times are Unix seconds, latencies milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

from appliance.reasons import REASONS
from orchestrator.load.bottleneck import KINDS, Bottleneck, Observed, Sample, bottleneck
from orchestrator.load.driving import LoadTest
from orchestrator.load.held import Offered, all_held, largest_held
from orchestrator.load.latency import Percentiles
from orchestrator.load.recorder import UNFINISHED, Interval
from orchestrator.load.stages import PARTIES, Party


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    party: Party
    latency: Percentiles


@dataclass(frozen=True, slots=True)
class Ending:
    """Arrivals that ended alike, or attempts that were put off alike."""

    reason: str
    owner: str
    meaning: str
    advice: str
    count: int
    said: str
    """What the first of them was told."""


@dataclass(frozen=True, slots=True)
class CpuSeen:
    """Medians over the samples, in cores; empty where nobody could look."""

    by_kind: Mapping[str, float]
    busiest_scan: float
    machine: float
    """Share of all cores."""
    cores: int


@dataclass(frozen=True, slots=True)
class LoadResult:
    run: str
    campaign: str
    rate: str
    duration: float
    vault_only: bool
    began: float
    lasted: float
    """Seconds in which arrivals were due: the duration, or less where it was stopped."""
    stopped: str
    """Why it was, if it was."""
    targets: int
    capacity: int
    deadline: float
    due: int
    ended: int
    succeeded: int
    unfinished: int
    offered: float
    """Arrivals per second, on average."""
    achieved: float
    """The same of those that ended while arrivals were due."""
    held: bool
    """The whole schedule was."""
    held_rate: float
    latency: Percentiles
    stages: tuple[Stage, ...]
    errors: tuple[Ending, ...]
    put_off: tuple[Ending, ...]
    interval_s: float
    intervals: tuple[Interval, ...]
    tail: tuple[Interval, ...]
    samples: tuple[Sample, ...]
    cpu: CpuSeen
    own_lag_ms: float
    appliance_lag_ms: float
    """Medians of the worst in each second, and of the worst that the last heartbeat told of."""
    bottleneck: Bottleneck


def result_of(test: LoadTest, *, campaign: str, targets: int, cores: int, ended_at: float, stopped: str) -> LoadResult:
    """The end of a load test. Takes some 0.1 s of CPU: run it in a thread."""
    recorder, arrivals, schedule = test.recorder, test.arrivals, test.schedule
    lasted = min(max(test.over_at - arrivals.began, 0.0), schedule.duration)
    unfinished = recorder.close(ended_at, lasted)
    begun = tuple(i for i in recorder.intervals if i.begins < lasted)
    whole = begun if lasted >= schedule.duration else begun[:-1]
    offered = [Offered(schedule.rate_at(i.begins + recorder.width / 2), i.due, i.served) for i in whole]
    complete = (*whole, *recorder.tail) if lasted >= schedule.duration else whole
    ended = [i.ended for i in complete]
    held = all_held(offered, ended)
    seen = Observed(
        held=held,
        attempts=recorder.words.total(),
        words=recorder.words,
        samples=test.samples,
        early=recorder.early.by_stage(),
        late=recorder.late.by_stage(),
        cores=cores,
    )
    due = recorder.ended
    return LoadResult(
        run=test.plan.run,
        campaign=campaign,
        rate=str(schedule.rate),
        duration=schedule.duration,
        vault_only=test.plan.vault_only,
        began=arrivals.began if isfinite(arrivals.began) else ended_at,
        lasted=lasted,
        stopped=stopped,
        targets=targets,
        capacity=max((sample.capacity for sample in test.samples), default=0),
        deadline=test.plan.pace.deadline,
        due=due,
        ended=recorder.ended - unfinished,
        succeeded=recorder.succeeded,
        unfinished=unfinished,
        offered=due / lasted if lasted else 0.0,
        achieved=sum(i.ended for i in begun) / lasted if lasted else 0.0,
        held=held,
        held_rate=largest_held(offered, ended),
        latency=recorder.total.percentiles(),
        stages=tuple(
            Stage(name, party, recorder.stages[name].percentiles())
            for name, party in PARTIES.items()
            if name in recorder.stages
        ),
        errors=_endings(recorder.reasons, recorder.first_words),
        put_off=_endings(recorder.put_off, recorder.first_words),
        interval_s=recorder.width,
        intervals=begun,
        tail=tuple(recorder.tail),
        samples=tuple(test.samples),
        cpu=_cpu(test.samples, cores),
        own_lag_ms=_median([s.own_lag_ms for s in test.samples]),
        appliance_lag_ms=_median([s.appliance_lag_ms for s in test.samples]),
        bottleneck=bottleneck(seen),
    )


def _endings(counts: Mapping[str, int], said: Mapping[str, str]) -> tuple[Ending, ...]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(_ending(reason, count, said.get(reason, "")) for reason, count in ordered)


def _ending(code: str, count: int, said: str) -> Ending:
    if code == UNFINISHED:
        meaning = "It had not ended when the test was over; its latency counts as its age by then."
        return Ending(code, "us", meaning, "See what the bottleneck is; offer less, or wait longer.", count, said)
    reason = REASONS[code]
    return Ending(code, reason.owner.value, reason.meaning, reason.advice, count, said)


def _cpu(samples: Sequence[Sample], cores: int) -> CpuSeen:
    known = [sample for sample in samples if sample.cpu]
    kinds = [kind for kind in KINDS if any(kind in sample.cpu for sample in known)]
    by_kind = {kind: _median([sample.cpu.get(kind, 0.0) for sample in known]) for kind in kinds}
    return CpuSeen(by_kind, _median([s.busiest_scan for s in known]), _median([s.machine for s in known]), cores)


def _median(values: Sequence[float]) -> float:
    return median(values) if values else 0.0
