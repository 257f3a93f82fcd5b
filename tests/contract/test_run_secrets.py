"""What runs have of one secret, handed over from one that ends to one that goes on, on every database."""

from __future__ import annotations

from dataclasses import replace

import anyio

from orchestrator.store import Store
from orchestrator.store.records import ApprovalRow, CheckOutRow
from tests.contract.conftest import Place

CHECK_OUT = CheckOutRow("https://v.example", "svc", 7, "r1", "Vault", "default", "shared")
APPROVAL = ApprovalRow("https://v.example", "svc", 7, "r1", "Vault", "shared", 1000.5, request=4)


async def leave(store: Store, row: CheckOutRow, told: dict[str, CheckOutRow]) -> None:
    told[row.run] = await store.check_outs.hand_over(row, [])


async def test_of_two_runs_that_leave_a_secret_at_once_one_is_told_that_it_is_the_last(place: Place) -> None:
    first, second = await place.open(), await place.open()
    mine, theirs = CHECK_OUT, replace(CHECK_OUT, run="r2", ours=False)
    for _ in range(5):
        told: dict[str, CheckOutRow] = {}
        await first.check_outs.put(mine)
        await second.check_outs.put(theirs)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leave, first, mine, told)
            tasks.start_soon(leave, second, theirs, told)
        [last] = [run for run, row in told.items() if row.run == run]
        [has_it] = await first.check_outs.all()
        assert has_it.run == last
        assert has_it.ours, "whoever goes first: what is to be given back stays so"
        assert told[last].ours
        await first.check_outs.drop(has_it)
    await first.close()
    await second.close()


async def test_a_dead_run_inherits_nothing_and_another_secrets_neither(place: Place) -> None:
    store = await place.open()
    for row in (CHECK_OUT, replace(CHECK_OUT, run="dead"), replace(CHECK_OUT, run="r3", secret_id=8)):
        await store.check_outs.put(row)
    assert await store.check_outs.of_secret(CHECK_OUT) == [replace(CHECK_OUT, run="dead"), CHECK_OUT]
    assert await store.check_outs.hand_over(CHECK_OUT, ["dead"]) == CHECK_OUT
    assert len(await store.check_outs.all()) == 3, "it stays until it is given back"
    await store.close()


async def test_an_approval_is_inherited_by_who_waits_for_the_same_request(place: Place) -> None:
    store = await place.open()
    other, same = replace(APPROVAL, run="r2", request=5), replace(APPROVAL, run="r3", ours=False)
    for row in (APPROVAL, other):
        await store.approvals.put(row)
    assert await store.approvals.hand_over(APPROVAL, []) == APPROVAL
    await store.approvals.put(same)
    assert await store.approvals.hand_over(APPROVAL, []) == replace(same, ours=True)
    assert await store.approvals.all() == [other, replace(same, ours=True)]
    assert await store.approvals.hand_over(same, []) == replace(same, ours=True), "as it stands, not as it was known"
    await store.close()
