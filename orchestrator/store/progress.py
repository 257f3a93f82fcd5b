"""Jobs, attempts and outcomes as they are read: what is open, what is unfinished, what came out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, select, tuple_

from appliance.contract import Evidence, Target, Technology
from appliance.reasons import Status
from orchestrator.store.database import Database, in_index_order, portions
from orchestrator.store.records import (
    Count,
    DispatchedAttempt,
    JobRow,
    OpenAttempt,
    OutcomeRow,
    PastAttempt,
    RecordUse,
    Totals,
    Unfinished,
)
from orchestrator.store.schema import attempts, jobs, outcomes, remainders, runs

_Rows = Sequence[Row[*tuple[Any, ...]]]

PAGE = 500
"""Outcomes read at a time: about half a megabyte of evidence."""

_JOB = (jobs.c.technology, jobs.c.address, jobs.c.host, jobs.c.fqdn, jobs.c.domain, jobs.c.records)
_SAME_JOB = (attempts.c.run == jobs.c.run) & (attempts.c.job == jobs.c.job)
_ITS_OUTCOME = (outcomes.c.run == jobs.c.run) & (outcomes.c.job == jobs.c.job)

_OUTCOMES = (
    select(
        outcomes.c.run,
        outcomes.c.job,
        outcomes.c.attempt,
        outcomes.c.status,
        outcomes.c.reason,
        outcomes.c.finished_at,
        func.coalesce(outcomes.c.evidence, attempts.c.evidence).label("evidence"),
        func.coalesce(attempts.c.appliance, "").label("appliance"),
        func.coalesce(attempts.c.zone, "").label("zone"),
        jobs.c.sort_key,
        *_JOB,
    )
    .select_from(
        jobs.join(outcomes, _ITS_OUTCOME).outerjoin(attempts, _SAME_JOB & (attempts.c.attempt == outcomes.c.attempt))
    )
    .where(jobs.c.run == bindparam("of_run"))
    .where(tuple_(jobs.c.sort_key, jobs.c.job) > tuple_(bindparam("after_key"), bindparam("after_job")))
    .order_by(jobs.c.sort_key, jobs.c.job)
    .limit(PAGE)
)


_DISPATCHED = (
    select(attempts, *_JOB)
    .select_from(attempts.join(jobs, _SAME_JOB))
    .where(attempts.c.run == bindparam("of_run"))
    .where(tuple_(attempts.c.job, attempts.c.attempt) > tuple_(bindparam("after_job"), bindparam("after_attempt")))
    .order_by(attempts.c.job, attempts.c.attempt)
    .limit(PAGE)
)


async def open_attempts(database: Database, run: str) -> list[OpenAttempt]:
    query = (
        select(attempts, *_JOB)
        .select_from(attempts.join(jobs, _SAME_JOB))
        .where(attempts.c.run == run, attempts.c.ended_at.is_(None))
        .order_by(attempts.c.dispatched_at, attempts.c.job)
    )
    rows = await database.read(lambda connection: connection.execute(query).all())
    return [
        OpenAttempt(
            r.job, r.attempt, r.lease, r.dispatched_at, Technology(r.technology), _target(r)
        )
        for r in rows
    ]  # fmt: skip


async def unfinished(database: Database, run: str) -> list[Unfinished]:
    query = (
        select(attempts, *_JOB, jobs.c.run.label("its_run"), jobs.c.job.label("its_job"))
        # In this order: SQLite joins as it is told, and need not look at the attempts of what has its outcome.
        .select_from(jobs.outerjoin(outcomes, _ITS_OUTCOME).outerjoin(attempts, _SAME_JOB))
        .where(jobs.c.run == run, outcomes.c.job.is_(None))
        .order_by(jobs.c.sort_key, jobs.c.job, attempts.c.attempt)
    )
    rows = await database.read(lambda connection: connection.execute(query).all())
    return [_unfinished(list(group)) for _, group in groupby(rows, lambda row: row.its_job)]


async def dispatched_of(database: Database, run: str) -> AsyncIterator[DispatchedAttempt]:
    job, attempt = "", 0
    while True:
        after = {"of_run": run, "after_job": job, "after_attempt": attempt}
        page = await database.read(partial(_rows, _DISPATCHED, after))
        for row in page:
            yield DispatchedAttempt(
                run=row.run,
                job=row.job,
                attempt=row.attempt,
                technology=Technology(row.technology),
                target=_target(row),
                records=records_of(row),
                dispatched_at=row.dispatched_at,
                ended_at=row.ended_at,
                appliance=row.appliance or "",
                evidence=Evidence.model_validate_json(row.evidence) if row.evidence else None,
            )
        if len(page) < PAGE:
            return
        job, attempt = page[-1].job, page[-1].attempt


async def outcomes_of(database: Database, run: str) -> AsyncIterator[OutcomeRow]:
    vault_types = await _vault_types(database, run)
    key, job = "", ""
    while True:
        after = {"of_run": run, "after_key": key, "after_job": job}
        page, earlier = await database.read(partial(_page, after))
        for row in page:
            yield _outcome(row, vault_types, tuple(p for p in earlier.get(row.job, ()) if p.attempt < row.attempt))
        if len(page) < PAGE:
            return
        key, job = page[-1].sort_key, page[-1].job


def _rows(query: Select[Any], values: Mapping[str, Any], connection: Connection) -> _Rows:
    in_index_order(connection)
    return connection.execute(query, values).all()


def _page(after: Mapping[str, Any], connection: Connection) -> tuple[_Rows, dict[str, list[PastAttempt]]]:
    """A page of outcomes, and what their jobs had behind them, as of one moment."""
    in_index_order(connection)
    page = connection.execute(_OUTCOMES, after).all()
    return page, _earlier(connection, after["of_run"], [row.job for row in page if row.attempt > 1])


def _earlier(connection: Connection, run: str, names: Sequence[str]) -> dict[str, list[PastAttempt]]:
    """What jobs had behind them, in order."""
    found: dict[str, list[PastAttempt]] = defaultdict(list)
    for some in portions(names):
        query = (
            select(attempts.c.job, attempts.c.attempt, attempts.c.reason, attempts.c.evidence)
            .where(attempts.c.run == run, attempts.c.job.in_(some), attempts.c.ended_at.is_not(None))
            .order_by(attempts.c.job, attempts.c.attempt)
        )
        for row in connection.execute(query):
            found[row.job].append(_past(row))
    return found


async def totals(database: Database, run: str) -> Totals:
    which = (outcomes.c.technology, outcomes.c.status, outcomes.c.reason)
    query = select(*which, func.count().label("number")).where(outcomes.c.run == run).group_by(*which)
    rest = (remainders.c.technology, remainders.c.status, remainders.c.reason)
    number = (remainders.c.behind - remainders.c.first).label("number")
    together = select(*rest, number).where(remainders.c.run == run)

    def look(connection: Connection) -> Totals:
        planned = connection.execute(select(runs.c.planned).where(runs.c.id == run)).scalar_one_or_none()
        if planned is None:
            raise LookupError(f"no run {run}")
        numbers: dict[tuple[Technology, Status, str], int] = defaultdict(int)
        for row in (*connection.execute(query), *connection.execute(together)):
            numbers[Technology(row.technology), Status(row.status), row.reason] += row.number
        return Totals(planned, tuple(Count(*which, number) for which, number in sorted(numbers.items())))

    return await database.read(look)


async def _vault_types(database: Database, run: str) -> dict[str, str]:
    query = select(runs.c.snapshot).where(runs.c.id == run)
    snapshot = await database.read(lambda connection: connection.execute(query).scalar_one_or_none())
    vaults: Iterable[Mapping[str, str]] = (snapshot or {}).get("campaign", {}).get("vaults", ())
    return {vault["title"]: vault["type"] for vault in vaults}


def _outcome(
    row: Row[*tuple[Any, ...]], vault_types: Mapping[str, str], earlier: tuple[PastAttempt, ...]
) -> OutcomeRow:
    evidence = Evidence.model_validate_json(row.evidence)
    used = used_record(records_of(row), evidence.record)
    return OutcomeRow(
        run=row.run,
        job=row.job,
        technology=Technology(row.technology),
        target=_target(row),
        status=Status(row.status),
        reason=row.reason,
        record=used.record,
        user=used.user,
        vault=used.vault,
        vault_type=vault_types.get(used.vault, ""),
        secret=used.secret,
        port=used.port,
        account=used.account,
        evidence=evidence,
        attempts=row.attempt,
        appliance=row.appliance,
        finished_at=row.finished_at,
        zone=row.zone,
        earlier=earlier,
    )


def used_record(records: tuple[RecordUse, ...], title: str) -> RecordUse:
    if not title and len(records) == 1:
        return records[0]
    return next((r for r in records if r.record == title), RecordUse(title, "", "", "", 0, ""))


def _unfinished(rows: list[Row[Any]]) -> Unfinished:
    newest = rows[-1]
    job = JobRow(newest.its_run, newest.its_job, Technology(newest.technology), _target(newest), records_of(newest))
    if newest.attempt is None:
        return Unfinished(job, 0, open=False, tried=(), history=())
    past = tuple(_past(row) for row in rows if row.ended_at is not None)
    return Unfinished(job, newest.attempt, newest.ended_at is None, tuple(newest.tried), past)


def _past(row: Row[*tuple[Any, ...]]) -> PastAttempt:
    evidence = Evidence.model_validate_json(row.evidence)
    return PastAttempt(row.attempt, row.reason, evidence.record, evidence.submitted, len(evidence.views))


def _target(row: Row[Any]) -> Target:
    return Target(address=row.address, host=row.host, fqdn=row.fqdn, domain=row.domain)


def records_of(row: Row[Any]) -> tuple[RecordUse, ...]:
    return tuple(RecordUse(*values) for values in row.records)
