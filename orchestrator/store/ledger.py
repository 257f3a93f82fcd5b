"""The permit ledger: the pacer's memory, durable before a permit is granted.

It has a connection of its own, whose commits reach the disk (`synchronous=FULL`); one call is one commit, and grouping
requests into calls is the caller's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, delete, func, insert, select

from appliance.contract import Account, Part, Technology
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.sharding import shard_of
from orchestrator.store.database import Database
from orchestrator.store.leases import Held, lost
from orchestrator.store.records import LogonCount, LogonSums, PermitCount, RunLogons
from orchestrator.store.schema import jobs, permits, runs

_APPEND = insert(permits)


def _number_of(kind: EntryKind) -> ColumnElement[int]:
    return func.sum(case((permits.c.kind == kind.value, 1), else_=0))


_ACCOUNT = (permits.c.authority, permits.c.user)
_PER_ACCOUNT = (
    *_ACCOUNT,
    _number_of(EntryKind.GRANTED).label("granted"),
    _number_of(EntryKind.SUCCESS).label("succeeded"),
    _number_of(EntryKind.FAILURE).label("failed"),
)


class Ledger:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entries: Sequence[LedgerEntry]) -> None:
        """Returns when the entries would survive a power cut. Raises StoreError; nothing may then be granted."""
        values = [_values(entry) for entry in entries]
        if values:
            await self._database.write(lambda connection: connection.execute(_APPEND, values))

    async def append_fenced(self, entries: Sequence[LedgerEntry], held: Collection[Held]) -> Sequence[Held]:
        """As `append`, if these leases are held so; else nothing is written, and those that are not are returned."""
        values = [_values(entry) for entry in entries]

        def step(connection: Connection) -> list[Held]:
            stale = lost(connection, held)
            if not stale:
                connection.execute(_APPEND, values)
            return stale

        return await self._database.write(step) if values else []

    async def logons(self, run: str) -> list[LogonCount]:
        """What a run has asked of each account."""
        query = select(*_PER_ACCOUNT).where(permits.c.run == run).group_by(*_ACCOUNT)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return _counts(rows)

    async def logons_together(self, run: str, most: int) -> RunLogons:
        """The sums, and at most so many accounts of either kind by name: a run may have a million."""
        each = select(*_PER_ACCOUNT).where(permits.c.run == run).group_by(*_ACCOUNT).subquery()
        shared = each.c.authority.startswith("dir:")
        numbers = (each.c.granted, each.c.succeeded, each.c.failed)
        kind = case((shared, 1), else_=0).label("kind")
        sums = select(kind, func.count(), *map(func.sum, numbers), func.max(each.c.failed)).group_by(kind)
        order = (each.c.failed.desc(), each.c.granted.desc(), each.c.user, each.c.authority)

        def look(connection: Connection) -> RunLogons:
            found = {kind: LogonSums(*map(int, values)) for kind, *values in connection.execute(sums)}
            listed = [
                one
                for of_kind in (shared, ~shared)
                for one in _counts(connection.execute(select(each).where(of_kind).order_by(*order).limit(most)).all())
            ]
            return RunLogons(found.get(1, LogonSums()), found.get(0, LogonSums()), tuple(listed))

        return await self._database.read(look)

    async def by_target(self, runs: Sequence[str]) -> list[PermitCount]:
        """What these runs have asked of each account, target by target; what jump hosts were asked is of none."""
        key = (permits.c.run, jobs.c.address, jobs.c.technology, permits.c.authority, permits.c.user)
        query = (
            select(*key, permits.c.kind, func.count().label("number"))
            .select_from(permits.join(jobs, (permits.c.run == jobs.c.run) & (permits.c.job == jobs.c.job)))
            .where(permits.c.run.in_(runs), permits.c.part.in_(("", Part.ROOT)))
            .group_by(*key, permits.c.kind)
        )
        counts: dict[tuple[str, str, str, str, str], Counter[str]] = defaultdict(Counter)
        for *at, kind, number in await self._database.read(lambda connection: connection.execute(query).all()):
            run, address, technology, authority, user = at
            counts[run, address, technology, authority, user][kind] += number
        return [
            PermitCount(
                run=run,
                address=address,
                technology=Technology(technology),
                account=Account(authority=authority, user=user),
                granted=c[EntryKind.GRANTED.value],
                succeeded=c[EntryKind.SUCCESS.value],
                failed=c[EntryKind.FAILURE.value],
                neutral=c[EntryKind.NEUTRAL.value],
            )
            for (run, address, technology, authority, user), c in counts.items()
        ]

    async def beside_runs(self, since: float, until: float | None) -> list[str]:
        """Who was granted permits in this time and is no run of the store: load tests, oldest first."""
        ours = permits.c.run.not_in(select(runs.c.id))
        query = select(permits.c.run).where(permits.c.at >= since, permits.c.kind == EntryKind.GRANTED.value, ours)
        query = query if until is None else query.where(permits.c.at <= until)
        query = query.group_by(permits.c.run).order_by(func.min(permits.c.at))
        return [row.run for row in await self._database.read(lambda connection: connection.execute(query).all())]

    async def load(self, since: float, shards: Collection[int] | None = None) -> list[LedgerEntry]:
        """The entries not older than `since`, in the order in which they were appended; of these shards, or of all."""
        query = select(permits).where(permits.c.at >= since).order_by(permits.c.id)
        if shards is not None:  # an older release has written none
            query = query.where(permits.c.shard.in_(sorted(shards)) | permits.c.shard.is_(None))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            LedgerEntry(
                kind=EntryKind(row.kind),
                account=Account(authority=row.authority, user=row.user),
                run=row.run,
                job=f"{row.job}/{row.part}" if row.part else row.job,
                attempt=row.attempt,
                at=row.at,
                expires_at=row.expires_at,
                cause=row.cause,
                holder=row.holder or "",
            )
            for row in rows
            if shards is None or shard_of(row.authority) in shards
        ]

    async def prune(self, before: float) -> None:
        """Forget entries older than `before` that are of no run of the store. Those of a run are its report's to tell,
        and go with it.
        """
        query = delete(permits).where(permits.c.at < before, permits.c.run.not_in(select(runs.c.id)))
        await self._database.write(lambda connection: connection.execute(query))


def _values(entry: LedgerEntry) -> dict[str, Any]:
    job, _, part = entry.job.partition("/")
    return {
        "kind": entry.kind.value,
        "authority": entry.account.authority,
        "user": entry.account.user,
        "run": entry.run,
        "job": job,
        "part": part,
        "attempt": entry.attempt,
        "at": entry.at,
        "expires_at": entry.expires_at,
        "cause": entry.cause,
        "shard": shard_of(entry.account.authority),
        "holder": entry.holder or None,
    }


def _counts(rows: Iterable[Row[Any]]) -> list[LogonCount]:
    return [LogonCount(f"{row.user}@{row.authority}", row.granted, row.succeeded, row.failed) for row in rows]
