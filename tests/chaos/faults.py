"""Faults as they are done to a world, and undone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from appliance.bus import subjects
from tests.acceptance.chaos.processes import command, descendants
from tests.chaos.namespaces import cut, mend
from tests.chaos.services import Service
from tests.chaos.timetable import Fault, Kind
from tests.chaos.world import World, Zone
from tests.peers.cluster import Node

Undo = Callable[[], None]


def strike(world: World, fault: Fault) -> tuple[str, Undo]:
    """Do it; what was hit, and what undoes it when it has lasted its time."""
    return _HOW[fault.kind](world, fault.which, fault.lasts)


def _nothing() -> None:
    """What has been killed is started again by who keeps it."""


def _appliance(world: World, which: int) -> Service:
    appliances = [one for zone in world.zones for one in zone.appliances]
    return appliances[which % len(appliances)]


def _zone(world: World, which: int) -> Zone:
    return world.zones[which % len(world.zones)]


def _orchestrator(world: World, which: int) -> Service:
    return world.orchestrators[which % len(world.orchestrators)]


def _killed(service: Service) -> tuple[str, Undo]:
    if service.alive:
        service.signal(signal.SIGKILL)
    return service.name, _nothing


def _frozen(service: Service) -> tuple[str, Undo]:
    """With all that it has started, as a machine that is suspended."""
    family = service.family()
    for pid in family:
        _signal(pid, signal.SIGSTOP)

    def thaw() -> None:
        for pid in family:
            _signal(pid, signal.SIGCONT)

    return service.name, thaw


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_scan_process(world: World, which: int, _lasts: float) -> tuple[str, Undo]:
    service = _appliance(world, which)
    scans = [pid for pid in descendants(service.pid) if "appliance.worker" in command(pid)] if service.alive else []
    if scans:
        _signal(scans[which % len(scans)], signal.SIGKILL)
    return f"{service.name}, {len(scans)} scan processes", _nothing


def _kill_server(node: Node) -> tuple[str, Undo]:
    node.kill()
    return node.name, node.start


def _kill_leader(world: World, which: int, _lasts: float) -> tuple[str, Undo]:
    return _kill_server(world.cluster.leader(subjects.OUTCOMES) or world.cluster.nodes[which % 3])


def _freeze_server(world: World, which: int, _lasts: float) -> tuple[str, Undo]:
    node = world.cluster.nodes[which % 3]
    node.signal(signal.SIGSTOP)
    return node.name, lambda: node.signal(signal.SIGCONT)


def _fill_disk(world: World, which: int, _lasts: float) -> tuple[str, Undo]:
    node = world.cluster.nodes[which % 3]
    node.fill_disk()
    return node.name, node.free_disk


def _restart_store(world: World, which: int, lasts: float) -> tuple[str, Undo]:
    how = (signal.SIGQUIT, signal.SIGINT)[which % 2]
    world.store.stop(how)
    return how.name, world.store.start


def _cut_zone(world: World, which: int, _lasts: float) -> tuple[str, Undo]:
    zone = _zone(world, which)
    cut(world.core, zone.wire)
    return zone.name, lambda: mend(world.core, zone.wire)


def _vault_down(world: World, which: int, _lasts: float) -> tuple[str, Undo]:
    zone = _zone(world, which)
    zone.vault_faults("down")
    return zone.name, zone.vault_faults


_HOW: dict[Kind, Callable[[World, int, float], tuple[str, Undo]]] = {
    Kind.KILL_APPLIANCE: lambda world, which, _: _killed(_appliance(world, which)),
    Kind.FREEZE_APPLIANCE: lambda world, which, _: _frozen(_appliance(world, which)),
    Kind.KILL_SCAN_PROCESS: _kill_scan_process,
    Kind.KILL_ORCHESTRATOR: lambda world, which, _: _killed(_orchestrator(world, which)),
    Kind.FREEZE_ORCHESTRATOR: lambda world, which, _: _frozen(_orchestrator(world, which)),
    Kind.KILL_SERVER: lambda world, which, _: _kill_server(world.cluster.nodes[which % 3]),
    Kind.KILL_LEADER: _kill_leader,
    Kind.FREEZE_SERVER: _freeze_server,
    Kind.FILL_DISK: _fill_disk,
    Kind.RESTART_STORE: _restart_store,
    Kind.CUT_ZONE: _cut_zone,
    Kind.VAULT_DOWN: _vault_down,
}
