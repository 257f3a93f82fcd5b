"""One pacer per account among several orchestrators: who decides, who asks whom, and what a successor waits for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from random import Random

import anyio
import pytest

from appliance.contract import OK, PermitVerdict
from orchestrator.lease_keeper import run_lease
from orchestrator.leases import LOST_S
from orchestrator.pacer_shards import IDLE_S, TEND_S
from orchestrator.pacing import LATE_S
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.sharding import shard_lease, shard_of
from orchestrator.stops import Selector, Stop
from orchestrator.store.leases import LeaseRow
from tests.simulation.sim_bus import SimBroker
from tests.simulation.virtual_loop import run as run_virtually
from tests.unit.orchestrator.sites import Site, SiteStore
from tests.unit.orchestrator.test_permits import ACCOUNT, HOSTS, release

VERDICTS = PermitVerdict


def at_work(story: Callable[[Site, Site, SiteStore], Awaitable[None]]) -> None:
    async def whole() -> None:
        store, broker = SiteStore(), SimBroker(Random(1))  # noqa: S311 - a schedule
        one, two = Site("one", "r1", store, broker), Site("two", "r2", store, broker)
        async with anyio.create_task_group() as tasks:
            await one.live(tasks)
            await two.live(tasks)
            await one.keeper.looked()
            await two.keeper.looked()
            await story(one, two, store)
            tasks.cancel_scope.cancel()

    run_virtually(whole, Random(1))  # noqa: S311 - a schedule


def granted(store: SiteStore) -> int:
    return sum(entry.kind is EntryKind.GRANTED for entry in store.ledger)


def test_who_is_asked_first_decides_for_both() -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        assert await one.ask("a") is VERDICTS.GRANTED
        assert await two.ask("b") is VERDICTS.WAIT, "one's canary is out"
        assert await one.give_back("a")
        assert await two.ask("b") is VERDICTS.GRANTED
        assert await one.ask("c") is VERDICTS.GRANTED, "proven for this run, and the budget is two"
        assert await one.ask("d") is VERDICTS.WAIT, "which two's own counts against"
        assert await one.give_back("c")
        assert await two.give_back("b")
        assert [entry.kind for entry in store.ledger].count(EntryKind.SUCCESS) == 3
        assert two.desk.pacer.standing().outstanding == 0
        assert {row.owner for name, row in store.rows.items() if name.startswith("pacer")} == {"one"}

    at_work(story)


def test_a_request_that_must_wait_is_held_by_the_pacer() -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        assert await one.ask("a") is VERDICTS.GRANTED
        await two.keeper.looked()
        told: list[PermitVerdict] = []

        async def hold() -> None:
            answer = await two.office.hold(two.request("b"), "a")
            assert answer is not None
            told.append(answer.verdict)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await anyio.sleep(1.0)
            assert not told
            await one.give_back("a")
        assert told == [VERDICTS.GRANTED]
        assert granted(store) == 2

    at_work(story)


def test_the_smaller_budget_of_two_orchestrators_runs_counts_for_both() -> None:
    """One's run allows a failure more than two's: none is granted that two's directory could not bear."""

    async def story(one: Site, two: Site, store: SiteStore) -> None:
        one.plan.failures, two.plan.failures = 3, 2
        assert await one.ask("a") is VERDICTS.GRANTED
        assert await one.give_back("a")
        assert await two.ask("b") is VERDICTS.GRANTED
        assert await two.give_back("b")
        assert await one.ask("c") is VERDICTS.GRANTED
        assert await two.ask("d") is VERDICTS.GRANTED
        assert await one.ask("e") is VERDICTS.WAIT, "two are out, and two's run allows no more"
        assert await two.give_back("d")
        await two.keeper.put_down("r2")
        await anyio.sleep(3 * TEND_S)
        assert await one.ask("f") is VERDICTS.GRANTED
        assert await one.ask("g") is VERDICTS.GRANTED, "two's run is over"

    at_work(story)


def test_a_verdict_is_taken_in_though_another_pacer_of_its_message_does_not_answer() -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        host = next(host for host in HOSTS if shard_of(host.authority) != shard_of(ACCOUNT.authority))
        assert await one.ask("a") is VERDICTS.GRANTED
        assert await two.ask("b", host) is VERDICTS.GRANTED
        assert await two.give_back("b", account=host)
        await one.keeper.looked()
        two.die()
        word = release("a", OK).model_copy(update={"run": "r1"})
        assert await one.office.ask([word, one.request("c", host), one.request("d")], "a") is None
        assert [entry.kind for entry in store.ledger if entry.run == "r1"] == [EntryKind.GRANTED, EntryKind.SUCCESS]
        assert await one.ask("d") is VERDICTS.GRANTED, "and nothing was granted for nobody to hear"
        assert await one.office.ask([word], "a") is not None, "it may be told again"

    at_work(story)


def test_a_stop_goes_with_the_question() -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        assert await one.ask("a") is VERDICTS.GRANTED
        await two.keeper.looked()
        two.stops.put(Stop(Selector.of_account(str(ACCOUNT)), 0.0, "somebody", ""))
        assert await two.ask("b") is VERDICTS.SKIP
        assert granted(store) == 1

    at_work(story)


@pytest.mark.parametrize("returned", [True, False], ids=["returned", "never returned"])
def test_what_a_dead_pacer_has_let_begin_is_waited_for(returned: bool) -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        assert await one.ask("a") is VERDICTS.GRANTED
        began = anyio.current_time()
        one.die()
        await two.keeper.looked()
        assert await two.ask("b") is None, "nobody answers for the account"
        while await two.ask("b") is None:  # noqa: ASYNC110 - it asks, as an appliance does
            await anyio.sleep(0.5)
        assert LOST_S - 2.0 < anyio.current_time() - began < 15.0
        assert await two.ask("b") is VERDICTS.WAIT
        if returned:
            assert await two.give_back("a", of="r1") is False, "its run is nobody's yet"
            two.office.enter("r1", one.plan)
            assert await two.give_back("a", of="r1")
            assert await two.ask("b") is VERDICTS.GRANTED
            return
        while (verdict := await two.ask("b")) is VERDICTS.WAIT:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.5)
        [grant] = [e for e in store.ledger if e.kind is EntryKind.GRANTED and e.job == "a"]
        assert anyio.current_time() >= grant.expires_at
        assert [e.cause for e in store.ledger if e.kind is EntryKind.FAILURE] == ["APPLIANCE_LOST"]
        assert verdict is VERDICTS.GRANTED, "one failure of two"

    at_work(story)


def test_an_overtaken_pacer_grants_nothing() -> None:
    """It does not know yet: the store does."""

    async def story(one: Site, two: Site, store: SiteStore) -> None:
        assert await one.ask("a") is VERDICTS.GRANTED
        assert await one.give_back("a")
        name = shard_lease(shard_of(ACCOUNT.authority))
        store.rows[name] = LeaseRow(name, "two", "taken", 0)
        assert await one.ask("b") is None
        assert granted(store) == 1
        assert one.shards.fence(ACCOUNT) is None
        await one.keeper.looked()
        assert one.desk.pacer.standing().outstanding == 0

    at_work(story)


def test_the_overtaken_holder_of_a_run_is_granted_nothing() -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        assert await two.ask("x") is VERDICTS.GRANTED
        assert await two.give_back("x")
        await one.keeper.looked()
        store.rows[run_lease("r1")] = LeaseRow(run_lease("r1"), "three", "taken", 0)
        assert await one.ask("a") is None, "its pacer has looked at its lease"
        assert granted(store) == 1
        assert two.desk.pacer.standing().outstanding == 0
        assert await two.ask("y") is VERDICTS.GRANTED, "the account is not blocked by it"

    at_work(story)


def test_who_takes_a_run_over_keeps_it_though_the_one_before_asks_under_his_old_lease() -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        assert await two.ask("x") is VERDICTS.GRANTED
        assert await two.give_back("x")
        await one.keeper.looked()
        seen = store.rows[run_lease("r1")]
        assert await two.keeper._table.take({run_lease("r1"): seen}, "two", "new") == [run_lease("r1")]
        two.keeper._held[run_lease("r1")] = "new"
        two.office.enter("r1", two.plan)
        assert await one.ask("a") is None
        assert two.keeper.token(run_lease("r1")) == "new"
        word = two.request("b").model_copy(update={"run": "r1"})
        answers = await two.office.ask([word], "a")
        assert answers is not None
        assert answers[0] is not None
        assert answers[0].verdict is VERDICTS.GRANTED

    at_work(story)


def test_what_nobody_asks_for_is_given_back_and_remembered() -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        assert await one.ask("a") is VERDICTS.GRANTED
        await anyio.sleep(IDLE_S + 2 * TEND_S)
        kinds = [entry.kind for entry in store.ledger]
        assert kinds == [EntryKind.GRANTED, EntryKind.FAILURE], "a permit that is out keeps its shard"
        await anyio.sleep(2 * TEND_S)
        assert not [name for name in store.rows if name.startswith("pacer")]
        await two.keeper.looked()
        assert await two.ask("b") is VERDICTS.GRANTED
        assert await two.ask("c") is VERDICTS.WAIT
        assert two.desk.pacer.exposure(ACCOUNT, since=0.0) == 2, "the failure before, and the permit that is out"

    at_work(story)


def test_other_pacers_forget_jobs_and_runs_that_are_over() -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        host, job = HOSTS[1], "b"
        assert await one.ask("a", host) is VERDICTS.GRANTED
        assert await one.give_back("a", account=host)
        assert await two.ask(job, host) is VERDICTS.GRANTED
        assert await two.give_back(job, account=host)
        pacer = one.desk.pacer
        assert pacer._granted["r2"] == {job: 1}
        attempt = two.plan.current(job)
        assert attempt is not None
        two.office.job_over("r2", attempt.planned)
        await anyio.sleep(2 * TEND_S)
        assert host not in pacer.accounts()
        await anyio.sleep(LATE_S)
        assert pacer._granted["r2"] == {}
        await two.keeper.put_down("r2")
        await anyio.sleep(3 * TEND_S)
        assert list(pacer.runs()) == ["r1"]

    at_work(story)


def test_a_run_whose_lease_is_not_seen_once_is_remembered() -> None:
    async def story(one: Site, two: Site, store: SiteStore) -> None:
        assert await one.ask("a") is VERDICTS.GRANTED
        assert await one.give_back("a")
        assert await two.ask("b") is VERDICTS.GRANTED
        held = store.rows.pop(run_lease("r2"))
        pacer = one.desk.pacer
        await anyio.sleep(TEND_S + 1.0)
        assert run_lease("r2") not in one.keeper.rows
        store.rows[held.name] = held
        two.keeper._held[held.name] = held.token
        await anyio.sleep(2 * TEND_S)
        assert pacer._granted["r2"] == {"b": 1}

    at_work(story)


def test_a_lease_that_is_lost_while_the_ledger_is_read_leaves_no_shard_behind() -> None:
    """As after a freeze in the middle of it: whoever has the shard now is asked, and it may be taken again."""

    async def story(one: Site, two: Site, store: SiteStore) -> None:
        name = shard_lease(shard_of(ACCOUNT.authority))
        read = one.shards._history.load

        async def loses(since: float, shards: Sequence[int]) -> list[LedgerEntry]:
            had = await read(since, shards)
            if name in store.rows and store.rows[name].owner == "one":
                store.rows[name] = LeaseRow(name, "gone", "another", 1)
                await one.keeper._renew()
            return had

        one.shards._history.load = loses  # type: ignore[method-assign]
        assert await one.ask("a") is None, "no pacer"
        assert one.shards._ours == {}
        one.shards._history.load = read  # type: ignore[method-assign]
        await anyio.sleep(LOST_S + 4.0)
        assert await one.ask("b") is VERDICTS.GRANTED

    at_work(story)
