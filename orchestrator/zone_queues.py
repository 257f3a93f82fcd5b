"""A run's queues on the bus: one in each zone that it works in; opened, resized, paused, emptied and closed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from appliance.bus import OrchestratorBus, RunView
from appliance.contract import RunNotice
from orchestrator.run_plan import RunPlan


@dataclass(slots=True)
class ZoneQueues:
    """Every call may be repeated. Each raises BusError."""

    plan: RunPlan
    bus: OrchestratorBus
    _opened: dict[str, int] = field(default_factory=dict)
    """For how many jobs at a time, by zone."""

    @property
    def opened(self) -> tuple[str, ...]:
        return tuple(self._opened)

    async def open(self, zones: Iterable[str], capacity: Mapping[str, int], *, anew: bool = False) -> None:
        """Those of these zones that have another capacity than when they were opened, or (`anew`) all of them."""
        for zone in dict.fromkeys(zones):
            places = max(capacity.get(zone, 0), 1)
            if anew or self._opened.get(zone) != places:
                await self.bus.open_zone(zone)
                await self.bus.open_run(self._notice(zone, paused=False), places)
                self._opened[zone] = places

    async def pause(self, *, cut: bool = False) -> None:
        for zone, places in self._opened.items():
            await self.bus.open_run(self._notice(zone, paused=True, cut=cut), places)

    async def view(self, zone: str) -> RunView:
        return await self.bus.view(self.plan.run, zone)

    async def busy(self, but: Collection[str] = ()) -> bool:
        """Has any appliance something in hand, or is there a report that has not been read? `but`: zones that are left
        out, since nobody there has anything.
        """
        for zone in (zone for zone in self._opened if zone not in but):
            view = await self.view(zone)
            if view.leased or view.reports_waiting:
                return True
        return False

    async def recall(self, zone: str) -> int:
        """Empty a zone's queue; the sequence number of the last job that had been given to an appliance."""
        given = (await self.view(zone)).delivered
        await self.bus.purge_run(self.plan.run, zone)
        return given

    async def close(self) -> None:
        """In every zone that it may have worked in, in this life or an earlier one."""
        for zone in dict.fromkeys((*self.plan.zones.all, *self._opened)):
            await self.bus.close_run(self.plan.run, zone)

    def _notice(self, zone: str, *, paused: bool, cut: bool = False) -> RunNotice:
        plan = self.plan
        targets = plan.zones.size(zone)
        return RunNotice(
            v=plan.contract, run=plan.run, zone=zone, vaults=plan.vaults, targets=targets, paused=paused, cut=cut
        )
