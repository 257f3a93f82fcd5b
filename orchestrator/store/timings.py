"""How long things took in runs that are over: what a cost model is made of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select

from appliance.contract import Account, Evidence, SignalKind, Technology
from orchestrator.pacing import EntryKind
from orchestrator.store.database import Database
from orchestrator.store.progress import records_of, used_record
from orchestrator.store.records import TimedAttempt, VerdictTime
from orchestrator.store.schema import attempts, jobs, permits


class Timings:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def attempts(self, run: str, most: int) -> list[TimedAttempt]:
        """The ended attempts of at most so many jobs, job by job in order. A job's id is a hash: the first ones of a
        run in the order of their ids are as good a sample as any.
        """
        sample = select(jobs.c.job).where(jobs.c.run == run).order_by(jobs.c.job).limit(most).subquery()
        ended = (attempts.c.job, attempts.c.reason, attempts.c.evidence, attempts.c.dispatched_at, attempts.c.ended_at)
        query = (
            select(*ended, jobs.c.technology, jobs.c.records)
            .select_from(
                attempts.join(sample, attempts.c.job == sample.c.job).join(
                    jobs, (jobs.c.run == attempts.c.run) & (jobs.c.job == attempts.c.job)
                )
            )
            .where(attempts.c.run == run, attempts.c.ended_at.is_not(None))
            .order_by(attempts.c.job, attempts.c.attempt)
        )

        def look(connection: Connection) -> list[TimedAttempt]:
            # Read here, in the transaction's thread: thousands of pieces of evidence would hold up the loop.
            return [_timed(row) for row in connection.execute(query)]

        return await self._database.read(look)

    async def verdicts(self, run: str) -> list[VerdictTime]:
        """Of directory accounts that logged in: from the grant of a permit to the success, by the pacer's own clock.
        The ledger forgets after a day, so an older run has none.
        """
        given, proven = permits.alias(), permits.alias()
        same = [given.c[name] == proven.c[name] for name in ("run", "job", "attempt", "part", "authority", "user")]
        query = (
            select(given.c.authority, given.c.user, func.count(), func.avg(proven.c.at - given.c.at))
            .select_from(given.join(proven, same[0] & same[1] & same[2] & same[3] & same[4] & same[5]))
            .where(given.c.run == run, given.c.authority.startswith("dir:"))
            .where(given.c.kind == EntryKind.GRANTED.value, proven.c.kind == EntryKind.SUCCESS.value)
            .group_by(given.c.authority, given.c.user)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            VerdictTime(str(Account(authority=authority, user=user)), number, mean)
            for authority, user, number, mean in rows
        ]


def _timed(row: Row[*tuple[Any, ...]]) -> TimedAttempt:
    evidence = Evidence.model_validate_json(row.evidence)
    return TimedAttempt(
        job=row.job,
        technology=Technology(row.technology),
        account=used_record(records_of(row), evidence.record).account,
        reason=row.reason,
        dispatched=row.dispatched_at,
        began=evidence.started_at,
        ended=row.ended_at,
        phases={time.phase: time.ms / 1000 for time in evidence.phases},
        views=tuple((view.asked, view.answered) for view in evidence.views),
        submitted=evidence.submitted,
        cut_off=evidence.signal.kind is SignalKind.DEADLINE,
    )
