"""Jobs, attempts and outcomes as they are written: in batches, each one transaction, each safe to repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import astuple
from ipaddress import IPv4Address, ip_address
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, select, update

from orchestrator.store import progress
from orchestrator.store.database import Database, portions
from orchestrator.store.fencing import JobKey, JobState, Verdict, judge
from orchestrator.store.leases import Fences
from orchestrator.store.records import (
    AttemptRow,
    DispatchedAttempt,
    JobRow,
    OpenAttempt,
    OutcomeRow,
    Settled,
    Totals,
    Undispatched,
    Unfinished,
)
from orchestrator.store.runs import cursor_rows, move_cursors
from orchestrator.store.schema import attempts, jobs, outcomes

_THIS_ATTEMPT = (
    (attempts.c.run == bindparam("its_run"))
    & (attempts.c.job == bindparam("its_job"))
    & (attempts.c.attempt == bindparam("its_attempt"))
)
# Statements are made once: making one, and finding its compiled form, costs as much as thirty rows.
_END = (
    update(attempts)
    .where(_THIS_ATTEMPT)
    .values({name: bindparam(name) for name in ("ended_at", "appliance", "reason", "status", "evidence")})
)
_THESE_JOBS: BindParameter[Any] = bindparam("its_jobs", expanding=True)
_ATTEMPTS_OF = (
    select(attempts.c.job, attempts.c.attempt, attempts.c.lease, attempts.c.ended_at)
    .where(attempts.c.run == bindparam("its_run"), attempts.c.job.in_(_THESE_JOBS))
    .with_for_update()
)
_ENDED_OF = select(outcomes.c.job).where(outcomes.c.run == bindparam("its_run"), outcomes.c.job.in_(_THESE_JOBS))


class Attempts:
    def __init__(self, database: Database, fences: Fences) -> None:
        """Of a run that `fences` knows, whoever has lost its lease writes nothing, and gets FencedError."""
        self._database = database
        self._fences = fences
        self._new_jobs = database.insert(jobs).on_conflict_do_nothing()
        self._new_attempts = database.insert(attempts).on_conflict_do_nothing()
        self._first_outcomes = database.insert(outcomes).on_conflict_do_nothing()
        self._move_cursors = move_cursors(database)

    async def dispatched(
        self,
        run: str,
        rows: Sequence[tuple[JobRow, AttemptRow | None]],
        cursors: Mapping[str, int],
        ended: Sequence[Undispatched] = (),
    ) -> list[bool]:
        """Record attempts, jobs that end without one, and how far the cursors came, before anything is put on the bus.
        Repeating changes nothing. A job without an attempt has been taken from its cursor and waits.

        True for each of `ended` whose outcome this is. False, and no change, where the job has its outcome already or
        has an open attempt (settle that instead) after the one that the caller knows to be over. All of it is one
        transaction: a stretch of a cursor that is walked again, after the last writes were lost with the power, may
        come to another end, and its jobs have none yet.
        """
        known = [_job_values(job) for job in (*(job for job, _ in rows), *(end.job for end in ended))]
        made = [_attempt_values(attempt) for _, attempt in rows if attempt is not None]

        def step(connection: Connection) -> list[bool]:
            self._fences.check(connection, run)
            if known:
                connection.execute(self._new_jobs, known)
            taken = self._finish(connection, run, ended) if ended else []
            if made:
                connection.execute(self._new_attempts, made)
            if cursors:
                connection.execute(self._move_cursors, cursor_rows(run, cursors))
            return taken

        return await self._database.write(step)

    def _finish(self, connection: Connection, run: str, ended: Sequence[Undispatched]) -> list[bool]:
        states = _job_states(connection, run, [row.job.job for row in ended])
        taken, new = [], {}
        for row in ended:
            state = states.get(row.job.job, JobState({}, 0, finished=False))
            going_on = any(number > row.after for number in state.open)
            take = not going_on and not state.finished and row.job.job not in new
            taken.append(take)
            if take:
                new[row.job.job] = _undispatched_values(row, state.newest)
        if new:
            connection.execute(self._first_outcomes, list(new.values()))
        return taken

    async def settle(self, rows: Sequence[Settled]) -> list[bool]:
        """Take reports, in order (the rules: `fencing.py`). True for each that decides what becomes of its job: the
        caller acts on those only. False for a repeat, a stranger, or an attempt that a newer one has overtaken.
        """
        if not rows:
            return []

        def step(connection: Connection) -> list[Verdict]:
            for run in dict.fromkeys(row.run for row in rows):
                self._fences.check(connection, run)
            verdicts = judge(rows, _states(connection, rows))
            heard = [
                (row, verdict) for row, verdict in zip(rows, verdicts, strict=True) if verdict is not Verdict.IGNORED
            ]
            if heard:
                connection.execute(_END, [_end_values(row) for row, _ in heard])
            final = [row for row, verdict in heard if row.final and verdict is Verdict.DECIDES]
            if final:
                connection.execute(self._first_outcomes, [_outcome_values(row) for row in final])
            return verdicts

        return [verdict is Verdict.DECIDES for verdict in await self._database.write(step)]

    async def finished(self, run: str, names: Sequence[str]) -> int:
        """How many of these jobs have their outcome."""

        def look(connection: Connection) -> int:
            found = 0
            for some in portions(names):
                query = select(func.count()).where(outcomes.c.run == run, outcomes.c.job.in_(some))
                found += connection.execute(query).scalar_one()
            return found

        return await self._database.read(look)

    async def open(self, run: str) -> list[OpenAttempt]:
        """Attempts that nobody has reported, oldest first."""
        return await progress.open_attempts(self._database, run)

    async def unfinished(self, run: str) -> list[Unfinished]:
        """Known jobs without an outcome, with what their attempts so far came to; held ones have none yet."""
        return await progress.unfinished(self._database, run)

    def outcomes(self, run: str) -> AsyncIterator[OutcomeRow]:
        """Every outcome, ordered by address, read in pages: the memory is flat, and no transaction stays open."""
        return progress.outcomes_of(self._database, run)

    def dispatched_of(self, run: str) -> AsyncIterator[DispatchedAttempt]:
        """Every attempt that went out, superseded ones too, ordered by job; read in pages, as outcomes are."""
        return progress.dispatched_of(self._database, run)

    async def totals(self, run: str) -> Totals:
        """Raises LookupError for an unknown run."""
        return await progress.totals(self._database, run)


def _states(connection: Connection, rows: Sequence[Settled]) -> dict[JobKey, JobState]:
    by_run: dict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        by_run[row.run][row.job] = None
    states: dict[JobKey, JobState] = {}
    for run, names in by_run.items():
        states |= {(run, job): state for job, state in _job_states(connection, run, list(names)).items()}
    return states


def _job_states(connection: Connection, run: str, names: Sequence[str]) -> dict[str, JobState]:
    """The jobs that have attempts or an outcome. Their attempts are locked where the database locks rows."""
    open_: dict[str, dict[int, str]] = defaultdict(dict)
    newest: dict[str, int] = defaultdict(int)
    finished: set[str] = set()
    for some in portions(names):
        asked = {"its_run": run, "its_jobs": some}
        for job, attempt, lease, ended_at in connection.execute(_ATTEMPTS_OF, asked):
            newest[job] = max(newest[job], attempt)
            if ended_at is None:
                open_[job][attempt] = lease
        finished.update(connection.execute(_ENDED_OF, asked).scalars())
    return {job: JobState(open_[job], newest[job], finished=job in finished) for job in newest.keys() | finished}


def _job_values(row: JobRow) -> dict[str, Any]:
    target = row.target
    return {
        "run": row.run,
        "job": row.job,
        "technology": row.technology.value,
        "address": target.address,
        "host": target.host,
        "fqdn": target.fqdn,
        "domain": target.domain,
        "sort_key": _sort_key(target.address),
        "records": [astuple(record) for record in row.records],
    }


def _sort_key(address: str) -> str:
    """A text that sorts as addresses do: IPv4 by number, then IPv6 by number, then names."""
    try:
        ip = ip_address(address)
    except ValueError:
        return f"n{address.lower()}"
    return f"4{int(ip):08x}" if isinstance(ip, IPv4Address) else f"6{int(ip):032x}"


def _attempt_values(row: AttemptRow) -> dict[str, Any]:
    return {
        "run": row.run,
        "job": row.job,
        "attempt": row.attempt,
        "lease": row.lease,
        "dispatched_at": row.dispatched_at,
        "tried": list(row.tried),
        "zone": row.zone or None,
    }


def _end_values(row: Settled) -> dict[str, Any]:
    return {
        "its_run": row.run,
        "its_job": row.job,
        "its_attempt": row.attempt,
        "ended_at": row.finished_at,
        "appliance": row.appliance,
        "reason": row.reason,
        "status": row.status.value,
        "evidence": row.evidence.model_dump_json(),
    }


def _outcome_values(row: Settled) -> dict[str, Any]:
    return {
        "run": row.run,
        "job": row.job,
        "attempt": row.attempt,
        "technology": row.technology.value,
        "status": row.status.value,
        "reason": row.reason,
        "finished_at": row.finished_at,
        "evidence": None,
    }


def _undispatched_values(row: Undispatched, attempt: int) -> dict[str, Any]:
    return {
        "run": row.job.run,
        "job": row.job.job,
        "attempt": attempt,
        "technology": row.job.technology.value,
        "status": row.status.value,
        "reason": row.reason,
        "finished_at": row.finished_at,
        "evidence": row.evidence.model_dump_json(),
    }
