"""Runs that were under way when their holder died or was told to end: which go on by themselves, what keeps others.

A run goes on when its vault logins can be had without asking anybody. Whatever keeps one is told with the command that
goes on with it. A vault, or an appliance, that is not there yet is waited for; what a human must settle is not tried
again: a refused login must not be sent twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup

from appliance.bus import BusError
from orchestrator.campaign_model import Campaign, PasswordReference
from orchestrator.cli.appliance_child import Login
from orchestrator.cli.control import Desk, ElsewhereError
from orchestrator.cli.errors import BadInput, CommandError, Incomplete, Refused, Unreachable
from orchestrator.cli.passwords import logins_of
from orchestrator.cli.running import Given, recalled
from orchestrator.cli.secret_references import read_secret
from orchestrator.lease_keeper import run_lease
from orchestrator.run_state import Act, Hold, RunState, Standing
from orchestrator.store import RunRecord, Store, StoreError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0

log = structlog.get_logger()


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


async def go_on(desk: Desk, store: Store, tasks: TaskGroup, read: ReadOnce, *, brings_logins: bool) -> None:
    """Go on with every run that nobody has stopped. `brings_logins`: runs bring the vault logins (the bus is ours)."""
    elsewhere = desk.engine.keeper.elsewhere
    every = [record for record in await store.runs.all() if elsewhere(run_lease(record.id)) is None]
    for record in every:
        if record.state is RunState.CANCELLING:
            await _end(desk, record)
    records = [record for record in every if _is_ours(record.standing)]
    for record in records:
        try:
            logins = await logins_without_asking(recalled(record).campaign, read) if brings_logins else ()
        except CommandError as error:
            _waits(record, str(error))
            continue
        tasks.start_soon(_insist, desk, store, record, logins, name=f"going on with {record.id}")


async def take_over(desk: Desk, store: Store, tasks: TaskGroup) -> None:
    """Until cancelled: see to runs that nobody holds any more, whoever did; their vaults' logins are the appliances'. A
    run that waits for a human is let be until it has stood otherwise.
    """
    keeper, took = desk.engine.keeper, _Took(seen=await store.runs.standings())
    while not desk.closed:
        await keeper.looked()
        try:
            await keeper.forget_dead()
            await _look_for_orphans(desk, store, tasks, took)
        except StoreError as error:
            log.warning("runs of dead orchestrators could not be looked for", error=str(error))


@dataclass(slots=True)
class _Took:
    seen: dict[str, Standing]
    """How runs stood that nobody holds, when they were seen to; what was free at the start, `go_on` has seen to."""
    trying: set[str] = field(default_factory=set)


async def _look_for_orphans(desk: Desk, store: Store, tasks: TaskGroup, took: _Took) -> None:
    standings = await store.runs.standings()
    for run in [run for run in took.seen if not _is_free(desk, run) or run not in standings]:
        del took.seen[run]
    for run, standing in standings.items():
        if not _is_free(desk, run) or took.seen.get(run) == standing or run in took.trying:
            continue
        record = await store.runs.get(run)
        took.seen[run] = standing
        if record is None:
            continue
        if record.state is RunState.CANCELLING:
            await _end(desk, record)
        elif _is_ours(record.standing):
            log.warning("nobody holds a run; goes on with it", run=run, state=record.standing.text)
            took.trying.add(run)
            tasks.start_soon(_try, took.trying, desk, store, record, name=f"taking over {run}")


async def _try(trying: set[str], desk: Desk, store: Store, record: RunRecord) -> None:
    try:
        await _insist(desk, store, record, (), under_way=record.state is RunState.RUNNING)
    finally:
        trying.discard(record.id)


def _is_free(desk: Desk, run: str) -> bool:
    return not desk.is_open(run) and desk.engine.keeper.elsewhere(run_lease(run)) is None


async def _end(desk: Desk, record: RunRecord) -> None:
    """See a cancelled run to its end: it needs no vault."""
    try:
        for zone in desk.engine.zoning(recalled(record)).all:
            await desk.engine.bus.close_run(record.id, zone)
        standing = await desk.unattended(record.id, Given(Act.CANCEL))
    except ElsewhereError:
        return
    except (CommandError, BusError) as error:
        _waits(record, str(error), f"keymuster cancel {record.id}")
    else:
        log.info("run", run=record.id, state=standing.text)


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


async def _insist(
    desk: Desk, store: Store, record: RunRecord, logins: Sequence[Login], *, under_way: bool = False
) -> None:
    pause = FIRST_PAUSE_S
    while True:
        now = await store.runs.get(record.id)
        if desk.closed or desk.is_open(record.id) or now is None or not _is_ours(now.standing):
            return None  # we end; or somebody has gone on with it meanwhile
        try:
            await desk.resume(record.id, Given(Act.GO_ON), tuple(logins), under_way=under_way)
        except ElsewhereError:
            return None
        except Refused as error:
            return _waits(record, str(error))
        except (Unreachable, Incomplete, StoreError) as error:
            log.warning("cannot go on yet", run=record.id, why=str(error), again_in=pause)
            await anyio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        except CommandError as error:
            return _waits(record, str(error))
        else:
            log.info("goes on", run=record.id, campaign=record.campaign)
            return None


def _waits(record: RunRecord, why: str, command: str = "") -> None:
    log.warning("run waits", run=record.id, why=why, goes_on_with=command or f"keymuster run --resume {record.id}")
