"""The store's interface over `Memory`, for the real coroutines: each call takes a while, and the oracle looks on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from random import Random
from typing import cast

import anyio

from appliance.contract import Evidence, Reread, Target, Technology
from appliance.reasons import Status
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.run_state import Standing
from orchestrator.stops import Stop
from orchestrator.store import Store
from orchestrator.store.records import AttemptRow, CheckOutRow, JobRow, SeenKey, Settled, Undispatched, Unfinished
from tests.simulation.estate import Plan
from tests.simulation.kernel import Violation
from tests.simulation.memory import Memory
from tests.simulation.oracle import Oracle

COMMIT_MAX_S = 0.03


class Disk:
    """How long a commit takes. Where in that time it happens, a crash decides: before it, nothing is written."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    async def turn(self) -> None:
        await anyio.sleep(self._rng.uniform(0.0, COMMIT_MAX_S))


class SimAttempts:
    """The part of `Attempts` that a run at work uses."""

    def __init__(self, memory: Memory, oracle: Oracle, disk: Disk) -> None:
        self._memory, self._oracle, self._disk = memory, oracle, disk

    async def dispatched(
        self,
        run: str,
        rows: Sequence[tuple[JobRow, AttemptRow | None]],
        cursors: Mapping[str, int],
        ended: Sequence[Undispatched] = (),
    ) -> list[bool]:
        await self._disk.turn()
        made = [attempt for _, attempt in rows if attempt is not None]
        for attempt in made:
            self._oracle.dispatched(run, attempt.job, attempt.attempt, attempt.lease, self._memory)
        values = [(a.job, a.attempt, a.lease, a.tried) for a in made]
        ends = [(row.job.job, row.reason, row.status, row.after) for row in ended]
        held = [job.job for job, attempt in rows if attempt is None]
        taken = self._memory.dispatched(run, values, cursors, held, ends)
        await self._disk.turn()
        return taken

    async def settle(self, rows: Sequence[Settled]) -> list[bool]:
        await self._disk.turn()
        self._oracle.settled(rows)
        taken = self._memory.settle(rows)
        if any(row.evidence.reread is Reread.CHANGED for row in rows):
            self._oracle.coverage.hit("rotated")
        await self._disk.turn()
        return taken

    async def unfinished(self, run: str) -> list[Unfinished]:
        """What ending a cancelled run needs of them."""
        await self._disk.turn()
        target, technology = Target(address="10.0.0.1"), Technology.UNIX
        return [
            Unfinished(JobRow(run, job, technology, target, ()), stored.newest, open=True, tried=(), history=())
            for job, stored in self._memory.unfinished(run)
        ]

    async def finished(self, run: str, names: Sequence[str]) -> int:
        raise AssertionError(f"nobody asks for a check-out here: {run} {names}")


class SimRemainders:
    """A plan's units behind its cursors, each as an outcome of its own: that is what the real rows stand for."""

    def __init__(self, plan: Plan, memory: Memory, disk: Disk) -> None:
        self._plan, self._memory, self._disk = plan, memory, disk

    async def close(
        self,
        run: str,
        counts: Mapping[str, tuple[Technology, int]],
        *,
        reason: str,
        status: Status,
        evidence: Evidence,
        finished_at: float,
    ) -> None:
        await self._disk.turn()
        behind = [
            self._plan.at(name, index).job
            for name, (_, count) in counts.items()
            for index in range(self._memory.cursors[run].get(name, 0), count)
        ]
        self._memory.dispatched(run, [], {}, (), [(job, reason, status, 0) for job in behind])
        await self._disk.turn()


class SimRuns:
    """The standing of each run, durable when a call returns. What is dead writes no more."""

    def __init__(self, memory: Memory, disk: Disk, alive: Callable[[], bool]) -> None:
        self._memory, self._disk, self._alive = memory, disk, alive

    async def update(
        self,
        run: str,
        *,
        standing: Standing | None = None,
        finished_at: float | None = None,
    ) -> None:
        await self._disk.turn()
        if standing is not None and self._alive():
            self._memory.stand(run, standing)
        await self._disk.turn()


class SimHostKeys:
    """No host of the simulation shows a key."""

    async def known(self, addresses: Iterable[str]) -> dict[str, list[str]]:
        return {address: [] for address in addresses}

    async def learn(self, keys: Sequence[SeenKey]) -> None:
        if keys:
            raise Violation(f"keys were learnt from nobody: {keys}")


class SimLedger:
    """Durable when a call returns, and then everything written before is so too: it is one file."""

    def __init__(self, memory: Memory, oracle: Oracle, disk: Disk) -> None:
        self._memory, self._oracle, self._disk = memory, oracle, disk

    async def append(self, entries: Sequence[LedgerEntry]) -> None:
        if not entries:
            return
        self._oracle.appending(entries)
        await self._disk.turn()
        self._memory.ledger.extend(entries)
        self._memory.sync()
        self._oracle.durable(entries)
        await self._disk.turn()

    async def load(self, since: float) -> list[LedgerEntry]:
        await self._disk.turn()
        return [entry for entry in self._memory.ledger if entry.at >= since]

    async def prune(self, before: float) -> None:
        await self._disk.turn()
        self._memory.ledger[:] = [entry for entry in self._memory.ledger if entry.at >= before]


class NoCheckOuts:
    """The simulated vault's secrets want none."""

    async def put(self, row: CheckOutRow) -> None:
        raise AssertionError(f"nobody asks for a check-out here: {row}")

    async def drop(self, row: CheckOutRow) -> None:
        raise AssertionError(f"there is none to drop: {row}")

    async def hand_over(self, row: CheckOutRow, dead: Collection[str]) -> CheckOutRow:
        raise AssertionError(f"there is none to hand over: {row}")

    async def of_secret(self, row: CheckOutRow) -> list[CheckOutRow]:
        return []

    async def all(self) -> list[CheckOutRow]:
        return []


class SimStops:
    """Durable when a call returns."""

    def __init__(self, memory: Memory, disk: Disk) -> None:
        self._memory, self._disk = memory, disk

    async def put(self, stop: Stop) -> None:
        await self._disk.turn()
        self._memory.stops.put(stop)
        await self._disk.turn()

    async def drop(self, stop: Stop) -> None:
        await self._disk.turn()
        self._memory.stops.lift(stop)
        await self._disk.turn()

    async def all(self) -> list[Stop]:
        return list(self._memory.stops)


class SimStore:
    def __init__(self, memory: Memory, oracle: Oracle, rng: Random) -> None:
        disk = Disk(rng)
        self.attempts = SimAttempts(memory, oracle, disk)
        self.host_keys = SimHostKeys()
        self.ledger = SimLedger(memory, oracle, disk)
        self.check_outs = self.approvals = NoCheckOuts()
        self.stops = SimStops(memory, disk)

        self.disk = disk

    def as_store(self) -> Store:
        return cast("Store", self)
