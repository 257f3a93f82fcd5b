"""The orchestrator's metrics, read from its service, its tally and the bus when somebody asks for them.

What they are called and mean: `appliance/metric_names.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import anyio
from prometheus_client.core import Metric as Family

from appliance import metric_names as names
from appliance.bus import BusError, OrchestratorBus, RunView
from appliance.contract import Heartbeat
from appliance.exposition import Sample, both, family
from orchestrator.permit_ledger import EntryKind
from orchestrator.service import Appliance, OpenRun, Service
from orchestrator.tally import Tally

VIEW_S = 2.0
"""What the bus may take for all open runs; what it does not say in that time is left out."""


class Metrics:
    def __init__(self, service: Service, bus: OrchestratorBus, tally: Tally, lag: Callable[[float], float]) -> None:
        self._service = service
        self._bus = bus
        self._tally = tally
        self._lag = lag

    async def families(self) -> list[Family]:
        runs = self._service.runs()
        views = await self._views(runs)
        return [
            *both(self._lag, connected=self._bus.connected),
            *_of_runs(runs),
            *_of_the_bus(views),
            *_of_appliances(self._service.fleet()),
            *_tallied(self._tally),
            *self._shared(),
        ]

    async def _views(self, runs: Iterable[OpenRun]) -> Mapping[tuple[str, str], RunView]:
        """By run and zone."""
        found: dict[tuple[str, str], RunView] = {}
        with anyio.move_on_after(VIEW_S):
            for run, zone in [(one.run, zone) for one in runs for zone in one.zones]:
                try:
                    found[run, zone] = await self._bus.view(run, zone)
                except BusError:
                    continue
        return found

    def _shared(self) -> Iterator[Family]:
        accounts = self._service.accounts()
        yield family(names.PERMITS_OUT, [((), accounts.outstanding)])
        yield family(names.BREAKERS, [(("account",), accounts.broken)])
        yield family(names.CHECK_OUTS, [((), self._service.held_check_outs())])


def _of_runs(runs: Sequence[OpenRun]) -> Iterator[Family]:
    targets: Counter[tuple[str, str]] = Counter()
    flying: Counter[str] = Counter()
    away: dict[str, float] = {}
    progress: list[Sample] = []
    for run in runs:
        ended = sum(run.progress.by_status.values())
        for status, number in run.progress.by_status.items():
            targets["+".join(run.zones), status.name.lower()] += number
        targets["+".join(run.zones), "in_flight"] += run.progress.in_flight
        targets["+".join(run.zones), "waiting"] += max(0, run.progress.planned - ended - run.progress.in_flight)
        flying.update(run.zones)
        gone = {vault.vault for vault in run.progress.away}
        away |= {vault: max(away.get(vault, 0.0), float(vault in gone)) for vault in run.vaults}
        if run.progress.planned:
            progress.append(((run.campaign, run.run), ended / run.progress.planned))
    yield family(names.RUNS, [((), float(len(runs)))])
    yield family(names.TARGETS, targets.items())
    yield family(names.IN_FLIGHT, [((zone,), number) for zone, number in flying.items()])
    yield family(names.VAULT_AWAY, [((vault,), value) for vault, value in away.items()])
    yield family(names.PROGRESS, progress)


def _of_the_bus(views: Mapping[tuple[str, str], RunView]) -> Iterator[Family]:
    waiting: Counter[str] = Counter()
    leased: Counter[str] = Counter()
    for (_, zone), view in views.items():
        waiting[zone] += view.waiting
        leased[zone] += view.leased
    yield family(names.QUEUE, [((zone,), number) for zone, number in waiting.items()])
    yield family(names.LEASES, [((zone,), number) for zone, number in leased.items()])
    yield family(names.REPORTS, [((), sum(view.reports_waiting for view in views.values()))] if views else [])


def _of_appliances(fleet: Iterable[Appliance]) -> Iterator[Family]:
    known = list(fleet)
    here = [one for one in known if one.alive]
    yield family(names.UP, [((one.beat.appliance, one.beat.zone), float(one.alive)) for one in known])
    yield family(names.HEARD, [((one.beat.appliance,), one.heard) for one in known])
    yield family(
        names.OFFSET, [((one.beat.appliance,), offset) for one in here if (offset := one.clock.offset) is not None]
    )
    room = [((one.beat.appliance, one.beat.zone), 0.0 if one.beat.draining else one.beat.capacity) for one in here]
    yield family(names.CAPACITY, room)
    yield family(names.RELEASES, [(_release(one.beat), 1.0) for one in here])
    yield family(names.BUSY, [((one.beat.appliance, one.beat.zone), one.beat.in_flight) for one in here])
    yield family(names.SCAN_LAG, [((one.beat.appliance,), one.beat.loop_lag_ms / 1000) for one in here])


def _tallied(tally: Tally) -> Iterator[Family]:
    yield family(names.ATTEMPTS, tally.attempts.items())
    yield family(names.OUTCOMES, tally.outcomes.items())
    yield family(names.PHASES, tally.phases.items())
    yield family(names.VIEWS, [((vault,), histogram) for vault, histogram in tally.views.items()])
    yield family(names.DELAY, [((), tally.delay)])
    yield family(names.STORE, [((work,), histogram) for work, histogram in tally.store.items()])
    yield family(names.PERMITS, [((kind.value,), tally.entries[kind]) for kind in EntryKind])
    yield family(names.FAILED_LOGONS, [((realm,), number) for realm, number in tally.failed.items()])


def _release(beat: Heartbeat) -> tuple[str, str, str]:
    return beat.appliance, beat.release, str(beat.reads[1])
