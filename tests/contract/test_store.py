"""What every database under the store must do: SQLite in a file, and a PostgreSQL server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import anyio
import pytest
from sqlalchemy.exc import IntegrityError

from appliance.contract import (
    DEADLINE,
    OK,
    Account,
    Candidate,
    CredentialRef,
    Evidence,
    Job,
    Phase,
    SecretLookup,
    Selection,
    Target,
    Technology,
    named,
)
from appliance.reasons import REASONS, Status
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.run_state import Hold, Standing
from orchestrator.stops import Selector, Stop
from orchestrator.store import (
    AttemptRow,
    Count,
    JobRow,
    RecordUse,
    RunRecord,
    RunState,
    Settled,
    Store,
    Undispatched,
)
from orchestrator.store.records import ApprovalRow, CheckOutRow, LogonSums, RunLogons, TimedAttempt
from tests.contract.conftest import Place

RUN = "r1"


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    store = await place.open()
    await store.runs.add(run_record())
    yield store
    await store.close()


def run_record(run: str = RUN, created_at: float = 1000.0) -> RunRecord:
    vaults = [{"title": "Vault", "type": "Thycotic Secret Server"}]
    return RunRecord(run, "quarterly", created_at, RunState.QUEUED, 2**62, {"campaign": {"vaults": vaults}})


def candidate(record: str = "unix", secret: str = "root-10.0.0.1") -> Candidate:
    return Candidate(
        record=record,
        user="scan",
        account=Account(authority="dir:corp", user="scan"),
        secret=CredentialRef(vault="Vault", by=SecretLookup.NAME, key=secret),
        selection=Selection.IP,
        port=22,
    )


def job(name: str, attempt: int = 1, address: str = "10.0.0.1", run: str = RUN, **changes: object) -> Job:
    values: dict[str, object] = {
        "run": run,
        "job": name,
        "attempt": attempt,
        "lease": f"{name}-{attempt}",
        "zone": "default",
        "technology": Technology.UNIX,
        "target": Target(address=address, host="h", fqdn="h.corp.example", domain="corp"),
        "candidates": (candidate(),),
        "deadline": 30.0,
        "give_up_at": 2000.0,
        "purpose": "test",
    }
    return Job.model_validate(values | changes)


async def dispatch(store: Store, *dispatched: Job, cursors: dict[str, int] | None = None) -> None:
    rows = [(JobRow.of(j), AttemptRow.of(j, 1001.0)) for j in dispatched]
    await store.attempts.dispatched(RUN, rows, cursors or {})


def settled(
    job: Job, reason: str = "PASSED", *, final: bool = True, lease: str | None = None, **evidence: object
) -> Settled:
    values = {"phase": Phase.LOGOFF, "signal": OK} | evidence
    return Settled(
        run=job.run,
        job=job.job,
        technology=job.technology,
        attempt=job.attempt,
        lease=job.lease if lease is None else lease,
        appliance="a1",
        reason=reason,
        status=REASONS[reason].status,
        evidence=Evidence.model_validate(values),
        finished_at=1002.0,
        final=final,
    )


def undispatched(job: Job, reason: str = "NO_RECORD") -> Undispatched:
    evidence = Evidence(phase=Phase.PLAN, signal=named(reason))
    return Undispatched(JobRow.of(job), reason, REASONS[reason].status, evidence, 1003.0)


# -- runs --------------------------------------------------------------------------------------------------------------


async def test_a_run_is_read_back_as_it_was_written(store: Store) -> None:
    run = replace(run_record("r2", 2000.0), planned=2**33, parent=RUN, finished_at=2001.5, cursors={"unix/default": 7})
    await store.runs.add(run)
    assert await store.runs.get("r2") == run
    assert await store.runs.latest() == run
    assert [r.id for r in await store.runs.all()] == [RUN, "r2"]
    assert await store.runs.get("r3") is None


async def test_an_update_changes_what_it_names_only(store: Store) -> None:
    await store.runs.update(RUN, state=RunState.RUNNING, planned=9, cursors={"unix": 3, "windows": 4})
    await store.runs.update(RUN, state=RunState.FINISHED, finished_at=1010.0, cursors={"unix": 5})
    expected = replace(
        run_record(), state=RunState.FINISHED, planned=9, finished_at=1010.0, cursors={"unix": 5, "windows": 4}
    )
    assert await store.runs.get(RUN) == expected


async def test_what_holds_a_run_and_its_priority_are_remembered(store: Store) -> None:
    by_hand = Standing(RunState.PAUSED, Hold.HAND, "alice", "ticket 4711", 7.5)
    await store.runs.update(RUN, standing=by_hand, priority=30, finished_at=8.0)
    paused = await store.runs.get(RUN)
    assert paused is not None
    assert (paused.standing, paused.priority, paused.finished_at) == (by_hand, 30, 8.0)
    await store.runs.update(RUN, standing=Standing(RunState.RUNNING))
    running = await store.runs.get(RUN)
    assert running is not None
    assert (running.standing, running.priority) == (Standing(RunState.RUNNING), 30)
    assert running.finished_at is None, "it is no longer at rest"
    await store.runs.add(replace(run_record("r2"), state=RunState.PAUSED, held=by_hand.data()))
    assert [run.standing for run in await store.runs.all() if run.id == "r2"] == [by_hand]


@pytest.mark.parametrize(
    ("written", "read"),
    [("planned", RunState.QUEUED), ("stopped", RunState.PAUSED), ("failed", RunState.ERROR)],
)
async def test_what_an_older_release_at_work_on_the_store_writes_is_read(
    store: Store, written: str, read: RunState
) -> None:
    await store.runs.update(RUN, state=cast("RunState", written))
    found = await store.runs.get(RUN)
    assert found is not None
    assert (found.state, found.standing) == (read, Standing(read))


async def test_what_a_cursor_has_left_is_ended_together_and_once(store: Store) -> None:
    await store.runs.update(RUN, planned=1000, cursors={"unix": 300})
    counts = {"unix": (Technology.UNIX, 700), "windows": (Technology.WINDOWS, 300)}
    evidence = Evidence(phase=Phase.DISPATCH, signal=named("CANCELLED"), text="by alice")
    for at in (5.0, 6.0):
        await store.remainders.close(
            RUN, counts, reason="CANCELLED", status=Status.NOT_ATTEMPTED, evidence=evidence, finished_at=at
        )
    found = await store.remainders.of(RUN)
    assert [(r.cursor, r.first, r.behind, r.technology, r.finished_at) for r in found] == [
        ("unix", 300, 700, Technology.UNIX, 5.0),
        ("windows", 0, 300, Technology.WINDOWS, 5.0),
    ]
    assert [r.evidence for r in found] == [evidence] * 2
    totals = await store.attempts.totals(RUN)
    assert {(c.technology, c.reason): c.number for c in totals.counts} == {
        (Technology.UNIX, "CANCELLED"): 400,
        (Technology.WINDOWS, "CANCELLED"): 300,
    }
    assert await store.remainders.of("another") == []


async def test_cursors_can_be_updated_alone(store: Store) -> None:
    await store.runs.update(RUN, cursors={"unix": 3})
    assert await store.runs.get(RUN) == replace(run_record(), cursors={"unix": 3})


async def test_an_unknown_run_is_a_bug(store: Store) -> None:
    with pytest.raises(LookupError):
        await store.runs.update("r9", state=RunState.ERROR)
    with pytest.raises(LookupError):
        await store.runs.update("r9", cursors={"unix": 1})
    with pytest.raises(LookupError):
        await store.attempts.totals("r9")


async def test_a_run_is_added_once(store: Store) -> None:
    with pytest.raises(IntegrityError):
        await store.runs.add(replace(run_record(), cursors={"unix": 1}))
    assert await store.runs.get(RUN) == run_record(), "the refused transaction left nothing behind"


# -- dispatch ----------------------------------------------------------------------------------------------------------


async def test_dispatch_writes_jobs_attempts_and_cursors_and_can_be_repeated(store: Store) -> None:
    first, second = job("j1"), job("j2", address="10.0.0.2", technology="windows")
    for _ in range(2):
        await dispatch(store, first, second, cursors={"unix": 2})
    attempts = await store.attempts.open(RUN)
    assert [(a.job, a.attempt, a.lease, a.dispatched_at) for a in attempts] == [
        ("j1", 1, "j1-1", 1001.0),
        ("j2", 1, "j2-1", 1001.0),
    ]
    assert attempts[1].technology is Technology.WINDOWS
    assert attempts[1].target == second.target
    run = await store.runs.get(RUN)
    assert run is not None
    assert run.cursors == {"unix": 2}


async def test_a_cursor_never_goes_back(store: Store) -> None:
    await dispatch(store, cursors={"unix": 5})
    await dispatch(store, cursors={"unix": 4, "windows": 1})
    run = await store.runs.get(RUN)
    assert run is not None
    assert run.cursors == {"unix": 5, "windows": 1}


async def test_runs_do_not_see_each_other(store: Store) -> None:
    await store.runs.add(run_record("r2"))
    mine, other = job("j1"), job("j1", run="r2")
    await dispatch(store, mine, other)
    assert await store.attempts.settle([settled(mine)]) == [True]
    assert [a.job for a in await store.attempts.open("r2")] == ["j1"]
    assert (await store.attempts.totals("r2")).finished == 0
    assert await store.attempts.settle([settled(other, "NOT_SSH"), settled(mine)]) == [True, False]
    assert [o.reason async for o in store.attempts.outcomes("r2")] == ["NOT_SSH"]


# -- fencing -----------------------------------------------------------------------------------------------------------


async def test_the_first_report_counts_and_a_repeat_changes_nothing(store: Store) -> None:
    one = job("j1")
    await dispatch(store, one)
    assert await store.attempts.settle([settled(one)]) == [True]
    assert await store.attempts.settle([settled(one, "BAD_CREDENTIALS")]) == [False]
    assert [o.reason async for o in store.attempts.outcomes(RUN)] == ["PASSED"]
    assert await store.attempts.open(RUN) == []


async def test_a_repeat_within_one_batch_is_a_repeat(store: Store) -> None:
    one = job("j1")
    await dispatch(store, one)
    assert await store.attempts.settle([settled(one), settled(one, "NOT_SSH")]) == [True, False]
    assert [o.reason async for o in store.attempts.outcomes(RUN)] == ["PASSED"]


async def test_strangers_are_not_heard(store: Store) -> None:
    one = job("j1")
    await dispatch(store, one)
    strangers = [settled(one, lease="another"), settled(job("j9")), settled(job("j1", attempt=2))]
    assert await store.attempts.settle(strangers) == [False, False, False]
    assert len(await store.attempts.open(RUN)) == 1
    assert await store.attempts.settle([]) == []


async def test_an_overtaken_attempt_ends_without_deciding(store: Store) -> None:
    old, new = job("j1"), job("j1", attempt=2)
    await dispatch(store, old)
    await dispatch(store, new)
    assert await store.attempts.settle([settled(old, "BAD_CREDENTIALS")]) == [False]
    assert [a.attempt for a in await store.attempts.open(RUN)] == [2]
    assert await store.attempts.settle([settled(new)]) == [True]
    assert [(o.reason, o.attempts) async for o in store.attempts.outcomes(RUN)] == [("PASSED", 2)]


async def test_an_attempt_that_will_be_followed_makes_no_outcome(store: Store) -> None:
    one, two = job("j1"), job("j1", attempt=2, tried=["windows"])
    await dispatch(store, one)
    assert await store.attempts.settle([settled(one, "TCP_TIMEOUT", final=False, record="unix", submitted=True)]) == [
        True
    ]
    [waiting] = await store.attempts.unfinished(RUN)
    assert (waiting.job, waiting.attempt, waiting.open, waiting.tried) == (JobRow.of(one), 1, False, ())
    [past] = waiting.history
    assert (past.attempt, past.reason, past.record, past.submitted) == (1, "TCP_TIMEOUT", "unix", True)
    assert (await store.attempts.totals(RUN)).finished == 0

    await dispatch(store, two)
    [waiting] = await store.attempts.unfinished(RUN)
    assert (waiting.attempt, waiting.open, waiting.tried, len(waiting.history)) == (2, True, ("windows",), 1)
    assert await store.attempts.settle([settled(one, "TCP_TIMEOUT", final=False), settled(two)]) == [False, True]
    assert await store.attempts.unfinished(RUN) == []
    [outcome] = [o async for o in store.attempts.outcomes(RUN)]
    assert (outcome.attempts, outcome.earlier) == (2, (past,))


async def test_an_attempt_that_nobody_has_reported_is_none_of_the_earlier_ones(store: Store) -> None:
    lost, last = job("j1"), job("j1", attempt=2)
    await dispatch(store, lost)
    await dispatch(store, last)
    await store.attempts.settle([settled(last)])
    [outcome] = [o async for o in store.attempts.outcomes(RUN)]
    assert (outcome.attempts, outcome.earlier) == (2, ())


async def test_a_held_job_is_unfinished_before_its_first_attempt(store: Store) -> None:
    held = job("j1")
    await store.attempts.dispatched(RUN, [(JobRow.of(held), None), (JobRow.of(job("j2")), None)], {"unix": 2})
    await dispatch(store, job("j2"))
    await store.attempts.settle([settled(job("j2"))])
    [waiting] = await store.attempts.unfinished(RUN)
    assert (waiting.job, waiting.attempt, waiting.open, waiting.history) == (JobRow.of(held), 0, False, ())

    await dispatch(store, held)
    [waiting] = await store.attempts.unfinished(RUN)
    assert (waiting.attempt, waiting.open) == (1, True)
    assert await store.attempts.settle([settled(held)]) == [True]
    assert await store.attempts.unfinished(RUN) == []


async def test_outcomes_without_an_attempt(store: Store) -> None:
    never, waiting, running, done = job("j1"), job("j2"), job("j3"), job("j4")
    await dispatch(store, waiting, running, done)
    await store.attempts.settle([settled(waiting, "TCP_TIMEOUT", final=False), settled(done)])
    rows = [undispatched(j, "WINDOW_CLOSED") for j in (never, waiting, running, done, never)]
    assert await store.attempts.dispatched(RUN, [], {}, rows) == [True, True, False, False, False]
    assert await store.attempts.dispatched(RUN, [], {}, rows) == [False] * 5
    assert await store.attempts.dispatched(RUN, [], {}, []) == []
    found = {o.job: (o.reason, o.attempts, o.evidence.phase) async for o in store.attempts.outcomes(RUN)}
    assert found == {
        "j1": ("WINDOW_CLOSED", 0, Phase.PLAN),
        "j2": ("WINDOW_CLOSED", 1, Phase.PLAN),
        "j4": ("PASSED", 1, Phase.LOGOFF),
    }
    assert [u.job.job for u in await store.attempts.unfinished(RUN)] == ["j3"]


# -- outcomes ----------------------------------------------------------------------------------------------------------


async def test_an_attempt_that_is_known_to_be_over_keeps_no_job_from_ending(store: Store) -> None:
    """Its orchestrator was killed, and its report never came; when it comes all the same, it decides nothing."""
    first, second = job("j1"), job("j2", attempt=2)
    await dispatch(store, first, job("j2"), second)
    rows = [replace(undispatched(j, "STOPPED"), after=1) for j in (first, second)]
    assert await store.attempts.dispatched(RUN, [], {}, rows) == [True, False], "a newer attempt is open"
    assert await store.attempts.settle([settled(first)]) == [False]
    found = {o.job: (o.reason, o.attempts) async for o in store.attempts.outcomes(RUN)}
    assert found == {"j1": ("STOPPED", 1)}


async def test_an_outcome_carries_what_a_report_says(store: Store) -> None:
    one = job("j1", candidates=[candidate(), candidate("second", "other")])
    await dispatch(store, one)
    report = settled(one, "SECRET_NOT_FOUND", phase=Phase.VAULT, signal=named("SECRET_NOT_FOUND"), record="second")
    await store.attempts.settle([report])
    [row] = [o async for o in store.attempts.outcomes(RUN)]
    assert (row.run, row.job, row.technology, row.target) == (RUN, "j1", Technology.UNIX, one.target)
    assert (row.status, row.reason, row.evidence) == (Status.FAILED, "SECRET_NOT_FOUND", report.evidence)
    assert (row.record, row.user, row.secret, row.port, row.account) == ("second", "scan", "other", 22, "scan@dir:corp")
    assert (row.vault, row.vault_type) == ("Vault", "Thycotic Secret Server")
    assert (row.appliance, row.attempts, row.finished_at) == ("a1", 1, 1002.0)


async def test_the_only_candidate_is_named_even_before_it_was_chosen(store: Store) -> None:
    one, two, none = job("j1"), job("j2", candidates=[candidate(), candidate("second")]), job("j3", candidates=[])
    await dispatch(store, one, two, none)
    await store.attempts.settle([settled(j, "PORT_CLOSED") for j in (one, two, none)])
    assert [(o.job, o.record, o.secret) async for o in store.attempts.outcomes(RUN)] == [
        ("j1", "unix", "root-10.0.0.1"),
        ("j2", "", ""),
        ("j3", "", ""),
    ]


async def test_outcomes_come_in_the_order_of_addresses_across_pages(store: Store) -> None:
    many = [f"10.0.{i // 200}.{i % 200 + 11}" for i in range(1100)]
    addresses = ["b.example", "A.example", "2001:db8::1", "::1", "10.0.0.10", "9.0.0.0", *many]
    dispatched = [job(f"j{i}", address=address) for i, address in enumerate(addresses)]
    await dispatch(store, *dispatched)
    assert all(await store.attempts.settle([settled(j) for j in dispatched]))
    found = [o.target.address async for o in store.attempts.outcomes(RUN)]
    assert found == ["9.0.0.0", "10.0.0.10", *many, "::1", "2001:db8::1", "A.example", "b.example"]
    assert [o async for o in store.attempts.outcomes("r9")] == []


async def test_totals_count_by_technology_status_and_reason(store: Store) -> None:
    await store.runs.update(RUN, planned=5)
    unix, windows, late = job("j1"), job("j2", technology="windows"), job("j3")
    await dispatch(store, unix, windows, late)
    await store.attempts.settle([settled(unix, "PRIV_NO_SUDO"), settled(windows, "BAD_CREDENTIALS")])
    await store.attempts.dispatched(RUN, [], {}, [undispatched(job("j4"))])
    totals = await store.attempts.totals(RUN)
    assert set(totals.counts) == {
        Count(Technology.UNIX, Status.PASSED_LIMITED, "PRIV_NO_SUDO", 1),
        Count(Technology.WINDOWS, Status.FAILED, "BAD_CREDENTIALS", 1),
        Count(Technology.UNIX, Status.NOT_ATTEMPTED, "NO_RECORD", 1),
    }
    assert (totals.planned, totals.finished, totals.open, totals.of(Status.FAILED)) == (5, 3, 2, 1)


# -- ledger ------------------------------------------------------------------------------------------------------------


def entry(kind: EntryKind, at: float) -> LedgerEntry:
    return LedgerEntry(kind, Account(authority="dir:corp", user="scan"), RUN, "j1", 1, at, at + 40, "BAD_CREDENTIALS")


async def test_check_outs_are_kept_until_they_are_dropped(store: Store) -> None:
    row = CheckOutRow("https://v.example", "svc", 7, RUN, "Vault", "default", "shared")
    other = replace(row, run="r2")
    for one in (row, row, other, replace(row, ours=False)):
        await store.check_outs.put(one)
    assert await store.check_outs.all() == [replace(row, ours=False), other]
    await store.check_outs.drop(row)
    await store.check_outs.drop(row)
    assert await store.check_outs.all() == [other]


async def test_access_requests_are_kept_until_they_are_dropped(store: Store) -> None:
    row = ApprovalRow("https://v.example", "svc", 7, RUN, "Vault", "shared", 1000.5, after=3)
    other = replace(row, run="r2", ours=False)
    for one in (row, row, other, replace(row, request=4)):
        await store.approvals.put(one)
    assert await store.approvals.all() == [replace(row, request=4), other]
    await store.approvals.drop(row)
    await store.approvals.drop(row)
    assert await store.approvals.all() == [other]


async def test_stops_are_kept_until_they_are_dropped(store: Store) -> None:
    first = Stop(Selector.of_secret("shared", "Vault"), 1.5, "alice", "leaked")
    other = Stop(Selector.of_account("svc@corp"), 0.5, "bob")
    for one in (first, other, replace(first, since=9.0, why="again")):
        await store.stops.put(one)
    assert await store.stops.all() == [other, first], "the first one stays"
    await store.stops.drop(first)
    await store.stops.drop(first)
    assert await store.stops.all() == [other]


async def test_how_many_of_some_jobs_have_their_outcome(store: Store) -> None:
    jobs = [job(f"j{number}", address=f"10.0.{number // 250}.{number % 250}") for number in range(1200)]
    await dispatch(store, *jobs)
    await store.attempts.settle([settled(one) for one in jobs[:1100]])
    names = [one.job for one in jobs]
    assert await store.attempts.finished(RUN, names) == 1100
    assert await store.attempts.finished(RUN, names[1090:]) == 10
    assert await store.attempts.finished(RUN, []) == 0
    assert await store.attempts.finished("r2", names) == 0


async def test_the_ledger_keeps_its_order(store: Store) -> None:
    entries = [entry(kind, 1000.0) for kind in EntryKind]
    await store.ledger.append(entries[:2])
    await store.ledger.append([])
    await store.ledger.append(entries[2:])
    assert await store.ledger.load(0.0) == entries


async def test_the_ledger_is_loaded_from_and_pruned_to_a_time(store: Store) -> None:
    entries = [replace(entry(EntryKind.GRANTED, at), run="a load test") for at in (1.0, 2.0, 3.0)]
    await store.ledger.append(entries)
    assert await store.ledger.load(2.0) == entries[1:]
    await store.ledger.prune(3.0)
    assert await store.ledger.load(0.0) == entries[2:]


# -- host keys ---------------------------------------------------------------------------------------------------------


async def test_the_first_key_of_an_algorithm_is_the_known_one(store: Store) -> None:
    await store.host_keys.learn([("10.0.0.1", 22, "ssh-ed25519 AAA", RUN), ("10.0.0.1", 22, "ssh-rsa BBB", RUN)])
    await store.host_keys.learn([("10.0.0.1", 22, "ssh-ed25519 EVIL", RUN), ("10.0.0.2", 22, "ssh-rsa CCC", RUN)])
    await store.host_keys.learn([])
    known = await store.host_keys.known(f"10.0.{i // 200}.{i % 200}" for i in range(2500))
    assert known == {"10.0.0.1": ["ssh-ed25519 AAA", "ssh-rsa BBB"], "10.0.0.2": ["ssh-rsa CCC"]}
    await store.host_keys.pin([("10.0.0.1", 22, "ssh-ed25519 VOUCHED", RUN), ("10.0.0.3", 22, "ssh-rsa DDD", RUN)])
    await store.host_keys.pin([])
    known = await store.host_keys.known(["10.0.0.1", "10.0.0.3"])
    assert known == {"10.0.0.1": ["ssh-ed25519 VOUCHED", "ssh-rsa BBB"], "10.0.0.3": ["ssh-rsa DDD"]}
    assert await store.host_keys.forget("10.0.0.1") == 2
    assert await store.host_keys.known(["10.0.0.1"]) == {}


async def test_the_ledger_counts_what_a_run_has_asked_of_each_account(store: Store) -> None:
    kinds = [EntryKind.GRANTED, EntryKind.GRANTED, EntryKind.SUCCESS, EntryKind.FAILURE, EntryKind.BREAKER]
    await store.ledger.append([entry(kind, float(at)) for at, kind in enumerate(kinds)])
    [count] = await store.ledger.logons(RUN)
    assert (count.granted, count.succeeded, count.failed) == (2, 1, 1)
    assert count.account == str(entry(EntryKind.GRANTED, 1.0).account)
    assert await store.ledger.logons("another run") == []


async def test_what_a_run_asked_of_accounts_is_added_up_and_listed_by_failures(store: Store) -> None:
    def asked(name: str, *kinds: EntryKind) -> list[LedgerEntry]:
        account = Account(authority=name, user="scan")
        return [replace(entry(kind, 1.0), account=account) for kind in kinds]

    granted, failed, succeeded = EntryKind.GRANTED, EntryKind.FAILURE, EntryKind.SUCCESS
    told = asked("dir:corp", granted, granted, failed, failed) + asked("dir:lab", granted, succeeded)
    told += asked("host:10.0.0.1", granted, succeeded) + asked("host:10.0.0.2", granted, failed)
    told += asked("host:10.0.0.3", granted, succeeded)
    await store.ledger.append(told)
    found = await store.ledger.logons_together(RUN, 1)
    assert found.directories == LogonSums(2, granted=3, succeeded=1, failed=2, most_failed=2)
    assert found.hosts == LogonSums(3, granted=3, succeeded=2, failed=1, most_failed=1)
    assert [one.account for one in found.listed] == ["scan@dir:corp", "scan@host:10.0.0.2"]
    assert await store.ledger.logons_together("another run", 9) == RunLogons()


async def test_permits_of_a_run_are_kept_with_it(store: Store) -> None:
    permit = entry(EntryKind.GRANTED, 1.0)
    await store.ledger.append([permit, replace(permit, run="a load test")])
    await store.ledger.prune(before=1e12)
    assert {one.run for one in await store.ledger.load(since=0.0)} == {RUN}


async def test_the_ledger_knows_whose_permits_are_no_runs(store: Store) -> None:
    """Those of load tests, which leave no run."""
    early, late = (replace(entry(EntryKind.GRANTED, at), run=f"load-{at:g}") for at in (5.0, 9.0))
    refused = replace(entry(EntryKind.FAILURE, 6.0), run="load-never-granted")
    await store.ledger.append([late, early, refused, entry(EntryKind.GRANTED, 7.0)])
    assert await store.ledger.beside_runs(0.0, None) == ["load-5", "load-9"]
    assert await store.ledger.beside_runs(6.0, None) == ["load-9"]
    assert await store.ledger.beside_runs(0.0, 8.0) == ["load-5"]
    assert await store.ledger.beside_runs(9.5, None) == []


async def test_the_ledger_counts_what_runs_have_asked_at_each_target(store: Store) -> None:
    first, second = job("j1", address="10.0.0.1"), job("j2", address="10.0.0.2", technology="windows")
    await dispatch(store, first, second)
    kinds = {"j1": list(EntryKind), "j2": [EntryKind.GRANTED, EntryKind.GRANTED, EntryKind.NEUTRAL]}
    entries = [replace(entry(kind, 1.0), job=name) for name, some in kinds.items() for kind in some]
    elsewhere = replace(entry(EntryKind.GRANTED, 1.0), run="r9")
    on_the_way, root = (replace(entry(EntryKind.GRANTED, 1.0), job=f"j2/{part}") for part in ("jump again", "root"))
    await store.ledger.append([*entries, elsewhere, on_the_way, root])
    assert await store.ledger.load(0.0) == [*entries, elsewhere, on_the_way, root]
    counts = {count.address: count for count in await store.ledger.by_target([RUN, "another run"])}
    assert counts.keys() == {"10.0.0.1", "10.0.0.2"}
    one, two = counts["10.0.0.1"], counts["10.0.0.2"]
    assert (one.run, one.technology, str(one.account)) == (RUN, Technology.UNIX, "scan@dir:corp")
    assert (one.granted, one.succeeded, one.failed, one.neutral, one.unanswered) == (1, 1, 1, 1, 0)
    assert (two.technology, two.granted, two.neutral, two.unanswered) == (Technology.WINDOWS, 3, 1, 2)
    assert await store.ledger.by_target([]) == []


# -- all together ------------------------------------------------------------------------------------------------------


async def test_what_was_written_is_there_after_opening_again(place: Place) -> None:
    store = await place.open()
    await store.runs.add(run_record())
    await dispatch(store, job("j1"), cursors={"unix": 1})
    await store.ledger.append([entry(EntryKind.GRANTED, 1.0)])
    await store.close()
    store = await place.open()
    assert [a.job for a in await store.attempts.open(RUN)] == ["j1"]
    assert await store.runs.latest() == replace(run_record(), cursors={"unix": 1})
    assert len(await store.ledger.load(0.0)) == 1
    await store.close()


async def test_writers_and_readers_of_one_process_do_not_block_each_other_out(store: Store) -> None:
    """Forty tasks on both connections: with a deadlock, or writers that time out, one of them raises."""

    async def work(number: int) -> None:
        mine = [job(f"j{number}-{i}") for i in range(5)]
        await dispatch(store, *mine)
        await store.ledger.append([entry(EntryKind.GRANTED, 1.0)])
        assert all(await store.attempts.settle([settled(j) for j in mine]))
        assert (await store.attempts.totals(RUN)).finished >= 5

    async with anyio.create_task_group() as group:
        for number in range(40):
            group.start_soon(work, number)
    assert (await store.attempts.totals(RUN)).finished == 200
    assert len(await store.ledger.load(0.0)) == 40


async def test_a_cancelled_caller_leaves_no_half_written_batch(store: Store) -> None:
    """A transaction that has begun is finished, and the store works on."""
    batch = [job(f"j{i}") for i in range(500)]
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(dispatch, store, *batch)
            await anyio.lowlevel.checkpoint()
            scope.cancel()
    assert len(await store.attempts.open(RUN)) in {0, 500}
    await dispatch(store, *batch)
    assert len(await store.attempts.open(RUN)) == 500


def test_a_record_use_holds_names_only() -> None:
    assert RecordUse.of(candidate()) == RecordUse("unix", "scan", "Vault", "root-10.0.0.1", 22, "scan@dir:corp", [])


async def test_times_of_ended_attempts(store: Store) -> None:
    ended, again, open_ = job("a"), job("a", 2), job("b")
    other = RunRecord("r2", "quarterly", 1.0, RunState.FINISHED, 1, {})
    await store.runs.add(other)
    await dispatch(store, ended, again, open_, job("c"))
    seen: dict[str, Any] = {
        "started_at": 1001.5,
        "record": "unix",
        "submitted": True,
        "phases": [{"phase": "auth", "ms": 250.0}],
        "views": [{"vault": "Vault", "secret_id": 7, "asked": 1001.6, "answered": 1001.7}],
    }
    silent: dict[str, Any] = {"phase": Phase.NEGOTIATE, "signal": DEADLINE}
    await store.attempts.settle([settled(ended, "BANNER_TIMEOUT", final=False, **silent), settled(again, **seen)])
    await store.attempts.settle([settled(job("c"))])
    first, second, *more = await store.timings.attempts(RUN, 5)
    assert (first.job, first.reason, first.cut_off, first.submitted, first.account) == (
        *("a", "BANNER_TIMEOUT", True, False),
        "scan@dir:corp",
    )
    assert second == TimedAttempt(
        job="a",
        technology=Technology.UNIX,
        account="scan@dir:corp",
        reason="PASSED",
        dispatched=1001.0,
        began=1001.5,
        ended=1002.0,
        phases={Phase.AUTH: 0.25},
        views=((1001.6, 1001.7),),
        submitted=True,
        cut_off=False,
    )
    assert [one.job for one in more] == ["c"]
    assert [one.job for one in await store.timings.attempts(RUN, 1)] == ["a", "a"]
    assert await store.timings.attempts("r2", 5) == []


async def test_times_from_a_permit_to_its_success(store: Store) -> None:
    shared, own = Account(authority="dir:corp", user="scan"), Account(authority="host:10.0.0.1", user="scan")
    lines = [
        *((EntryKind.GRANTED, shared, "canary", 0.0), (EntryKind.SUCCESS, shared, "canary", 1.0)),
        *((EntryKind.GRANTED, shared, "a", 1.0), (EntryKind.SUCCESS, shared, "a", 1.2)),
        *((EntryKind.GRANTED, shared, "b", 2.0), (EntryKind.SUCCESS, shared, "b", 2.4)),
        *((EntryKind.GRANTED, shared, "c", 3.0), (EntryKind.FAILURE, shared, "c", 9.0)),
        *((EntryKind.GRANTED, own, "d", 3.0), (EntryKind.SUCCESS, own, "d", 4.0)),
        (EntryKind.GRANTED, shared, "e", 5.0),
    ]
    await store.ledger.append([LedgerEntry(kind, account, RUN, name, 1, at) for kind, account, name, at in lines])
    await store.ledger.append([LedgerEntry(EntryKind.SUCCESS, shared, "r2", "e", 1, 6.0)])
    (verdict,) = await store.timings.verdicts(RUN)
    assert (verdict.account, verdict.number) == ("scan@dir:corp", 2)
    assert verdict.mean == pytest.approx(0.3)


async def test_what_a_run_has_spent_is_there_when_it_was_told(store: Store) -> None:
    assert (await store.runs.all())[0].spent is None
    await store.runs.update(RUN, state=RunState.FINISHED, spent={"began": 1.0, "ended": 2.5})
    found = await store.runs.get(RUN)
    assert found is not None
    assert found.spent == {"began": 1.0, "ended": 2.5}
