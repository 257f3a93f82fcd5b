"""A run that another process executes: handed over, watched, and reported from the shared store.

On the user's bus an answer may be lost, as when a server of it is restarted, and a holder may die and another go on:
so a run is watched for as long as somebody has it in hand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

from orchestrator.cli.arguments import Show, Where
from orchestrator.cli.errors import BadInput, Exit, Incomplete, Unreachable
from orchestrator.cli.holder import TAKEN_S, client_of, found_alive, has_begun
from orchestrator.cli.holder_client import POLL_S, Client, UnansweredError
from orchestrator.cli.progress import ProgressDisplay
from orchestrator.cli.reporting import write_report
from orchestrator.cli.running import exit_code, interruptible, say_how_it_goes_on
from orchestrator.cli.storing import find_run, stored
from orchestrator.cli.waiting import told
from orchestrator.exposure import exposures_of
from orchestrator.state_dir import HolderInfo

Submit = Callable[[Client], Awaitable[str]]
"""Hands a run to the holder and gives its id."""


async def through(holder: HolderInfo, where: Where, show: Show, run: str, submit: Submit) -> Exit:
    """Let the holder execute the run; watch it, and report it. `run`: the id it has, or is to have. Raises BadInput,
    Unreachable, Incomplete.
    """
    if not where.fast_path:
        who = f"process {holder.pid}, which holds {where.state} and has started its appliance already"
        raise BadInput(f"--no-fast-path is not for {who}: wait until it has ended, or name another --state")
    async with interruptible() as interrupt:
        async with client_of(holder, where) as client:
            _same_store(holder, await client.kept_in() if holder.orchestrator else holder.store, where)
            run_id = await _submitted(client, where, run, submit)
            async with stored(where.home) as store:
                warnings = exposures_of((await find_run(store, run_id)).snapshot).values()
            with ProgressDisplay(enabled=show.progress, warnings=warnings) as display:
                display.note(f"run {run_id}: submitted to {holder.who}, which holds {where.state}")
                watch = _Watch(run_id, display, interrupt)
                await watch.through(client)
                last = holder
                while (now := await _who_goes_on(where, run_id)) is not None:
                    if now.orchestrator != last.orchestrator:
                        display.note(f"{now.who} goes on with it")
                    last = now
                    with suppress(Unreachable):  # lost again: it is looked for again
                        async with client_of(now, where) as other:
                            await watch.through(other)
        async with stored(where.home) as store:
            record = await find_run(store, run_id)
            if record.state.under_way:
                raise Incomplete(
                    f"{holder.who} ended while run {run_id} was under way; "
                    f"`keymuster run --resume {run_id}` goes on with it"
                )
            gates_ok = await write_report(store, record, show.form, show.output)
            say_how_it_goes_on(record)
    return exit_code(record.state, interrupted=watch.stopped, gates_ok=gates_ok)


async def _submitted(client: Client, where: Where, run: str, submit: Submit) -> str:
    """The run's id. Raises BadInput, Unreachable, Incomplete; none of them where the run has begun."""
    async with stored(where.home) as store:
        record = await store.runs.get(run)
        before = None if record is None else record.standing
        try:
            return await submit(client)
        except UnansweredError:
            if not await has_begun(store, run, before):
                raise
            return run


class _Watch:
    def __init__(self, run: str, display: ProgressDisplay, interrupt: anyio.Event) -> None:
        self._run = run
        self._display = display
        self._interrupt = interrupt
        self.stopped = False
        """The run was, by us."""

    async def through(self, client: Client) -> None:
        """Until this holder has nothing more to say of it. Raises Unreachable for a stop that is not answered."""
        told = False  # each holder is, since the one before may not have heard it
        while (progress := await client.progress(self._run)) is not None:
            self._display.show(progress)
            if self._interrupt.is_set() and not told:
                self.stopped = True
                await client.stop(self._run)
                told = True
            await anyio.sleep(POLL_S)


async def _who_goes_on(where: Where, run: str) -> HolderInfo | None:
    """Where a run is under way: who has it in hand, on the user's bus. None where nobody has, or it is over."""
    if where.nats is None:
        return None
    async with stored(where.home) as store:
        with told(f"whoever goes on with run {run}", TAKEN_S):
            return await found_alive(where, store, run)


def _same_store(holder: HolderInfo, kept_in: str | None, where: Where) -> None:
    """Raises BadInput: the run would be looked for where it is not. `kept_in`: the holder's, if known."""
    if kept_in not in (None, where.home.kept_in):
        theirs = f"--store {kept_in}" if kept_in else "no --store"
        raise BadInput(
            f"{holder.who}, which holds {where.state}, was started with {theirs}: say the same, wait until it "
            "has ended, or name another --state"
        )
