"""`keymuster fleet list`: who has enrolled, who is drained, and, where the bus can be asked, who is there."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import anyio
from anyio import to_thread
from rich.console import Console

from appliance.bus import BusError
from orchestrator.appliance_clocks import APART_S, are_apart, told
from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput, CommandError, Exit
from orchestrator.cli.fleet_bus import fleet_bus
from orchestrator.cli.fleet_keys import keys_in
from orchestrator.cli.live_fleet import Live, look
from orchestrator.cli.output import written_to
from orchestrator.cli.storing import is_there, opened
from orchestrator.fleet.keys import has_fleet
from orchestrator.fleet.roster import Drain, Member
from orchestrator.report.documents import SCHEMA_VERSION, Document, dumps, instant
from orchestrator.report.tables import FittedTable, cell, column

REACH_S = 8.0


async def show(home: Home, as_json: bool, url: str | None) -> Exit:
    """Raises BadInput."""
    if not await is_there(home) and not await to_thread.run_sync(has_fleet, home.state):
        raise BadInput(f"there is no fleet in {home.state}; `keymuster fleet init` makes one")
    async with opened(home) as store:
        members, drains = await store.fleet.members(), await store.fleet.drains()
    live = await _live(home.state, url) if members else None
    with written_to(None) as out:
        if as_json:
            out.write(dumps(document(members, live, drains)) + "\n")
        else:
            Console(file=out).print(_table(members, live, drains))
    for one in (live or {}).values():
        if are_apart(offset := one.clock.offset):
            sys.stderr.write(
                f"{one.beat.appliance}: its clock is {told(offset)} of this machine's, more than {APART_S:g} s: set "
                "both by the same source (chrony, systemd-timesyncd)\n"
            )
    return Exit.OK


async def _live(state: Path, url: str | None) -> Mapping[str, Live] | None:
    """None where nobody can be asked."""
    if not await to_thread.run_sync(has_fleet, state):
        return None
    try:
        keys, _ = await to_thread.run_sync(keys_in, state)
        with anyio.move_on_after(REACH_S):
            async with fleet_bus(keys, url or keys.url) as bus:
                return await look(bus)
        raise BadInput(f"no answer within {REACH_S:g} s")
    except (BusError, CommandError) as error:
        sys.stderr.write(f"the bus cannot be asked who is there: {error}\n")
        return None


def _drained(member: Member, drains: Sequence[Drain]) -> bool:
    return any(one.zone == member.zone and one.appliance in ("", member.name) for one in drains)


def document(members: Sequence[Member], live: Mapping[str, Live] | None, drains: Sequence[Drain]) -> Document:
    """`live`: None where nobody could be asked."""
    return {
        "schema_version": SCHEMA_VERSION,
        "appliances": [_appliance(member, live, drains) for member in members],
        "drains": [{**asdict(one), "since": instant(one.since)} for one in drains],
    }


def _appliance(member: Member, live: Mapping[str, Live] | None, drains: Sequence[Drain]) -> Document:
    one = (live or {}).get(member.name)
    return {
        **asdict(member),
        "enrolled_at": instant(member.enrolled_at),
        "revoked_at": instant(member.revoked_at) if member.revoked_at is not None else None,
        "drained": _drained(member, drains),
        "alive": None if live is None else one is not None,
        "running": one.beat.release if one else None,
        "contract": list(one.beat.reads) if one else None,
        "draining": one.beat.draining if one else None,
        "in_flight": one.beat.in_flight if one else None,
        "clock_offset_s": one.clock.offset if one else None,
    }


def _table(members: Sequence[Member], live: Mapping[str, Live] | None, drains: Sequence[Drain]) -> FittedTable:
    titles = ("Appliance", "Zone", "Release", "Clock", "Now", "Enrolled")
    table = FittedTable("", *map(column, titles))
    for one in members:
        here = (live or {}).get(one.name)
        release = (here.beat.release if here else "") or one.release
        of_contract = f", contract {here.contract}" if here else ""
        clock = told(here.clock.offset) if here else ""
        now = _now(one, here, live is not None, drains)
        row = (one.name, one.zone, f"{release}{of_contract}", clock, now, _moment(one.enrolled_at))
        table.add_row(*map(cell, row))
    return table


def _now(member: Member, here: Live | None, asked: bool, drains: Sequence[Drain]) -> str:
    if member.revoked_at is not None:
        return f"revoked {_moment(member.revoked_at)}"
    if here is not None:
        return here.state
    words = ["is not there"] if asked else []
    return ", ".join([*words, *(["is to be drained"] if _drained(member, drains) else [])])


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(at))
