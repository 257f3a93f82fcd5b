"""`stop`, `allow` and `stops`: an admin ends the use of an account, a secret or a vault at once, and lets it go on.

Whoever holds the state directory is told over the control protocol, and answers when the stop is in force and durable.
Without a holder this process is it for a moment, and writes the store. Where a holder does not answer the user is told:
the stop is written beside it, and binds whatever begins later.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
from rich.console import Console

from orchestrator.campaign_model import Campaign, SnapshotError
from orchestrator.cli.acquiring import acquire
from orchestrator.cli.arguments import Home, Where
from orchestrator.cli.errors import BadInput, CommandError, Exit, NothingToDo, Unreachable
from orchestrator.cli.holder import client_of, let_go, tell_all, who
from orchestrator.cli.output import written_to
from orchestrator.cli.storing import is_there, opened, stored
from orchestrator.report.documents import SCHEMA_VERSION, dumps
from orchestrator.report.tables import FittedTable, cell, column
from orchestrator.state_dir import Held, HolderInfo
from orchestrator.stop_known import names
from orchestrator.stop_office import StopOffice
from orchestrator.stops import Selector, Stop, checked_why

PATIENCE_S = 10.0
AGAIN_S = 0.3
RUNS_LOOKED_AT = 20

Words = tuple[str | None, str | None, str | None]
"""What --account, --secret and --vault say."""


def selected(words: Words) -> Selector:
    """Raises BadInput."""
    account, secret, vault = words
    if account is not None and (secret is not None or vault is not None):
        raise BadInput("--account stands alone: a stop is for one account, one secret or one vault")
    try:
        if account is not None:
            return Selector.of_account(account)
        if secret is not None:
            return Selector.of_secret(secret, "" if vault is None else Selector.of_vault(vault).name)
        if vault is not None:
            return Selector.of_vault(vault)
    except ValueError as error:
        raise BadInput(str(error)) from None
    raise BadInput("say what: --account USER@AUTHORITY, --secret NAME [--vault TITLE], or --vault TITLE")


async def stop(where: Where, words: Words, why: str, json: bool) -> Exit:
    """Returns when it is in force. Raises BadInput, Unreachable."""
    selector = selected(words)
    try:
        wanted = Stop(selector, time.time(), who(), checked_why(why))
    except ValueError as error:
        raise BadInput(f"--why: {error}") from None
    try:
        standing, runs = await _forbid(where, wanted)
    except CommandError as error:
        async with _office_beside(where.home) as office:
            await office.stop(wanted)
        raise Unreachable(
            f"{error}\n{selector} is written down as stopped and binds every run that begins from now on; what that "
            "process runs is not stopped: end it"
        ) from None
    if await _is_named_nowhere(where.home, selector):
        sys.stderr.write(f"no run so far names {selector}: look for a slip, or leave it for those to come\n")
    with written_to(None) as out:
        if json:
            print(dumps(document([standing])), file=out)
        elif standing.since != wanted.since:
            print(f"was stopped already: {_told(standing)}", file=out)
        else:
            met = f"; {runs} open run{'' if runs == 1 else 's'} told" if runs else ""
            print(f"stopped: {selector}{met}. `keymuster allow` with the same words lifts it.", file=out)
    return Exit.OK


async def allow(where: Where, words: Words | None, json: bool) -> Exit:
    """Lift one stop, or all (None). Raises BadInput, NothingToDo, Unreachable."""
    selector = None if words is None else selected(words)
    lifted = await _lift(where, selector)
    if not lifted:
        standing = await _standing(where.home)
        if not standing or selector is None:
            raise NothingToDo("nothing is stopped")
        raise NothingToDo(f"{selector} is not stopped; what is: {'; '.join(map(_told, standing))}")
    with written_to(None) as out:
        if json:
            print(dumps(document(lifted)), file=out)
        for one in () if json else lifted:
            print(f"allowed again: {one.selector}", file=out)
    return Exit.OK


async def stops(home: Home, json: bool) -> Exit:
    standing = await _standing(home)
    with written_to(None) as out:
        if json:
            print(dumps(document(standing)), file=out)
        elif not standing:
            print("nothing is stopped", file=out)
        else:
            table = FittedTable("", *map(column, ("Stopped", "Since", "By", "Why")))
            for one in standing:
                table.add_row(*map(cell, (str(one.selector), _iso(one.since), one.by, one.why)))
            Console(file=out).print(table)
    return Exit.OK


def document(standing: Sequence[Stop]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "stops": [
            {
                "kind": one.selector.kind.value,
                "name": one.selector.name,
                "vault": one.selector.vault or None,
                "since": _iso(one.since),
                "by": one.by,
                "why": one.why,
            }
            for one in standing
        ],
    }


# -- the holder, or ourselves ------------------------------------------------------------------------------------------


async def _forbid(where: Where, wanted: Stop) -> tuple[Stop, int]:
    """The stop that stands, and how many open runs were told. Raises CommandError."""
    if where.nats is not None:
        return await _forbid_all(where, wanted)
    end = anyio.current_time() + PATIENCE_S
    while True:
        found = await acquire(where)
        if not isinstance(found, HolderInfo):
            async with _own_office(found, where.home) as office:
                return await office.stop(wanted), 0
        try:
            async with client_of(found, where) as client:
                return await client.forbid(wanted)
        except Unreachable as error:
            # A holder that is about to begin or to end is not heard for a moment.
            if anyio.current_time() >= end:
                raise Unreachable(f"process {found.pid}: {error}") from None
            await anyio.sleep(AGAIN_S)


async def _forbid_all(where: Where, wanted: Stop) -> tuple[Stop, int]:
    """Every orchestrator on the bus is told; one that comes later reads it from the store. Raises CommandError."""
    async with opened(where.home) as store:
        office = StopOffice(store.stops, lambda: None)
        await office.load()
        standing, runs = await office.stop(wanted), 0

        async def forbid(one: HolderInfo) -> None:
            nonlocal standing, runs
            async with client_of(one, where) as client:
                standing, met = await client.forbid(wanted)
            runs += met

        await tell_all(store, forbid)
    return standing, runs


async def _lift(where: Where, selector: Selector | None) -> Sequence[Stop]:
    if where.nats is not None:
        return await _lift_all(where, selector)
    found = await acquire(where)
    if isinstance(found, HolderInfo):
        async with client_of(found, where) as client:
            return await client.allow(selector)
    async with _own_office(found, where.home) as office:
        return await office.allow(selector)


async def _lift_all(where: Where, selector: Selector | None) -> Sequence[Stop]:
    """The orchestrators let it go on when they read it, within seconds; those that are heard, at once."""
    async with opened(where.home) as store:
        office = StopOffice(store.stops, lambda: None)
        await office.load()
        lifted = await office.allow(selector)

        async def let_on(one: HolderInfo) -> None:
            async with client_of(one, where) as client:
                await client.allow(selector)

        await tell_all(store, let_on)
    return lifted


@asynccontextmanager
async def _own_office(held: Held, home: Home) -> AsyncIterator[StopOffice]:
    """Nobody runs anything in this state directory, and nobody can begin to before we are done."""
    try:
        async with _office_beside(home) as office:
            yield office
    finally:
        await let_go(held)


@asynccontextmanager
async def _office_beside(home: Home) -> AsyncIterator[StopOffice]:
    """The store alone: nobody else is told."""
    async with opened(home) as store:
        office = StopOffice(store.stops, lambda: None)
        await office.load()
        yield office


async def _standing(home: Home) -> list[Stop]:
    """From the store, beside whoever holds it."""
    if not await is_there(home):
        return []
    async with stored(home) as store:
        return await store.stops.all()


async def _is_named_nowhere(home: Home, selector: Selector) -> bool:
    """There are runs, and the latest of them know nothing of it."""
    async with opened(home) as store:
        records = sorted(await store.runs.all(), key=lambda record: -record.created_at)[:RUNS_LOOKED_AT]
    for record in records:
        try:
            campaign = Campaign.from_snapshot(dict(record.snapshot))
        except SnapshotError:
            return False  # another release's: who knows
        if names(campaign, selector):
            return False
    return bool(records)


# -- words -------------------------------------------------------------------------------------------------------------


def _told(stop: Stop) -> str:
    why = f": {stop.why}" if stop.why else ""
    return f"{stop.selector}, since {_iso(stop.since)} by {stop.by}{why}"


def _iso(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
