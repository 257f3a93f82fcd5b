"""Runs that were under way when their holder died or was told to end: which go on by themselves, what keeps others.

A run goes on when its vault logins can be had without asking anybody. Whatever keeps one is told with the command that
goes on with it. A vault, or an appliance, that is not there yet is waited for; what a human must settle is not tried
again: a refused login must not be sent twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from appliance.bus import BusError
from appliance.logs import get_logger
from orchestrator.campaign_model import Campaign, PasswordReference
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.control import Desk, ElsewhereError
from orchestrator.cli.errors import BadInput, CommandError, Incomplete, Refused, Unreachable
from orchestrator.cli.given import Given
from orchestrator.cli.passwords import logins_of
from orchestrator.cli.running import is_of_others, recalled
from orchestrator.cli.secret_references import read_secret
from orchestrator.lease_keeper import run_lease
from orchestrator.run_state import Act, Hold, RunState, Standing
from orchestrator.store import RunRecord, Store, StoreError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0

log = get_logger()


@dataclass(slots=True)
class ReadOnce:
    """Reads each reference once: the environment gives a value only once, and several runs may share it. Lives for as
    long as runs are being gone on with.
    """

    _known: dict[str, str] = field(default_factory=dict, repr=False)

    def __call__(self, reference: PasswordReference, title: str, what: str, prompt: str) -> str:
        key = reference.model_dump_json()
        if key not in self._known:
            self._known[key] = read_secret(reference, title, what, prompt)
        return self._known[key]


def must_be_typed(campaign: Campaign) -> Iterator[str]:
    """The vaults of which something is asked for at a terminal."""
    for vault in campaign.vaults:
        references = (vault.password, vault.tls.client_key, vault.tls.client_key_passphrase)
        if any(one is not None and one.kind == "prompt" for one in references):
            yield vault.title


@dataclass(slots=True)
class Took:
    """The runs that nobody holds, and that were looked at here."""

    seen: dict[str, Standing] = field(default_factory=dict)
    """How each stood then."""
    trying: set[str] = field(default_factory=set)
    """Those that are being seen to."""


async def go_on(desk: Desk, store: Store, tasks: TaskGroup, read: ReadOnce, *, brings_logins: bool) -> Took:
    """Go on with every run that nobody has stopped. `brings_logins`: runs bring the vault logins (the bus is ours).

    One that began on another's own bus is for that one, or for a human. What belongs to an orchestrator that is dead,
    and not known to be yet, is not looked at: it is for `take_over`.
    """
    took = Took()
    for record in await store.runs.all():
        if not _is_free(desk, record.id) or is_of_others(record, desk.engine.keeper.owner):
            continue
        took.seen[record.id] = record.standing
        if record.state is RunState.CANCELLING:
            _start(tasks, took, _Ending(desk), store, record.id)
        elif _is_ours(record.standing):
            try:
                logins = await logins_without_asking(recalled(record).campaign, read) if brings_logins else ()
            except CommandError as error:
                _waits(record.id, str(error))
                continue
            _start(tasks, took, _GoingOn(desk, logins), store, record.id)
    return took


async def take_over(desk: Desk, store: Store, tasks: TaskGroup, took: Took) -> None:
    """Until cancelled: see to runs that nobody holds any more, whoever did; their vaults' logins are the appliances'. A
    run that waits for a human is let be until it has stood otherwise. `took`: what `go_on` has looked at.
    """
    keeper = desk.engine.keeper
    while not desk.closed:
        await keeper.looked()
        try:
            await _look_for_orphans(desk, store, tasks, took)
        except StoreError as error:
            log.warning("runs of dead orchestrators could not be looked for", error=str(error))


async def _look_for_orphans(desk: Desk, store: Store, tasks: TaskGroup, took: Took) -> None:
    standings = await store.runs.standings()
    await desk.engine.keeper.forget_dead(standings)
    for run in [run for run in took.seen if not _is_free(desk, run) or run not in standings]:
        del took.seen[run]
    for run, standing in standings.items():
        if not _is_free(desk, run) or took.seen.get(run) == standing or run in took.trying:
            continue
        record = await store.runs.get(run)
        took.seen[run] = standing
        if record is None or is_of_others(record, desk.engine.keeper.owner):
            continue
        if standing.state is RunState.CANCELLING:
            _start(tasks, took, _Ending(desk), store, run)
        elif _is_ours(standing):
            log.warning("nobody holds a run; goes on with it", run=run, state=standing.text)
            _start(tasks, took, _GoingOn(desk, (), under_way=standing.state is RunState.RUNNING), store, run)


def _is_free(desk: Desk, run: str) -> bool:
    return not desk.is_open(run) and desk.engine.keeper.elsewhere(run_lease(run)) is None


class _Step(Protocol):
    """What is done with a run that nobody holds. Raises CommandError, BusError, StoreError."""

    desk: Desk

    def is_due(self, standing: Standing) -> bool: ...

    def by_hand(self, run: str) -> str:
        """The command that does it."""
        ...

    async def take(self, record: RunRecord) -> None: ...


@dataclass(slots=True)
class _Ending:
    """See a cancelled run to its end: it needs no vault."""

    desk: Desk

    def is_due(self, standing: Standing) -> bool:
        return standing.state is RunState.CANCELLING

    def by_hand(self, run: str) -> str:
        return f"keymuster cancel {run}"

    async def take(self, record: RunRecord) -> None:
        for zone in self.desk.engine.zoning(recalled(record)).all:
            await self.desk.engine.bus.close_run(record.id, zone)
        standing = await self.desk.unattended(record.id, Given(Act.CANCEL))
        log.info("run", run=record.id, state=standing.text)


@dataclass(slots=True)
class _GoingOn:
    desk: Desk
    logins: Sequence[Login]
    under_way: bool = False

    def is_due(self, standing: Standing) -> bool:
        return _is_ours(standing)

    def by_hand(self, run: str) -> str:
        return f"keymuster run --resume {run}"

    async def take(self, record: RunRecord) -> None:
        await self.desk.resume(record.id, Given(Act.GO_ON), tuple(self.logins), under_way=self.under_way)
        log.info("goes on", run=record.id, campaign=record.campaign)


def _is_ours(standing: Standing) -> bool:
    """Was it under way when its process died, or is it until a service is there, or its window opens?"""
    if standing.state in (RunState.PAUSED, RunState.PAUSING):
        return standing.hold in (Hold.RESTART, Hold.WINDOW)
    return standing.state in (RunState.QUEUED, RunState.RUNNING, RunState.RESUMING)


async def logins_without_asking(campaign: Campaign, read: ReadOnce) -> tuple[Login, ...]:
    """Raises CommandError."""
    typed = list(must_be_typed(campaign))
    if typed:
        raise BadInput(f"the login of vault {', '.join(map(repr, typed))} is typed in")
    return await anyio.to_thread.run_sync(logins_of, campaign, read)


def _start(tasks: TaskGroup, took: Took, step: _Step, store: Store, run: str) -> None:
    took.trying.add(run)
    tasks.start_soon(_insist, took, step, store, run, name=f"going on with {run}")


async def _insist(took: Took, step: _Step, store: Store, run: str) -> None:
    """Until it is done, or a human must settle what keeps it, or somebody else has the run in hand."""
    desk, pause = step.desk, FIRST_PAUSE_S
    try:
        while True:
            try:
                now = await store.runs.get(run)
                if not desk.closed and not desk.is_open(run) and now is not None and step.is_due(now.standing):
                    await step.take(now)
                return None  # done; or we end, or somebody has seen to it meanwhile
            except ElsewhereError:
                took.seen.pop(run, None)  # it may be let go as it stands
                return None
            except Refused as error:
                return _waits(run, str(error), step.by_hand(run))
            except (Unreachable, Incomplete, BusError, StoreError) as error:
                log.warning("cannot go on yet", run=run, why=str(error), again_in=pause)
            except CommandError as error:
                return _waits(run, str(error), step.by_hand(run))
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
    finally:
        took.trying.discard(run)


def _waits(run: str, why: str, command: str = "") -> None:
    log.warning("run waits", run=run, why=why, goes_on_with=command or f"keymuster run --resume {run}")
