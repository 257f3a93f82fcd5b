"""The pacer at work: decides, and tells nobody before the ledger is durable.

One writer commits for all: requests that wait share one commit, and none waits by a timer. The order of ledger entries
is the order of the pacer's decisions. A request that must wait is held here for as long as a session may be kept open.

Where orchestrators share the accounts (`pacer_shards`), what is written is fenced by the lease of its account's shard
and, for a grant, by that of the run that it is for: a pacer, or a run's holder, that was overtaken grants nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import anyio

from appliance.contract import Account, PermitAnswer, PermitRelease, PermitRequest, PermitVerdict
from appliance.logs import get_logger
from orchestrator.account_state import Budget
from orchestrator.pacing import Decision, Pacer
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.stops import Stop
from orchestrator.store.leases import Held

HOLD_S = 5.0
SWEEP_S = 1.0

M = TypeVar("M", PermitRequest, PermitRelease)

log = get_logger()


class Ledger(Protocol):
    """Where permits are remembered."""

    async def append(self, entries: Sequence[LedgerEntry]) -> None:
        """Durable when it returns. Raises StoreError."""
        ...


class FencedLedger(Ledger, Protocol):
    async def append_fenced(self, entries: Sequence[LedgerEntry], held: Collection[Held]) -> Sequence[Held]:
        """As `append`, if these leases are held so; else nothing is written, and those that are not are returned."""
        ...


class OvertakenError(Exception):
    """The permits that were asked about are another's to grant; whoever asked is to be told nothing."""


@dataclass(frozen=True, slots=True)
class Posed:
    """A request that its run's holder has found to be genuine, and what it says about the account."""

    request: PermitRequest
    budget: Budget
    began: float
    """Of the run."""
    stop: Stop | None = None
    run_lease: Held | None = None
    """Under which the run is held, by whoever poses it."""


@dataclass(eq=False, slots=True)
class _Ticket:
    entries: Sequence[LedgerEntry]
    held: Collection[Held]
    """The leases that it is fenced by."""
    written: anyio.Event = field(default_factory=anyio.Event)
    refused: bool = False


def by_part(message: M) -> M:
    """To the pacer, each login of an attempt is a job's of its own."""
    return message.model_copy(update={"job": named(message.job, message.part)}) if message.part else message


def named(job: str, part: str) -> str:
    return f"{job}/{part}" if part else job


class PacerDesk:
    """`fence`: the lease of an account's shard, and `overtaken`, to be told of leases that turn out to
    be lost; None where this is the only pacer that there can be.
    """

    def __init__(
        self,
        pacer: Pacer,
        ledger: Ledger | FencedLedger,
        clock: Callable[[], float],
        fence: Callable[[Account], Held | None] | None = None,
        overtaken: Callable[[Held], None] = lambda _lease: None,
    ) -> None:
        self.pacer = pacer
        self._ledger = ledger
        self._clock = clock
        self._fence = fence
        self._overtaken = overtaken
        self._queue: list[_Ticket] = []
        self._wake = anyio.Event()
        self._changed: dict[Account, anyio.Event] = {}
        self._held: dict[str, None] = {}
        """The holder tokens of the requests that are being answered."""

    # -- requests and verdicts ---------------------------------------------------------------------------------------

    async def ask(self, asks: Sequence[Posed | PermitRelease | PermitAnswer]) -> list[PermitAnswer | None]:
        """Answer requests at once, and take releases in (None), in this order; one commit makes all of it durable. What
        is answered already stays so. Raises OvertakenError.
        """
        answers: list[PermitAnswer | None] = []
        entries: list[LedgerEntry] = []
        granted: list[Posed] = []
        for one in asks:
            if isinstance(one, PermitAnswer):
                answers.append(one)
            elif isinstance(one, PermitRelease):
                entries += self._take_in(one)
                answers.append(None)
            else:
                decision = self._decide(one)
                entries += decision.entries
                answers.append(decision.answer)
                if decision.answer.verdict is PermitVerdict.GRANTED:
                    granted.append(one)
        await self._commit(entries, granted)
        return answers

    async def hold(self, holder: str, pose: Callable[[], Posed | PermitAnswer]) -> PermitAnswer:
        """Answer one request, within HOLD_S and a commit. `pose`: what it is now; asked anew after every wait, since
        meanwhile the attempt may have ended, or its run. Raises OvertakenError.
        """
        self._held[holder] = None
        try:
            return await self._answer(holder, pose)
        finally:
            self._held.pop(holder, None)

    async def _answer(self, holder: str, pose: Callable[[], Posed | PermitAnswer]) -> PermitAnswer:
        until = anyio.current_time() + HOLD_S  # not the ledger's clock, which may be set back
        while True:
            if holder not in self._held:
                return PermitAnswer(verdict=PermitVerdict.WAIT, text="given back before it was granted")
            now, posed = self._clock(), pose()
            if isinstance(posed, PermitAnswer):
                return posed
            decision = self._decide(posed)
            granted = decision.answer.verdict is PermitVerdict.GRANTED
            await self._commit(decision.entries, [posed] if granted else [])
            left = until - anyio.current_time()
            if decision.answer.verdict is not PermitVerdict.WAIT or left <= 0:
                return decision.answer
            if decision.entries:
                continue  # the account may have changed during the commit, when nobody waited for that yet
            changed = self._changed.setdefault(posed.request.account, anyio.Event())
            with anyio.move_on_after(min(left, max(decision.answer.until - now, 0.01))):
                await changed.wait()

    async def withdraw(self, request: PermitRequest) -> None:
        """Take a permit back that its holder has not been told of."""
        entries = self.pacer.withdraw(by_part(request), now=self._clock())
        self._notify(request.account)
        await self._commit(entries)

    def job_over(self, run: str, job: str, accounts: Sequence[Account], host: str) -> None:
        self.pacer.job_over(run, job, accounts, host, now=self._clock())

    def look_again(self) -> None:
        """Whoever waits is judged anew."""
        for account in list(self._changed):
            self._notify(account)

    def _decide(self, posed: Posed) -> Decision:
        """The pacer's word on a request as of now; its entries are to be committed."""
        request, now = by_part(posed.request), self._clock()
        return self.pacer.request(request, posed.budget, run_began=posed.began, now=now, stop=posed.stop)

    def _take_in(self, release: PermitRelease) -> tuple[LedgerEntry, ...]:
        """One verdict; to be acknowledged when its entries are durable."""
        entries = self.pacer.release(by_part(release), now=self._clock())
        self._held.pop(release.holder, None)
        self._notify(release.account)
        return entries

    # -- durability --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit and sweep until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep, name="permits: sweep")
            tasks.start_soon(self._write, name="permits: commit")

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            tickets, self._queue = self._queue, []
            await self._append(tickets)
            for ticket in tickets:
                ticket.written.set()

    async def _append(self, tickets: Sequence[_Ticket]) -> None:
        if self._fence is None:
            await self._ledger.append([entry for ticket in tickets for entry in ticket.entries])
            return
        while tickets:
            entries = [entry for ticket in tickets for entry in ticket.entries]
            held = {lease for ticket in tickets for lease in ticket.held}
            stale = await self._ledger.append_fenced(entries, held)  # type: ignore[union-attr]
            if not stale:
                return
            for lease in stale:
                self._overtaken(lease)
            for ticket in tickets:
                ticket.refused = any(lease in stale for lease in ticket.held)
            tickets = [ticket for ticket in tickets if not ticket.refused]

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(SWEEP_S)
            self._disown()
            expired = self.pacer.expire(now=self._clock())
            for entry in expired:
                self._notify(entry.account)
            try:
                await self._commit(expired)
            except OvertakenError:
                log.info("permits that have expired are another pacer's to count", number=len(expired))

    async def _commit(self, entries: Sequence[LedgerEntry], granted: Sequence[Posed] = ()) -> None:
        """Returns when the entries are durable, and else never: whatever ends the writer ends the service, and with it
        whoever waits here. Nothing is granted or acknowledged meanwhile. Raises OvertakenError.
        """
        if not entries:
            return
        ticket = _Ticket(entries, self._leases_of(entries, granted))
        self._queue.append(ticket)
        self._wake.set()
        await ticket.written.wait()
        if ticket.refused:
            for posed in granted:
                self.pacer.withdraw(by_part(posed.request), now=self._clock())
                self._notify(posed.request.account)
            raise OvertakenError

    def _leases_of(self, entries: Sequence[LedgerEntry], granted: Sequence[Posed]) -> Collection[Held]:
        if self._fence is None:
            return ()
        shards = {self._fence(account) for account in {entry.account for entry in entries}}
        if None in shards:
            self._disown()
            raise OvertakenError
        runs = {posed.run_lease for posed in granted}
        return {lease for lease in (*shards, *runs) if lease is not None}

    def _disown(self) -> None:
        """Forget accounts that are another's."""
        if (fence := self._fence) is not None:
            self.pacer.disown(lambda account: fence(account) is None)

    def _notify(self, account: Account) -> None:
        event = self._changed.pop(account, None)
        if event is not None:
            event.set()
