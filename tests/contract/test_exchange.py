"""A run carried from one store to another as NDJSON: nothing is lost, and nothing is half there. On both databases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.contract import Account
from orchestrator.exchange import ExchangeError, Reader, exported
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.store import RunRecord, RunState, Store, open_store
from orchestrator.store.unlisted import ABANDONED_S, BATCH, TABLES, TakenError, TwiceError
from tests.contract.conftest import Place
from tests.contract.test_store import RUN, job, run_record, settled, undispatched
from tests.contract.test_store import dispatch as dispatch_in

NOW = 1_000_000.0
names = count()


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(tmp_path / "source.db")
    yield store
    await store.close()


@pytest.fixture
async def target(place: Place) -> AsyncIterator[Store]:
    store = await place.open()
    yield store
    await store.close()


async def filled(store: Store, outcomes: int = 3) -> None:
    """A run with all that a run may have."""
    await store.runs.add(run_record())
    jobs = [job(f"j{n:04}", address=f"10.0.{n // 250}.{n % 250}") for n in range(outcomes)]
    await dispatch_in(store, *jobs, cursors={"unix": outcomes})
    await store.attempts.settle([settled(j) for j in jobs[1:]])
    await store.attempts.settle([settled(jobs[0], "TCP_TIMEOUT", final=False)])
    await dispatch_in(store, job("j0000", attempt=2))
    await store.attempts.settle([settled(job("j0000", attempt=2), "BAD_CREDENTIALS")])
    await store.attempts.dispatched(RUN, [], {}, [undispatched(job("j9999", address="zoë.example"))])
    entries = [
        LedgerEntry(kind, Account(authority="dir:corp", user="scan"), RUN, "j0000/root", 1, NOW)
        for kind in (EntryKind.GRANTED, EntryKind.FAILURE)
    ]
    await store.ledger.append(entries)
    await store.searches.end(await store.searches.begin(RUN, NOW), NOW + 1)
    await store.runs.update(
        RUN, state=RunState.FINISHED, finished_at=1010.5, planned=outcomes + 1, spent={"cpu": {"orchestrator": 0.1}}
    )


async def text_of(store: Store, run: str = RUN) -> str:
    row = await store.unlisted.run_row(run)
    assert row is not None
    return "".join([part async for part in exported(store.unlisted, row)])


async def bring_in(store: Store, text: str, size: int = 2) -> str:
    reader = Reader(iter(text.splitlines(keepends=True)))
    run = str(reader.header()["id"])
    await store.unlisted.begin(run, "t", NOW)
    try:
        for kind, rows in reader.batches(size):
            await store.unlisted.put(run, "t", NOW, kind, rows)
        await store.unlisted.finish(run, "t", NOW, reader.run)
    except BaseException:
        await store.unlisted.drop(run, "t", NOW)
        raise
    return run


async def rows_of(store: Store) -> dict[str, int]:
    found = (await store.condition()).rows
    return {name: number for name, number in found.items() if number and name != "compatibility"}


async def test_everything_arrives(source: Store, target: Store) -> None:
    await filled(source)
    text = await text_of(source)
    await bring_in(target, text)
    assert await text_of(target) == text
    assert await target.runs.all() == await source.runs.all()
    assert [o async for o in target.attempts.outcomes(RUN)] == [o async for o in source.attempts.outcomes(RUN)]
    assert [d async for d in target.attempts.dispatched_of(RUN)] == [
        d async for d in source.attempts.dispatched_of(RUN)
    ]
    assert await target.attempts.totals(RUN) == await source.attempts.totals(RUN)
    assert await target.ledger.load(0.0) == await source.ledger.load(0.0)
    assert await target.ledger.logons(RUN) == await source.ledger.logons(RUN)
    assert await target.timings.attempts(RUN, 10) == await source.timings.attempts(RUN, 10)
    assert await target.searches.all() == await source.searches.all()
    assert (await rows_of(target)).keys() == (await rows_of(source)).keys() - {"unlisted"}


async def test_pages_and_batches_of_any_size(source: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.store.unlisted.PAGE", 3)
    await filled(source, outcomes=10)
    text = await text_of(source)
    await bring_in(target, text, size=4)
    assert await text_of(target) == text


texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
numbers = st.floats(-1e15, 1e15) | st.sampled_from([0.0, 1e-300, 1792.123456789])


@pytest.mark.parametrize("to", ["source", "target"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    campaign=texts,
    addresses=st.lists(texts.filter(bool), max_size=5),
    times=numbers,
    seed=st.integers(-(2**62), 2**62),
    snapshot=st.dictionaries(texts, texts | st.none() | st.lists(st.integers())),
)
async def test_what_comes_out_of_an_import_is_what_went_in(
    source: Store, target: Store, to: str, campaign: str, addresses: list[str], times: float, seed: int,
    snapshot: dict[str, Any],
) -> None:  # fmt: skip
    """export(import(x)) == x, from SQLite to either database."""
    run = f"{to}-{next(names)}"
    await source.runs.add(RunRecord(run, campaign, times, RunState.PAUSED, seed, {"campaign": {}, **snapshot}, 9))
    jobs = [job(f"j{n}", address=address, run=run) for n, address in enumerate(addresses)]
    rows = [undispatched(one) for one in jobs]
    await source.attempts.dispatched(run, [], {campaign: 3} if campaign else {}, rows)
    text = await text_of(source, run)
    if to == "source":
        await source.unlisted.remove(run, "t", NOW, permits_before=0.0)
    store = source if to == "source" else target
    await bring_in(store, text)
    assert await text_of(store, run) == text


async def test_a_run_that_is_there_stays_as_it_is(source: Store, target: Store) -> None:
    await filled(source)
    text = await text_of(source)
    await bring_in(target, text)
    with pytest.raises(TakenError, match="run r1 is in the store already"):
        await bring_in(target, text)
    assert await text_of(target) == text


async def test_of_two_imports_the_second_is_refused_and_a_dead_one_is_cleared_up(source: Store, target: Store) -> None:
    await filled(source)
    text = await text_of(source)
    reader = Reader(iter(text.splitlines(keepends=True)))
    reader.header()
    await target.unlisted.begin(RUN, "dead", NOW)
    for kind, rows in reader.batches(2):
        await target.unlisted.put(RUN, "dead", NOW, kind, rows)
    assert await target.runs.all() == [], "nothing is to be seen of it"
    with pytest.raises(TakenError, match="is being imported or pruned by another process"):
        await target.unlisted.begin(RUN, "second", NOW + 1)
    assert await target.unlisted.abandoned(NOW + 1) == []
    later = NOW + ABANDONED_S + 1
    assert await target.unlisted.abandoned(later) == [RUN]
    await target.unlisted.begin(RUN, "second", later)
    with pytest.raises(TakenError, match="has been taken over by another process"):
        await target.unlisted.put(RUN, "dead", later, kind, rows)
    await target.unlisted.drop(RUN, "second", later)
    assert await rows_of(target) == {}
    await bring_in(target, text)
    assert await text_of(target) == text


# -- what is wrong with a file -----------------------------------------------------------------------------------------

Change = Callable[[list[dict[str, Any]]], object]


def first(lines: list[dict[str, Any]], kind: str) -> Any:
    return next(line[kind] for line in lines if kind in line)


WRONG: list[tuple[Change, str]] = [
    (lambda x: x[0].update(keymuster="report"), r"line 1: this is no export of a run; write it with"),
    (lambda x: x[0].update(version=3), r"line 1: the export is of version 3, and this release reads 1 to 2"),
    (lambda x: x[0].update(version=0), r"line 1: the export is of version 0, and this release reads 1 to 2"),
    (lambda x: x[0].update(version=1), r"attempt: 'zone' is no field of version 1"),
    (lambda x: x[0].update(more=1), r"line 1: a header has keymuster, version and run"),
    (lambda x: x[0]["run"].pop("seed"), r"line 1: run: 'seed' is missing"),
    (lambda x: x[0]["run"].update(password="x"), r"line 1: run: 'password' is no field of it"),
    (lambda x: x[0]["run"].update(state="running"), r"line 1: run: it is running, and only a run that has ended"),
    (lambda x: x[0]["run"].update(state="gone"), r"line 1: run: 'gone' is no state that this release knows"),
    (lambda x: x[0]["run"].update(planned=True), r"line 1: run: planned is True, and ought to be a whole number"),
    (lambda x: x[0]["run"].update(seed=2**70), r"line 1: run: seed is \d+, and ought to be a whole number"),
    (lambda x: x[0]["run"].update(created_at="now"), r"line 1: run: created_at is 'now', and ought to be a number"),
    (lambda x: x[0]["run"].update(campaign="a\0b"), r"line 1: run: campaign is 'a\\x00b', and ought to be a text"),
    (lambda x: x[0]["run"].update(snapshot=1), r"line 1: run: snapshot is 1, and ought to be a JSON object or list"),
    (lambda x: first(x, "job").update(run="r9"), r"line 3: job: run is 'r9', and the header's is 'r1'"),
    (lambda x: first(x, "job").update(technology="vms"), r"line 3: job: 'vms' is no technology that this release"),
    (lambda x: first(x, "job").update(records=[["a"]]), r"line 3: job: records is a list of \[record, user"),
    (lambda x: first(x, "job").update(address=None), r"line 3: job: address is None, and ought to be a text"),
    (lambda x: first(x, "attempt").update(tried=[1]), r"line 7: attempt: tried is a list of texts"),
    (lambda x: first(x, "attempt").update(evidence="{}"), r"line 7: attempt: evidence: Field required"),
    (lambda x: first(x, "attempt").update(evidence=None), r"line 7: attempt: one that has ended has evidence"),
    (lambda x: first(x, "attempt").update(reason="LUCK"), r"line 7: attempt: 'LUCK' is no reason that this release"),
    (lambda x: first(x, "outcome").update(status="maybe"), r"line 11: outcome: 'maybe' is no status"),
    (lambda x: first(x, "permit").update(kind="gift"), r"permit: 'gift' is no kind that this release knows"),
    (lambda x: x.insert(2, x.pop(8)), r"line 4: a job after a attempt: the order is cursor, job"),
    (lambda x: x.insert(2, {"secret": {}}), r"line 3: 'secret' is no kind of row; there are cursor, job"),
    (lambda x: x.insert(2, {"job": {}, "end": {}}), r"line 3: a line has one key"),
    (lambda x: x.pop(), r"the file ends there, without its last line: it has been cut off"),
    (lambda x: x.pop(4), r"end: it counts .* and before it there are"),
    (lambda x: x.append(x[2]), r"there is nothing after the end of an export"),
    (lambda x: x[-1]["end"].update(job=9), r"end: it counts"),
]


async def test_an_export_of_version_1_is_read(source: Store, tmp_path: Path) -> None:
    """It knew nothing of zones: its attempts have none."""
    await filled(source)
    lines = [json.loads(line) for line in (await text_of(source)).splitlines()]
    lines[0]["version"] = 1
    zones = [line["attempt"].pop("zone") for line in lines if "attempt" in line]
    assert set(zones) == {"default"}
    store = await open_store(tmp_path / "target.db")
    await bring_in(store, "".join(json.dumps(line) + "\n" for line in lines))
    outcomes = [row async for row in store.attempts.outcomes(RUN)]
    assert len(outcomes) == 4
    assert {row.zone for row in outcomes} == {""}
    await store.close()


@pytest.mark.parametrize(("change", "message"), WRONG)
async def test_a_file_that_is_wrong_is_refused_with_its_line_and_leaves_nothing(
    source: Store, tmp_path: Path, change: Change, message: str
) -> None:
    await filled(source)
    lines = [json.loads(line) for line in (await text_of(source)).splitlines()]
    change(lines)
    store = await open_store(tmp_path / "target.db")
    with pytest.raises(ExchangeError, match=message):
        await bring_in(store, "".join(json.dumps(line) + "\n" for line in lines))
    assert await rows_of(store) == {}
    await store.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file is empty"),
        ("nothing\n", "line 1: this is no JSON object: "),
        ("[]\n", "line 1: this is no JSON object"),
        ('{"keymuster": 1, "keymuster": 2}\n', "line 1: this is no JSON object: a key is there twice"),
        ('{"keymuster": NaN}\n', "line 1: this is no JSON object: NaN is no number"),
        ("[" * 100_000 + "\n", "line 1: this is no JSON object: "),
    ],
)
def test_a_file_that_is_no_export(text: str, message: str) -> None:
    with pytest.raises(ExchangeError, match=message):
        Reader(iter(text.splitlines(keepends=True))).header()


async def test_rows_that_are_there_twice_or_of_no_job_leave_nothing(source: Store, target: Store) -> None:
    await filled(source)
    lines = [json.loads(line) for line in (await text_of(source)).splitlines()]
    twice = [*lines[:3], lines[2], *lines[3:]]
    twice[-1]["end"]["job"] += 1
    with pytest.raises(TwiceError, match="a job of run r1 is there twice"):
        await bring_in(target, "".join(json.dumps(line) + "\n" for line in twice))
    twice[-1]["end"]["job"] -= 2
    orphan = [line for line in lines if line.get("job", {}).get("job") != "j9999"]
    with pytest.raises(Exception, match="one of its outcomes is of job j9999, which is not there"):
        await bring_in(target, "".join(json.dumps(line) + "\n" for line in orphan))
    twice[-1]["end"]["job"] += 1
    lines[0]["run"]["planned"] = 1
    with pytest.raises(Exception, match="it has 4 outcomes, and planned 1"):
        await bring_in(target, "".join(json.dumps(line) + "\n" for line in lines))
    assert await rows_of(target) == {}


# -- taking away -------------------------------------------------------------------------------------------------------


async def test_a_run_is_removed_in_batches_and_the_live_permits_stay(
    target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.unlisted.BATCH", 2)
    assert BATCH > 2
    await filled(target, outcomes=7)
    await target.runs.add(run_record("r2"))
    other = job("j1", run="r2")
    await dispatch_in(target, other)
    live = LedgerEntry(EntryKind.GRANTED, Account(authority="dir:corp", user="scan"), RUN, "j1", 1, NOW + 50)
    await target.ledger.append([live])
    await target.unlisted.remove(RUN, "t", NOW, permits_before=NOW + 10)
    assert [run.id for run in await target.runs.all()] == ["r2"]
    assert await target.ledger.load(0.0) == [live]
    assert await rows_of(target) == {"runs": 1, "jobs": 1, "attempts": 1, "permits": 1}


async def test_a_run_whose_permits_the_ledger_still_has_is_not_brought_in(source: Store, target: Store) -> None:
    await filled(source)
    await filled(target)
    await target.unlisted.remove(RUN, "t", NOW, permits_before=0.0)
    with pytest.raises(TakenError, match="still has permits of run r1, which was pruned; it forgets them in a day"):
        await bring_in(target, await text_of(source))
    assert await rows_of(target) == {"permits": 2}


def test_every_table_with_rows_of_runs_is_carried_or_is_no_runs() -> None:
    from orchestrator.store.schema import metadata  # noqa: PLC0415

    carried = {table.name for table in TABLES.values()}
    of_runs = {table.name for table in metadata.tables.values() if "run" in table.c}
    assert of_runs - carried == {"host_keys", "check_outs", "approvals", "unlisted"}, "those are the store's own"
