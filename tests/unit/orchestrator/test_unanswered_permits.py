"""What a restart finds unanswered counts at once; who writes it is who holds its run."""

from __future__ import annotations

from random import Random

import anyio

from appliance.contract import Account
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.orchestrator.test_sharing_service import Runs

HOSTS = {name: Account(authority=f"host:10.0.0.{n}", user="scan") for n, name in enumerate(("ours", "others"))}


def written(ledger: list[LedgerEntry]) -> list[tuple[str, float]]:
    return [(entry.run, entry.at) for entry in ledger if entry.kind is EntryKind.FAILURE]


def test_what_another_process_holds_is_its_own_to_write_until_it_is_ours() -> None:
    async def story() -> None:
        runs = Runs(is_anothers=lambda run: run == "others")
        ledger = runs.memory.ledger
        for run, account in HOSTS.items():
            ledger.append(LedgerEntry(EntryKind.GRANTED, account, run, "1", 1, at=0.0, expires_at=40.0, holder="h"))
        async with anyio.create_task_group() as tasks:
            await tasks.start(runs.service.run)
            assert [runs.service._pacer.exposure(account, since=0.0) for account in HOSTS.values()] == [1, 1]
            assert written(ledger) == [("ours", 40.0)], "as of its expiry, whenever that is found"
            tasks.start_soon(runs.beat, 40)
            tasks.start_soon(runs.execute, "others", 5, 10)
            await anyio.sleep(5.0)
            assert written(ledger) == [("ours", 40.0), ("others", 40.0)]
            tasks.cancel_scope.cancel()

    run_virtually(story, Random(1))  # noqa: S311 - a schedule
