"""`keymuster fleet drain` and `resume`: an appliance, or all of a zone, takes no more jobs; until it may again.

The store has it first, then the bus: an appliance that starts later, or a bus that has lost its store, learns it anew.
"""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Mapping

from anyio import to_thread

from appliance.bus import BusError, OrchestratorBus
from appliance.bus.orchestrator_side import JetStreamOrchestrator
from appliance.bus.users import appliance_permissions
from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput, Exit, Incomplete
from orchestrator.cli.fleet_bus import fleet_bus
from orchestrator.cli.fleet_keys import keys_in
from orchestrator.cli.live_fleet import Live, following
from orchestrator.cli.storing import opened
from orchestrator.fleet.office import put_orders
from orchestrator.fleet.roster import Drain
from orchestrator.store import Store

KNOWS_ORDERS = 2
"""The contract version that orders came with."""


async def drain(home: Home, name: str | None, zone: str | None, why: str, wait: bool, url: str | None) -> Exit:
    """`wait`: until it is empty. Raises BadInput, Unreachable, Incomplete."""
    keys, _ = await to_thread.run_sync(keys_in, home.state)
    async with opened(home) as store, fleet_bus(keys, url or keys.url) as bus:
        asked = await _asked(store, name, zone)
        order = Drain(*asked, time.time(), getpass.getuser(), why)
        await store.fleet.drain(order)
        await _tell(store, bus, order)
        sys.stderr.write(f"{order.label} takes no more jobs; `keymuster fleet resume` ends that\n")
        if wait:
            await _until_empty(bus, order)
    return Exit.OK


async def resume(home: Home, name: str | None, zone: str | None, url: str | None) -> Exit:
    """Raises BadInput, Unreachable, Incomplete."""
    keys, _ = await to_thread.run_sync(keys_in, home.state)
    async with opened(home) as store, fleet_bus(keys, url or keys.url) as bus:
        asked = await _asked(store, name, zone)
        order = Drain(*asked, time.time(), "")
        if not await store.fleet.undrain(*asked):
            raise BadInput(f"{order.label} is not drained; `keymuster fleet list` shows what is")
        await _tell(store, bus, order)
        left = [one for one in await store.fleet.drains() if one.zone == order.zone and not one.appliance]
        if left:
            sys.stderr.write(f"zone {order.zone!r} as a whole is drained still: `fleet resume --zone {order.zone}`\n")
        else:
            sys.stderr.write(f"{order.label} takes jobs again\n")
    return Exit.OK


async def _asked(store: Store, name: str | None, zone: str | None) -> tuple[str, str]:
    """Zone and appliance; an empty name for all of the zone. Raises BadInput."""
    if (name is None) == (zone is None):
        raise BadInput("name an appliance, or a whole zone with --zone")
    if name is None:
        try:
            appliance_permissions(zone or "", "any")
        except ValueError as error:
            raise BadInput(f"--zone: {error}") from None
        return zone or "", ""
    member = next((m for m in await store.fleet.members() if m.name == name and m.revoked_at is None), None)
    if member is None:
        raise BadInput(f"no appliance {name!r} has enrolled; `keymuster fleet list` shows them")
    return member.zone, name


async def _tell(store: Store, bus: JetStreamOrchestrator, order: Drain) -> None:
    if not await put_orders(bus, order.zone, await store.fleet.drains()):
        raise Incomplete(
            "the store has it, but the bus did not take it: repeat the command, or leave it to `keymuster serve`, "
            "which tells it again every ten minutes"
        )


async def _until_empty(bus: OrchestratorBus, order: Drain) -> None:
    """Raises Incomplete."""
    sys.stderr.write("waiting until it is empty; Ctrl-C ends the waiting, not the drain\n")
    try:
        async with following(bus) as changes:
            async for alive in changes:
                theirs = {name: one for name, one in alive.items() if _is_meant(one, order)}
                if (told := _told(theirs)) is not None:
                    sys.stderr.write(f"{told}\n")
                    return
    except BusError as error:
        raise Incomplete(f"{order.label} is being drained, and the bus does not tell how far it is: {error}") from None


def _is_meant(one: Live, order: Drain) -> bool:
    return one.beat.zone == order.zone and order.appliance in ("", one.beat.appliance)


def _told(alive: Mapping[str, Live]) -> str | None:
    """What there is to say at the end of the waiting; None while it goes on."""
    if not alive:
        return "it is not on the bus: it learns it when it comes"
    if old := [name for name, one in alive.items() if one.beat.reads[1] < KNOWS_ORDERS]:
        return f"{', '.join(old)}: of a release that knows no orders; SIGTERM drains it, and ends it then"
    if all(one.beat.draining and not one.beat.in_flight and not one.beat.pulling for one in alive.values()):
        return f"empty: {', '.join(sorted(alive))}"
    return None
