"""The leases of one process at work: counted up while it lives, looked at, taken, and given back.

A member of the task group of whoever runs for long. That a lease is lost is learnt at the next count; what was written
before that was fenced.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

import anyio
from anyio.abc import TaskStatus

from appliance.logs import get_logger
from orchestrator.leases import BEAT_S, COMMAND, LOOK_S, LOST_S, LeaseWatch
from orchestrator.store.errors import StoreError
from orchestrator.store.leases import Fences, Held, LeaseRow, Leases

RUN, ORCHESTRATOR = "run", "orchestrator"
"""What the names of leases begin with; an orchestrator's own tells that it lives."""
LAST_S = 5.0
"""For giving back what is held when the process ends."""

log = get_logger()


def run_lease(run: str) -> str:
    return f"{RUN} {run}"


def orchestrator_lease(owner: str) -> str:
    return f"{ORCHESTRATOR} {owner}"


def command_name() -> str:
    """Of a keeper that lives for one command."""
    return f"{COMMAND}{secrets.token_hex(6)}"


def _is_untaken(row: LeaseRow, open_runs: Collection[str]) -> bool:
    kind, _, what = row.name.partition(" ")
    return kind == ORCHESTRATOR or row.owner.startswith(COMMAND) or (kind == RUN and what not in open_runs)


class LeaseKeeper:
    """`owner`: the name of this process, which no other that lives has. `is_orchestrator`: others on the user's
    bus may ask it things.
    `clock`: monotonic, in seconds.
    """

    def __init__(
        self,
        table: Leases,
        fences: Fences,
        owner: str,
        *,
        is_orchestrator: bool = True,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self.owner = owner
        self._is_orchestrator = is_orchestrator
        self._table = table
        self._fences = fences
        self._clock = clock
        self._watch = LeaseWatch(owner)
        self._held: dict[str, str] = {}
        self._lost: dict[str, Callable[[], None]] = {}
        self._looked = anyio.Event()

    # -- its life ----------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; then all is given back, for others to take at once. Raises StoreError where even the first
        look fails.
        """
        await self._look()
        await self._show()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._every, BEAT_S, self._renew, name="leases: count")
                tasks.start_soon(self._every, LOOK_S, self._look, name="leases: look")
                tasks.start_soon(self._every, LOOK_S, self._end_frozen, name="leases: end the frozen")
                task_status.started()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_S):
                await self._give_back_all()

    async def _every(self, pause: float, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await anyio.sleep(pause)
            try:
                await step()
            except StoreError as error:
                log.warning("leases: the store does not answer as it should", error=str(error))

    async def _renew(self) -> None:
        held = dict(self._held)
        for name in await self._table.renew(held):
            self.lose((name, held[name]))
        await self._show()

    async def _show(self) -> None:
        """That it lives; again, where it was frozen and somebody has forgotten it as dead."""
        if self._is_orchestrator and orchestrator_lease(self.owner) not in self._held:
            await self.take([orchestrator_lease(self.owner)])

    async def _look(self) -> None:
        self._note(await self._table.all())
        self._looked.set()
        self._looked = anyio.Event()

    async def _end_frozen(self) -> None:
        """Beside the looks, which it must not hold up; where the server lets us end nobody they do without."""
        if self._watch.is_one_silent(self._clock()) and (ended := await self._table.end_frozen()):
            log.warning("the store's sessions of a frozen process are ended", sessions=ended)

    def _note(self, rows: Mapping[str, LeaseRow]) -> float:
        now = self._clock()
        self._watch.look(rows, now)
        return now

    async def _give_back_all(self) -> None:
        try:
            await self.give_back(list(self._held))
        except StoreError as error:
            log.warning("leases are not given back: others wait until they have run out", error=str(error))

    # -- taking and giving back --------------------------------------------------------------------------------------

    async def take(self, names: Iterable[str]) -> list[str]:
        """Those that are ours now, as far as they are free. Raises StoreError."""
        wanted = list(dict.fromkeys(names))
        rows = await self._table.all()
        now = self._note(rows)
        free = {
            name: row for name in wanted if name not in self._held and self._watch.is_free(row := rows.get(name), now)
        }
        token = secrets.token_hex(16)
        had = await self._table.take(free, self.owner, token)
        self._held |= dict.fromkeys(had, token)
        if heirs_of := sorted({rows[name].owner for name in had if name in rows} - {self.owner}):
            log.warning("taken over", leases=had, of=heirs_of)
        return [name for name in wanted if name in self._held]

    async def give_back(self, names: Iterable[str]) -> None:
        """Raises StoreError."""
        held = {name: token for name in names if (token := self._held.pop(name, None)) is not None}
        await self._table.give_back(held)

    async def take_run(self, run: str) -> str | None:
        """None where the run is ours: all that is written about it is fenced from now on. Else who has it, and lives;
        one that shows no life is waited for until it is known to be dead. Raises StoreError.
        """
        name = run_lease(run)
        first, end = None, self._clock() + LOST_S + 2 * LOOK_S
        while not await self.take([name]):
            row = self._watch.rows.get(name)
            first = row if first is None else first
            if row is not None and (row != first or self._clock() >= end):
                return row.owner
            await self.looked()
        self._fences.put_up(run, name, self._held[name])
        return None

    async def put_down(self, run: str) -> None:
        """Nothing of ours is at work on the run any more. Never raises: what is not given back runs out."""
        try:
            await self.give_back([run_lease(run)])
        except StoreError as error:
            log.warning("a run is not given back", run=run, error=str(error))
        finally:
            self._fences.take_down(run)

    def lose(self, lease: Held) -> None:
        """A lease is held otherwise, if it was ours: another process's may be known here too."""
        name, token = lease
        if self._held.get(name) == token:
            del self._held[name]
            log.warning("lost to another orchestrator", lease=name)
            if (tell := self._lost.pop(name, None)) is not None:
                tell()

    async def forget_dead(self, open_runs: Collection[str]) -> None:
        """What dead orchestrators and commands have left, and nobody would ever take: `open_runs` are for heirs.
        Raises StoreError.
        """
        now = self._clock()
        left = (row for row in self._watch.rows.values() if row.owner != self.owner and _is_untaken(row, open_runs))
        dead = [row for row in left if self._watch.is_free(row, now)]
        await self._table.forget(dead)
        if dead:
            log.info("forgotten: their holders are dead", leases=sorted(row.name for row in dead))

    def on_loss(self, name: str, tell: Callable[[], None]) -> None:
        """Have it told when a lease that we hold is lost; once."""
        self._lost[name] = tell

    def off_loss(self, name: str) -> None:
        self._lost.pop(name, None)

    @contextmanager
    def under(self, name: str) -> Iterator[anyio.CancelScope]:
        """A scope that is cancelled when the lease is lost."""
        with anyio.CancelScope() as scope:
            self.on_loss(name, scope.cancel)
            if name not in self._held:
                scope.cancel()
            try:
                yield scope
            finally:
                self.off_loss(name)

    # -- questions ---------------------------------------------------------------------------------------------------

    def token(self, name: str) -> str | None:
        return self._held.get(name)

    @property
    def rows(self) -> Mapping[str, LeaseRow]:
        """As of the last look."""
        return self._watch.rows

    def elsewhere(self, name: str) -> str | None:
        """Who else holds it and lives, as far as we know."""
        row = self._watch.rows.get(name)
        if row is None or name in self._held or self._watch.is_free(row, self._clock()):
            return None
        return row.owner

    def orchestrators(self) -> list[str]:
        """All that live, as far as we know; this one too. The dead count until they have been looked at for LOST_S."""
        alive = [row for name, row in self._watch.rows.items() if name == orchestrator_lease(row.owner)]
        return sorted(row.owner for row in alive if row.name in self._held or self.elsewhere(row.name))

    async def looked(self) -> None:
        """Until the next look."""
        await self._looked.wait()
