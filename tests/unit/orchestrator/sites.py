"""An orchestrator's permits at work, with a run of its own: one of several on a simulated bus and a shared store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import cast

import anyio
from anyio.abc import TaskGroup

from appliance.contract import OK, Account, PermitRequest, PermitVerdict
from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.pacer_desk import PacerDesk
from orchestrator.pacer_shards import DESK, PacerShards
from orchestrator.pacing import Pacer
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.permits import PermitOffice
from orchestrator.sharding import shard_lease, shard_of
from orchestrator.stops import Stops
from orchestrator.store.leases import Fences, Held, LeaseRow, Leases
from tests.simulation.sim_bus import SimBroker
from tests.simulation.sim_leases import SimLeases
from tests.unit.orchestrator.test_permits import ACCOUNT, Run, release, request


class SiteStore:
    """What the orchestrators share."""

    def __init__(self) -> None:
        self.rows: dict[str, LeaseRow] = {}
        self.ledger: list[LedgerEntry] = []

    def wrote(self, entries: Sequence[LedgerEntry], held: Collection[Held]) -> None:
        """What a commit has written, and under which leases."""
        self.ledger.extend(entries)


class Book:
    """Implements `FencedLedger`, and the history."""

    def __init__(
        self,
        store: SiteStore,
        leases: SimLeases,
        turn: Callable[[], Awaitable[None]],
        alive: Callable[[], bool],
    ) -> None:
        self.store, self.leases, self._turn, self._alive = store, leases, turn, alive

    async def append(self, entries: Sequence[LedgerEntry]) -> None:
        raise AssertionError(f"unfenced: {entries}")

    async def append_fenced(self, entries: Sequence[LedgerEntry], held: Collection[Held]) -> Sequence[Held]:
        await self._turn()
        assert {shard_lease(shard_of(entry.account.authority)) for entry in entries} <= {name for name, _ in held}
        lost = self.leases.lost(held)
        if not lost and self._alive():
            self.store.wrote(entries, held)
        await self._turn()
        return lost

    async def load(self, since: float, shards: Collection[int]) -> list[LedgerEntry]:
        await self._turn()
        return [e for e in self.store.ledger if e.at >= since and shard_of(e.account.authority) in shards]


class Site:
    """An orchestrator's permits, with a run of its own."""

    def __init__(self, name: str, run: str, store: SiteStore, broker: SimBroker) -> None:
        self.name, self.run, self.alive = name, run, True
        self._thawed = anyio.Event()
        self._thawed.set()
        leases = SimLeases(store.rows, self._turn, lambda: self.alive)
        self.bus = broker.orchestrator()
        self.keeper = LeaseKeeper(cast("Leases", leases), Fences(), name)
        self.stops = Stops()
        book = Book(store, leases, self._turn, lambda: self.alive)
        desk = PacerDesk(Pacer(), book, anyio.current_time, self._fence, self.keeper.lose)
        self.shards = PacerShards(self.keeper, desk, book, self.bus, anyio.current_time, 3600.0)
        self.office = PermitOffice(desk, anyio.current_time, self.stops, self.shards, self._lease)
        self.desk = desk
        self.plan = Run()
        self.scope = anyio.CancelScope()

    def _fence(self, account: Account) -> Held | None:
        return self.shards.fence(account)

    def _lease(self, run: str) -> Held | None:
        token = self.keeper.token(run_lease(run))
        return None if token is None else (run_lease(run), token)

    async def _answer(self, verb: str, body: bytes) -> bytes:
        await self._turn()
        return await self.shards.answer(verb, body)

    async def live(self, tasks: TaskGroup) -> None:
        began = anyio.Event()

        async def life() -> None:
            with self.scope:
                async with self.bus.serve_desk(self.name, DESK, self._answer), anyio.create_task_group() as own:
                    await own.start(self.keeper.run)
                    assert await self.keeper.take_run(self.run) is None
                    self.office.enter(self.run, self.plan)
                    own.start_soon(self.office.run)
                    own.start_soon(self.shards.tend)
                    began.set()

        tasks.start_soon(life)
        await began.wait()

    async def _turn(self) -> None:
        """Half of a transaction; one that is frozen comes no further."""
        await anyio.sleep(0.001)
        await self._thawed.wait()

    def freeze(self) -> None:
        """As by SIGSTOP, as far as the store and other orchestrators can tell."""
        self._thawed = anyio.Event()

    def thaw(self) -> None:
        self._thawed.set()

    @property
    def is_frozen(self) -> bool:
        return not self._thawed.is_set()

    def die(self) -> None:
        """As by SIGKILL."""
        self.alive = False
        self.scope.cancel()

    def request(self, job: str, account: Account = ACCOUNT) -> PermitRequest:
        return request(job, account).model_copy(update={"run": self.run})

    async def ask(self, job: str, account: Account = ACCOUNT) -> PermitVerdict | None:
        answers = await self.office.ask([self.request(job, account)], "a")
        if answers is None:
            return None
        assert answers[0] is not None
        return answers[0].verdict

    async def give_back(self, job: str, of: str = "", account: Account = ACCOUNT) -> bool:
        """A login that went well; of a run of somebody else's if `of` says so. False where nobody took it in."""
        word = release(job, OK, account=account).model_copy(update={"run": of or self.run})
        return await self.office.ask([word], "a") is not None
