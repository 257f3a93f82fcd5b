"""Every account's pacer among several orchestrators: ours, another's, or ours as soon as we have taken it over.

A shard (`sharding`) is taken when one of its accounts is asked for and nobody holds it, and given back when none of its
permits is out and nobody has asked for IDLE_S. Who takes one reads of the ledger what became of its accounts; what the
pacer before has let begin is waited for (rule R12 of `pacing`). Nothing else of a pacer's memory is handed over, since
a pacer that was killed hands over nothing.

What is another's goes to it in a message, and is answered by it as it answers its own; what cannot be answered is not,
and whoever asked hears of no pacer: no pacer, no password.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

import anyio
from pydantic import BaseModel, ConfigDict, TypeAdapter

from appliance.bus import BusError
from appliance.bus.batches import decode_answers, encode_answers
from appliance.contract import (
    Account,
    ContractError,
    PermitAnswer,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
)
from appliance.logs import get_logger
from orchestrator.account_state import Budget
from orchestrator.lease_keeper import LeaseKeeper, run_lease
from orchestrator.pacer_desk import HOLD_S, OvertakenError, PacerDesk, Posed
from orchestrator.pacing import stopped
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.sharding import shard_lease, shard_of
from orchestrator.store.errors import StoreError
from orchestrator.store.leases import Held

DESK = "pacer"
"""Of `ask_desk`."""
ANSWER_S = 4.0
"""For another pacer's answer: whoever asked us waits for a second more."""
AGAIN_S = 0.5
IDLE_S, TEND_S = 60.0, 5.0
TOGETHER = 2000
"""Jobs that are over, in one message."""

Ask = Posed | PermitRelease | PermitAnswer

log = get_logger()


class PeerBus(Protocol):
    """The part of the bus on which orchestrators speak to each other."""

    async def ask_desk(self, name: str, desk: str, verb: str, body: bytes, wait: float) -> bytes: ...


class History(Protocol):
    """What the ledger says of shards. Raises StoreError."""

    async def load(self, since: float, shards: Sequence[int]) -> list[LedgerEntry]: ...


_Over = tuple[str, str, list[tuple[str, str]], str]
"""Run, job, accounts (authority and user) and the authority of the host itself."""


class PacerShards:
    """Implements `Pacers` for an orchestrator that is one of several. `remember`: how far back the ledger is read."""

    def __init__(
        self,
        keeper: LeaseKeeper,
        desk: PacerDesk,
        history: History,
        bus: PeerBus,
        clock: Callable[[], float],
        remember: float,
    ) -> None:
        self._keeper = keeper
        self._desk = desk
        self._history = history
        self._bus = bus
        self._clock = clock
        self._remember = remember
        self._taking = anyio.Lock()
        self._ours: dict[int, float] = {}
        """The shards that we decide about, and when somebody last asked for one of their accounts."""
        self._over: list[_Over] = []
        """Jobs that have ended, of which other pacers may know."""

    # -- whose it is -------------------------------------------------------------------------------------------------

    def fence(self, account: Account) -> Held | None:
        """The lease under which we decide about the account; None where we do not."""
        shard = shard_of(account.authority)
        token = self._keeper.token(shard_lease(shard)) if shard in self._ours else None
        return None if token is None else (shard_lease(shard), token)

    def overtaken(self, lease: Held) -> None:
        """A lease, of a shard or a run, perhaps of ours, has turned out to be held otherwise."""
        self._keeper.lose(lease)

    async def _settle(self, accounts: Iterable[Account]) -> None:
        """Take those of the accounts' shards that nobody holds."""
        shards = {shard_of(account.authority) for account in accounts}
        now = anyio.current_time()
        self._ours.update(dict.fromkeys(shards & self._ours.keys(), now))
        if all(self._ours_or_elsewhere(shard) for shard in shards):
            return
        async with self._taking:
            wanted = [shard_lease(shard) for shard in sorted(shards) if not self._ours_or_elsewhere(shard)]
            try:
                had = set(await self._keeper.take(wanted))
                fresh = [shard for shard in shards if shard_lease(shard) in had and shard not in self._ours]
                if fresh:
                    await self._enter(fresh)
            except StoreError as error:
                log.warning("no pacer: the store does not answer", error=str(error))

    async def _enter(self, fresh: Sequence[int]) -> None:
        """Decide about these shards, as far as we still hold them when the ledger has been read. Raises StoreError."""
        known = await self._history.load(self._clock() - self._remember, fresh)
        held = {shard for shard in fresh if self._keeper.token(shard_lease(shard)) is not None}
        self._desk.pacer.inherit(entry for entry in known if shard_of(entry.account.authority) in held)
        for shard in held:
            self._ours[shard] = anyio.current_time()
            self._keeper.on_loss(shard_lease(shard), partial(self._drop, [shard]))
        log.debug("paces accounts", shards=len(self._ours))

    def _ours_or_elsewhere(self, shard: int) -> bool:
        return shard in self._ours or self._keeper.elsewhere(shard_lease(shard)) is not None

    def _drop(self, shards: Sequence[int]) -> None:
        for shard in shards:
            self._ours.pop(shard, None)
        self._desk.pacer.disown(lambda account: shard_of(account.authority) in shards)
        self._desk.look_again()

    async def tend(self) -> None:
        """Give back what nobody asks for, until cancelled; and forget runs that are over everywhere, when nobody has
        held them for two looks: one that has just begun may ask before its lease is seen here.
        """
        missing: set[str] = set()
        while True:
            await anyio.sleep(TEND_S)
            over, self._over = self._over, []
            for owner in sorted({row.owner for row in self._keeper.rows.values()} - {self._keeper.owner}):
                await self._tell_over(owner, over)
            gone = {run for run in self._desk.pacer.runs() if run_lease(run) not in self._keeper.rows}
            for run in gone & missing:
                self._desk.pacer.forget_run(run, now=self._clock())
            missing = gone - missing
            async with self._taking:
                await self._give_back_idle()

    def job_over(self, run: str, job: str, accounts: Sequence[Account], host: str) -> None:
        """Others are told of some jobs at a time."""
        self._desk.job_over(run, job, accounts, host)
        if any(self._keeper.elsewhere(shard_lease(shard_of(account.authority))) for account in accounts):
            self._over.append((run, job, [(account.authority, account.user) for account in accounts], host))

    async def _tell_over(self, owner: str, over: Sequence[_Over]) -> None:
        theirs = [one for one in over if any(self._holder_of(authority) == owner for authority, _ in one[2])]
        for first in range(0, len(theirs), TOGETHER):
            try:
                body = json.dumps(theirs[first : first + TOGETHER]).encode()
                await self._bus.ask_desk(owner, DESK, "over", body, ANSWER_S)
            except BusError as error:  # it forgets the run with its end
                log.info("another pacer was not told of jobs that are over", orchestrator=owner, error=str(error))
                return

    def _holder_of(self, authority: str) -> str | None:
        return self._keeper.elsewhere(shard_lease(shard_of(authority)))

    async def _give_back_idle(self) -> None:
        now = anyio.current_time()
        pacer = self._desk.pacer
        idle = {shard for shard, asked in self._ours.items() if now - asked >= IDLE_S}
        idle -= (
            {shard_of(account.authority) for account in pacer.accounts() if pacer.is_busy(account)} if idle else set()
        )
        if not idle:
            return
        for shard in idle:
            self._keeper.off_loss(shard_lease(shard))
        self._drop(list(idle))
        try:
            await self._keeper.give_back(shard_lease(shard) for shard in idle)
        except StoreError as error:
            log.warning("shards are not given back: others wait until they have run out", error=str(error))

    # -- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, asks: Sequence[Ask]) -> list[PermitAnswer | None]:
        """Others' first: what one of them does not answer keeps ours from being granted for nothing. Verdicts are taken
        in wherever their pacer answers, whatever becomes of the rest: they may be told again. Raises OvertakenError.
        """
        await self._settle(account for one in asks if (account := _account(one)) is not None)
        asks = [self._unless_stopped(one) for one in asks]
        by_owner, missing = self._dealt(asks)
        answers: list[PermitAnswer | None] = [None] * len(asks)
        for owner, numbers in sorted(by_owner.items(), key=lambda item: item[0] == self._keeper.owner):
            told_of = [n for n in numbers if not missing or isinstance(asks[n], PermitRelease)]
            try:
                told = await self._told_all(owner, [asks[n] for n in told_of])
            except OvertakenError:
                missing = True
                continue
            for n, answer in zip(told_of, told, strict=True):
                answers[n] = answer
        if missing:
            raise OvertakenError
        return answers

    def _dealt(self, asks: Sequence[Ask]) -> tuple[dict[str, list[int]], bool]:
        """Which of them are whose; and has one of them no pacer?"""
        by_owner, missing = defaultdict[str, list[int]](list), False
        for n, one in enumerate(asks):
            try:
                by_owner[self._owner(one)].append(n)
            except OvertakenError:
                missing = True
        return by_owner, missing

    async def _told_all(self, owner: str, asks: Sequence[Ask]) -> list[PermitAnswer | None]:
        if not asks:
            return []
        return await (self._desk.ask(asks) if owner == self._keeper.owner else self._asked(owner, asks))

    def _unless_stopped(self, one: Ask) -> Ask:
        """Another pacer is not asked for what must not be used."""
        if not isinstance(one, Posed) or one.stop is None or shard_of(one.request.account.authority) in self._ours:
            return one
        return stopped(one.stop)

    def _owner(self, one: Ask) -> str:
        """Raises OvertakenError."""
        account = _account(one)
        if account is None or shard_of(account.authority) in self._ours:
            return self._keeper.owner
        owner = self._keeper.elsewhere(shard_lease(shard_of(account.authority)))
        if owner is None:
            raise OvertakenError
        return owner

    async def _asked(self, owner: str, asks: Sequence[Ask]) -> list[PermitAnswer | None]:
        answers = decode_answers(await self._told(owner, "ask", _encoded(asks), ANSWER_S))
        if len(answers) != len(asks):
            raise OvertakenError
        return answers

    async def _told(self, owner: str, verb: str, body: bytes, wait: float) -> bytes:
        try:
            answer = await self._bus.ask_desk(owner, DESK, verb, body, wait)
        except BusError as error:
            log.warning("another pacer does not answer", orchestrator=owner, error=str(error))
            raise OvertakenError from None
        if not answer:
            raise OvertakenError
        return answer

    async def hold(self, holder: str, pose: Callable[[], Posed | PermitAnswer]) -> PermitAnswer:
        end = anyio.current_time() + HOLD_S
        while True:
            posed = pose()
            if isinstance(posed, PermitAnswer):
                return posed
            try:
                return await self._held(holder, posed, pose)
            except OvertakenError:
                if anyio.current_time() + AGAIN_S >= end:
                    raise
            await anyio.sleep(AGAIN_S)

    async def _held(self, holder: str, posed: Posed, pose: Callable[[], Posed | PermitAnswer]) -> PermitAnswer:
        await self._settle([posed.request.account])
        if isinstance(one := self._unless_stopped(posed), PermitAnswer):
            return one
        owner = self._owner(posed)
        if owner == self._keeper.owner:
            return await self._desk.hold(holder, pose)
        try:
            answer = PermitAnswer.decode(await self._told(owner, "hold", _encoded([posed]), HOLD_S + ANSWER_S))
        except ContractError:
            raise OvertakenError from None
        if answer.verdict is PermitVerdict.GRANTED and isinstance(now := pose(), PermitAnswer):
            await self.withdraw(posed.request)  # the attempt has ended meanwhile
            return now
        return answer

    async def withdraw(self, request: PermitRequest) -> None:
        shard = shard_of(request.account.authority)
        if shard in self._ours:
            await self._desk.withdraw(request)
        elif (owner := self._keeper.elsewhere(shard_lease(shard))) is not None:
            await self._told(owner, "withdraw", request.encode(), ANSWER_S)
        else:
            raise OvertakenError

    # -- being asked by others ---------------------------------------------------------------------------------------

    async def answer(self, verb: str, body: bytes) -> bytes:
        """Another orchestrator's questions; nothing where they are not for us."""
        try:
            match verb:
                case "ask":
                    return encode_answers(await self._desk.ask(self._for_us(body)))
                case "hold":
                    [posed] = self._for_us(body)
                    if isinstance(posed, Posed):
                        return (await self._desk.hold(posed.request.holder, lambda: posed)).encode()
                case "withdraw":
                    await self._desk.withdraw(PermitRequest.decode(body))
                    return b"done"
                case "over":
                    for run, job, accounts, host in json.loads(body):
                        known = [Account(authority=authority, user=user) for authority, user in accounts]
                        self._desk.job_over(str(run), str(job), known, str(host))
                    return b"done"
        except OvertakenError:
            return b""
        except (ContractError, ValueError, KeyError, TypeError) as error:
            log.warning("unreadable question of another orchestrator", verb=verb, error=str(error))
        return b""

    def _for_us(self, body: bytes) -> list[Posed | PermitRelease]:
        """Raises OvertakenError where an account of it is not ours; ContractError, ValueError."""
        asks = _decoded(body)
        for one in asks:
            shard = shard_of((one.request if isinstance(one, Posed) else one).account.authority)
            if shard not in self._ours:
                raise OvertakenError
            self._ours[shard] = anyio.current_time()
        return asks


def _account(one: Ask) -> Account | None:
    if isinstance(one, PermitAnswer):
        return None
    return one.account if isinstance(one, PermitRelease) else one.request.account


class _PosedRow(BaseModel):
    """A request on its way to another pacer."""

    model_config = ConfigDict(strict=True, extra="forbid")

    request: str
    failures: int
    window: float
    began: float
    lease: tuple[str, str] | None


class _ReleaseRow(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    release: str


_ROWS: TypeAdapter[list[_PosedRow | _ReleaseRow]] = TypeAdapter(list[_PosedRow | _ReleaseRow])


def _encoded(asks: Sequence[Ask]) -> bytes:
    rows: list[_PosedRow | _ReleaseRow] = []
    for one in asks:
        if isinstance(one, Posed):
            text, budget = one.request.encode().decode(), one.budget
            rows.append(
                _PosedRow(
                    request=text, failures=budget.failures, window=budget.window_s, began=one.began, lease=one.run_lease
                )
            )
        elif isinstance(one, PermitRelease):
            rows.append(_ReleaseRow(release=one.encode().decode()))
    return _ROWS.dump_json(rows)


def _decoded(body: bytes) -> list[Posed | PermitRelease]:
    """Raises ContractError, ValueError."""
    return [
        PermitRelease.decode(row.release.encode())
        if isinstance(row, _ReleaseRow)
        else Posed(
            PermitRequest.decode(row.request.encode()), Budget(row.failures, row.window), row.began, None, row.lease
        )
        for row in _ROWS.validate_json(body)
    ]
