"""`doctor`: is this machine, and what it speaks to, fit for a campaign? Says what to change, and changes nothing.

A vault is asked by an appliance, as ever: one of the holder's where a `serve` or a run holds the state directory, else
one that lives for the question, in a directory of its own.
"""

from __future__ import annotations

import json as formats
import shlex
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import anyio
import anyio.to_thread
from rich.console import Console

from appliance.bus import BusError, BusRefused, BusUnavailable
from appliance.bus.orchestrator_side import connect_orchestrator
from appliance.questions import VaultAnswer, VaultQuery, VaultQueryKind
from orchestrator.campaign_model import Campaign
from orchestrator.cli.arguments import Home, Where
from orchestrator.cli.asker import asker
from orchestrator.cli.ending import leaves
from orchestrator.cli.errors import CommandError, Exit
from orchestrator.cli.live_fleet import look
from orchestrator.cli.output import written_to
from orchestrator.cli.own_bus import bus_login
from orchestrator.cli.storing import FILE
from orchestrator.cli.waiting import told_of_bus
from orchestrator.doctor import Finding, Level, bad, clocks, fine, machine, warn
from orchestrator.doctor.fleet import judged
from orchestrator.nats_binary import NatsServerError, find_binary
from orchestrator.report.documents import SCHEMA_VERSION, dumps
from orchestrator.report.tables import BAD, GOOD, FittedTable, cell, column
from orchestrator.store import StoreError
from orchestrator.store.looking import is_at_head

CAPACITY = 256
"""Targets in flight where no campaign says how many."""
NOBODYS = "doctor"
"""The name of no run."""
CHILD_S = 30.0


async def doctor(where: Where, campaign: Campaign | None, appliance: Path | None, json: bool) -> Exit:
    """Exit 1 when something is bad, 3 when that is a vault or the bus alone."""
    findings = [found async for found in _findings(where, campaign, appliance)]
    wrong = {found.check for found in findings if found.level is Level.BAD}
    with written_to(None) as out:
        if json:
            rows = [{**asdict(found), "advice": found.advice or None} for found in findings]
            print(dumps({"schema_version": SCHEMA_VERSION, "ok": not wrong, "findings": rows}), file=out)
        else:
            table = FittedTable("", *map(column, ("", "Check", "Finding", "What to change")))
            for found in findings:
                style = {Level.OK: GOOD, Level.BAD: BAD}.get(found.level, "")
                table.add_row(cell(found.level.value, style), *map(cell, (found.check, found.text, found.advice)))
            Console(file=out).print(table)
    if not wrong:
        return Exit.OK
    return Exit.VAULT if wrong <= {"vault", "bus"} else Exit.GATE_FAILED


async def _findings(where: Where, campaign: Campaign | None, appliance: Path | None) -> AsyncIterator[Finding]:
    capacity = campaign.pace.capacity if campaign is not None else CAPACITY
    for found in await anyio.to_thread.run_sync(_of_the_machine, where.state, capacity):
        yield found
    yield await _store(where.home)
    if where.nats is None:
        yield await _own_bus()
    else:
        for found in await _bus(where):
            yield found
    for found in await anyio.to_thread.run_sync(_of_the_appliance, appliance):
        yield found
    if campaign is not None:
        async for found in _vaults(where, campaign):
            yield found


def _of_the_machine(state: Path, capacity: int) -> Sequence[Finding]:
    return [machine.clock(), machine.open_files(capacity), *machine.secrets(), machine.disk(state)]


async def _store(home: Home) -> Finding:
    state = home.state
    if home.store is not None:
        return fine("store", f"is a server's, {home.store.where}; `keymuster runs` opens it, and brings it up to date")
    if not await anyio.Path(state / FILE).exists():
        return fine("store", f"there is none in {state} yet; the first run makes one")
    try:
        at_head = await is_at_head(state / FILE)
    except StoreError as error:
        return bad(
            "store", str(error), "look whether it is the right directory; docs/runbook.md says how to restore one"
        )
    if not at_head:
        return warn(
            "store", "is of an older release", "the next command that opens it migrates it: make a backup first"
        )
    return fine("store", "opens, and is at this release's schema")


async def _own_bus() -> Finding:
    try:
        binary = await find_binary()
    except NatsServerError as error:
        return bad("bus", str(error), "as it says")
    return fine("bus", f"nats-server {'.'.join(map(str, binary.version))} at {binary.path}")


async def _bus(where: Where) -> Sequence[Finding]:
    """The bus, and the appliances that are on it."""
    try:
        login = bus_login(where)
        seed = login.seed.get_secret_value()
        with told_of_bus(login.url):
            bus = await connect_orchestrator(login.url, seed=seed, token=login.token, tls=login.tls())
    except (BusError, ValueError, CommandError) as error:
        return [bad("bus", str(error), "look at --nats, --nats-seed and --nats-ca, and at the server's log")]
    try:
        with suppress(BusError):  # that run is not there, says JetStream
            try:
                await bus.view(NOBODYS, NOBODYS)
            except (BusUnavailable, BusRefused) as error:
                advice = "switch JetStream on there, and allow our user $JS.API.>"
                return [bad("bus", f"no answer from JetStream: {error}", advice)]
        there = await look(bus)
    finally:
        with anyio.move_on_after(2, shield=True):
            await bus.close()
    bus_is_fine = fine("bus", f"{login.url} takes our login, is 2.11 or later, and JetStream answers")
    return [bus_is_fine, *(judged(one.beat, one.clock.offset) for one in there.values())]


def _of_the_appliance(settings: Path | None) -> Sequence[Finding]:
    """What an appliance on this machine would say of itself, in a process of its own."""
    argv = [sys.executable, "-m", "appliance", "check", *([str(settings)] if settings else [])]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=CHILD_S)  # noqa: S603 - ours
    except subprocess.TimeoutExpired:
        return [bad("appliance", f"its check has not ended in {CHILD_S:g} s", "look at the machine's load")]
    if done.returncode:
        return [bad("appliance", done.stderr.strip() or f"its check ended with {done.returncode}", "correct that")]
    found = formats.loads(done.stdout)
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    slow = [name for name, usable in found["fast"].items() if not usable]
    if slow:
        advice = "install the versions of requirements.lock; logins work all the same"
        first = warn("versions", f"{versions}; no fast path for {', '.join(slow)}: more CPU for each login", advice)
    else:
        first = fine("versions", versions)
    return [first, *([fine("appliance", f"{settings} is in order")] if settings else [])]


async def _vaults(where: Where, campaign: Campaign) -> AsyncIterator[Finding]:
    asked = await _asked(where, campaign)
    if isinstance(asked, Finding):
        yield asked
        return
    checked, told = asked[: len(campaign.vaults)], asked[len(campaign.vaults) :]
    for vault, check, answer in zip(campaign.vaults, checked, told, strict=True):
        if not check.ok:
            advice = f"`keymuster vault test {shlex.quote(vault.title)}` asks it alone, and says more"
            yield bad("vault", f"{vault.title!r}: {check.reason}: {check.text}", advice)
            continue
        yield fine("vault", f"{vault.title!r} answers the appliance and takes its login")
        if (clock := clocks.judged(vault.title, answer.facts)) is not None:
            yield clock


async def _asked(where: Where, campaign: Campaign) -> Sequence[VaultAnswer] | Finding:
    """Whether every vault is there, then what each says of itself; or why there is no answer."""
    held = await anyio.Path(where.state / "holder.json").exists()
    answers: list[VaultAnswer] = []
    told: dict[str, None] = {}
    with tempfile.TemporaryDirectory(prefix="keymuster-doctor-") as directory:
        place = where if held else replace(where, home=Home(Path(directory)))
        try:
            async with asker(place, campaign) as put:
                for kind in (VaultQueryKind.CHECK, VaultQueryKind.WHO):
                    answers += await put(
                        [VaultQuery(run="", kind=kind, vault=vault.title) for vault in campaign.vaults]
                    )
        except* CommandError as errors:  # a group, where they come out of the engine's tasks
            told |= dict.fromkeys(map(str, leaves(errors)))
    if told:
        return bad("vault", "; ".join(told), "`keymuster vault test TITLE` asks one vault alone, and says more")
    return answers
