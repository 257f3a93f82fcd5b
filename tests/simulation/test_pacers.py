"""Three orchestrators share accounts, and are killed, frozen and woken up: seeded schedules on a virtual clock.

What must hold, as the store sees it, whoever writes: of no account are more logons risked than its budget; no attempt
has two permits; who has lost a lease writes nothing; and what was risked and never answered counts as a failure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

import anyio
import pytest
from anyio.abc import TaskGroup

from appliance.contract import DEADLINE, OK, Account, PermitVerdict
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.sharding import shard_lease, shard_of
from orchestrator.store.leases import Held
from tests.simulation.sim_bus import SimBroker
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.orchestrator.sites import Site, SiteStore
from tests.unit.orchestrator.test_permits import ACCOUNT, HOSTS, release

SEEDS = 40
LASTS_S, CALM_S = 120.0, 120.0
BUDGET, WINDOW_S = 2, 30.0
ACCOUNTS = (ACCOUNT, HOSTS[1], HOSTS[2])


class Watched(SiteStore):
    """Looks on at every commit."""

    def __init__(self) -> None:
        super().__init__()
        self.out: dict[tuple[Account, str, str], float] = {}
        """What was granted and is not answered: when it expires."""
        self.failures: dict[Account, list[float]] = {}
        self.had: set[tuple[str, str]] = set()
        self.grants = 0

    def wrote(self, entries: Sequence[LedgerEntry], held: Collection[Held]) -> None:
        super().wrote(entries, held)
        for entry in entries:
            lease = shard_lease(shard_of(entry.account.authority))
            assert (lease, self.rows[lease].token) in held, "written by one that had lost its lease"
            self._judge(entry)

    def _judge(self, entry: LedgerEntry) -> None:
        key = (entry.account, entry.run, entry.job)
        if entry.kind is EntryKind.GRANTED:
            assert (entry.run, entry.job) not in self.had, "an attempt has had two permits"
            self.had.add((entry.run, entry.job))
            self.out[key] = entry.expires_at
            self.grants += 1
        else:
            self.out.pop(key, None)
        failures = self.failures.setdefault(entry.account, [])
        if entry.kind is EntryKind.FAILURE:
            failures.append(entry.at)
        if entry.kind is EntryKind.SUCCESS:
            failures[:] = [at for at in failures if at > entry.at]
        if entry.kind is EntryKind.GRANTED:
            recent = sum(at > entry.at - WINDOW_S for at in failures)
            risked = sum(of == entry.account for of, _, _ in self.out) + recent
            assert risked <= BUDGET, f"{risked} logons of {entry.account} are risked"


class World:
    def __init__(self, seed: int, tasks: TaskGroup) -> None:
        self.rng = Random(seed)  # noqa: S311 - a schedule
        self.tasks = tasks
        self.store, self.broker = Watched(), SimBroker(self.rng)
        self.sites: dict[str, Site] = {}
        self.jobs = iter(range(100_000))
        self.calm = False

    async def live(self) -> None:
        for n in range(3):
            await self._begin(n)
        for n in range(3):
            self.tasks.start_soon(self._scan, n)
        while anyio.current_time() < LASTS_S:
            await anyio.sleep(self.rng.uniform(3.0, 25.0))
            await self._strike(self.rng.randrange(3))
        self.calm = True
        for n in range(3):
            site = self.sites[f"s{n}"]
            site.thaw()
            if not site.alive:
                await self._begin(n)
        before = self.store.grants
        await anyio.sleep(CALM_S)
        assert self.store.grants > before, "nobody grants anything any more"

    async def _begin(self, n: int) -> None:
        site = self.sites[f"s{n}"] = Site(f"s{n}", f"r{n}", self.store, self.broker)
        site.plan.window = WINDOW_S
        await site.live(self.tasks)

    async def _strike(self, n: int) -> None:
        site = self.sites[f"s{n}"]
        if not site.alive:
            await self._begin(n)
        elif site.is_frozen:
            site.thaw()
        elif self.rng.random() < 0.5:
            site.die()
        else:
            site.freeze()

    async def _scan(self, n: int) -> None:
        """Logins of one run, whoever holds it at the time; each asks once, as an attempt does."""
        while True:
            await anyio.sleep(self.rng.uniform(0.05, 1.0))
            job, account = f"j{next(self.jobs)}", self.rng.choice(ACCOUNTS)
            self.tasks.start_soon(self._login, n, job, account)

    async def _login(self, n: int, job: str, account: Account) -> None:
        site = self.sites[f"s{n}"]
        if not site.alive:
            return
        verdict = None
        with anyio.move_on_after(5.0):
            verdict = await site.ask(job, account)
        if verdict is not PermitVerdict.GRANTED:
            return
        await anyio.sleep(self.rng.uniform(0.1, 3.0))
        fate = 0.0 if self.calm else self.rng.random()
        if fate > 0.9:
            return  # its appliance dies
        signal = DEADLINE if fate > 0.85 else OK
        word = release(job, signal, account=account).model_copy(update={"run": f"r{n}"})
        for _ in range(3):
            site = self.sites[f"s{n}"]
            with anyio.move_on_after(5.0):
                if site.alive and await site.office.ask([word], "a") is not None:
                    return
            await anyio.sleep(0.2)


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(10, SEEDS, 10))])
def test_accounts_are_safe_whoever_dies_or_freezes(first: int) -> None:
    for seed in range(first, first + 10):
        grants: list[int] = []

        async def whole(seed: int = seed, grants: list[int] = grants) -> None:
            async with anyio.create_task_group() as tasks:
                world = World(seed, tasks)
                await world.live()
                grants.append(world.store.grants)
                tasks.cancel_scope.cancel()

        run_virtually(whole, Random(seed))  # noqa: S311 - a schedule
        assert grants[0] > 20, f"seed {seed}: hardly anything was granted"
