"""How long things took in runs that are over: what a cost model is made of."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from appliance.contract import Account, Evidence, SignalKind, Technology
from orchestrator.permit_ledger import EntryKind
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
        The canary's is left out where others follow: all the run waits for it to start. The ledger forgets after a
        day, so an older run has none.
        """
        given, proven = permits.alias(), permits.alias()
        same = [given.c[name] == proven.c[name] for name in ("run", "job", "attempt", "part", "authority", "user")]
        query = (
            select(given.c.authority, given.c.user, given.c.at, proven.c.at)
            .select_from(given.join(proven, and_(*same)))
            .where(given.c.run == run, given.c.authority.startswith("dir:"))
            .where(given.c.kind == EntryKind.GRANTED.value, proven.c.kind == EntryKind.SUCCESS.value)
            .order_by(given.c.id)
        )
        times: dict[str, list[float]] = defaultdict(list)
        for authority, user, since, until in await self._database.read(lambda c: c.execute(query).all()):
            times[str(Account(authority=authority, user=user))].append(until - since)
        followed = {account: found[1:] or found for account, found in times.items()}
        return [VerdictTime(account, len(found), fmean(found)) for account, found in followed.items()]


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
        paced=sum(view.paced for view in evidence.views),
    )
