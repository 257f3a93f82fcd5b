"""`pause`, `resume`, `cancel`, `priority`: orders to a run, by way of its holder or, without one, in the store.

An order that stops something is waited for: the command returns when nothing of the run is in flight any more.
"""

from __future__ import annotations

import sys

import anyio

from orchestrator.cli.arguments import Show, Where
from orchestrator.cli.errors import BadInput, Exit, Incomplete, Unreachable
from orchestrator.cli.given import Given
from orchestrator.cli.holder import client_of, holder_of, who
from orchestrator.cli.holder_client import POLL_S, Client
from orchestrator.cli.output import written_to
from orchestrator.cli.storing import find_run, stored
from orchestrator.report.documents import SCHEMA_VERSION, dumps, run_document
from orchestrator.run_state import Act
from orchestrator.state_dir import HolderInfo
from orchestrator.stops import checked_why
from orchestrator.store import Store
from orchestrator.store.records import RunRecord

PATIENCE_S = 10.0
AGAIN_S = 0.3


async def pause(where: Where, run_id: str, why: str, wait: bool, as_json: bool) -> Exit:
    """Raises BadInput, Unreachable, Incomplete."""
    return await _stop(where, run_id, Given(Act.PAUSE, who(), _checked(why)), wait, as_json)


async def cancel(where: Where, run_id: str, why: str, wait: bool, as_json: bool) -> Exit:
    """Raises BadInput, Unreachable, Incomplete."""
    return await _stop(where, run_id, Given(Act.CANCEL, who(), _checked(why)), wait, as_json)


async def resume(where: Where, run_id: str, show: Show) -> Exit:
    """A run in a holder's hands goes on there; any other is begun again as by `run --resume`, and watched."""
    async with stored(where.home) as store:
        await find_run(store, run_id)
        async with holder_of(where, store, run_id) as holder:
            state = None if holder is None else await _told(holder, where, run_id, Given(Act.RESUME, who()))
            if holder is not None and state is not None:
                sys.stderr.write(f"run {run_id} goes on in {holder.who}: {state}\n")
                return Exit.OK
    from orchestrator.cli import starting  # noqa: PLC0415 - whoever only gives an order executes no run

    return await starting.resume(where, run_id, show, Act.RESUME)


async def prefer(where: Where, run_id: str, number: int, as_json: bool) -> Exit:
    """Raises BadInput, Unreachable."""
    async with stored(where.home) as store:
        record = await find_run(store, run_id)
        if record.state.over:
            raise BadInput(f"run {run_id} is {record.state}: nothing of it is left to be preferred")
        async with holder_of(where, store, run_id) as holder:
            if holder is None:
                await store.runs.update(run_id, priority=number)
            else:
                async with client_of(holder, where) as client:
                    await client.prefer(run_id, number)
        _show(await find_run(store, run_id), f"priority {number}", as_json)
    return Exit.OK


def _show(record: RunRecord, text: str, as_json: bool) -> None:
    with written_to(None) as out:
        if as_json:
            print(dumps({"schema_version": SCHEMA_VERSION, "runs": [run_document(record)]}), file=out)
        else:
            print(f"run {record.id}: {text}", file=out)


async def _stop(where: Where, run_id: str, given: Given, wait: bool, as_json: bool) -> Exit:
    async with stored(where.home) as store:
        await find_run(store, run_id)
        async with holder_of(where, store, run_id) as holder:
            if holder is None:
                # What makes a run's plan anew, which its holder has: he who has one needs none of it.
                from orchestrator.cli.unattended import order_unattended  # noqa: PLC0415

                await order_unattended(store, run_id, given)
            else:
                await _told(holder, where, run_id, given)
                async with client_of(holder, where) as client:
                    await _at_rest(store, client, run_id, wait=wait)
        record = await find_run(store, run_id)
    _show(record, record.standing.text, as_json)
    return Exit.OK


async def _told(holder: HolderInfo, where: Where, run_id: str, given: Given) -> str | None:
    """How the run stands; None where it is to be resumed and the holder does not have it. A holder that begins or ends
    is not heard for a moment.
    """
    end = anyio.current_time() + PATIENCE_S
    while True:
        try:
            async with client_of(holder, where) as client:
                return await client.order(run_id, given)
        except Unreachable as error:
            if anyio.current_time() >= end:
                raise Unreachable(
                    f"{holder.who}: {error}; nothing was changed: end that process, and say it again"
                ) from None
            await anyio.sleep(AGAIN_S)


async def _at_rest(store: Store, client: Client, run_id: str, *, wait: bool) -> None:
    """Wait until nothing of the run is in flight. Raises Incomplete where the holder ends before."""
    while wait:
        record = await find_run(store, run_id)
        if not record.state.under_way:
            return
        if await client.progress(run_id) is None and (await find_run(store, run_id)).state.under_way:
            raise Incomplete(f"the process that held run {run_id} ended while that was {record.state}; say it again")
        await anyio.sleep(POLL_S)


def _checked(why: str) -> str:
    try:
        return checked_why(why)
    except ValueError as error:
        raise BadInput(f"--why: {error}") from None
