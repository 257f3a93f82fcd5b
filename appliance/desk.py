"""What a process's scans ask the pacer, gathered: a crowd shares messages, commits of the ledger and answers.

A lone question goes out at once. What comes up while a message is on its way goes in the next one, which leaves when a
quarter of the logins in session wait, or GATHER_S after the one before was answered: few logins wait for nobody. What
concerns a directory's account never waits, since its logins follow one upon the other and a campaign waits with them;
whatever waits is taken along.

With this, reports that go together (`worker`) and jobs that are posted in one go (`bus.posting`), a target's CPU fell
from 0.68 to 0.36 ms in the orchestrator, 0.09 to 0.05 in nats-server and 0.38 to 0.30 in the scan processes (10,000
targets, 128 scans in flight in each of two: `python -m tests.bench.scale --targets 10000`). Waiting for enough saves a
whole SSH login 0.44 ms of the orchestrator's CPU and 0.17 of nats-server's (`python -m tests.bench.product`).

A request that may not be granted yet is asked again by itself, to be held by the pacer (`ApplianceBus.permit`). A
verdict that finds no pacer is kept, and told again when its scan has gone on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from appliance.access import AccessAnswer, AccessRequest
from appliance.bus import ApplianceBus, NoPacer
from appliance.contract import PermitAnswer, PermitAsk, PermitRelease, PermitRequest, PermitVerdict
from appliance.logs import get_logger

TOGETHER = 256
GATHER_S = 0.05
PART = 4
ANSWER_S = 5.0
"""For the pacer's answer to one message: it decides at once, but a commit may wait for a slow disk."""
RELEASE_TRIES = 3
RELEASE_PAUSE_S = 0.2
LATE_S, LATE_PAUSE_S = 30.0, 1.0
"""A verdict that nobody has taken in is told for so long: another orchestrator may take over from one that has died
(some 12 s), and what was a good login is no failure then.
"""

log = get_logger()


@dataclass(eq=False, slots=True)
class _Question:
    ask: PermitAsk
    answered: anyio.Event = field(default_factory=anyio.Event)
    answer: PermitAnswer | None = None
    failure: NoPacer | None = None
    dropped: bool = False
    """Whoever asked has gone before it was sent."""


class GatheringDesk:
    """Implements `PermitDesk`. Made by `open_desk`."""

    def __init__(self, bus: ApplianceBus) -> None:
        self._bus = bus
        self._in_session: set[str] = set()
        """The holder tokens of logins that have, or wait for, a permit."""
        self._waiting: deque[_Question] = deque()
        self._wake = anyio.Event()
        self._go = anyio.Event()
        """Set when there is no more to wait for."""
        self._late: deque[tuple[PermitRelease, float]] = deque()
        """Verdicts that nobody has taken in yet, and until when they are told."""
        self._is_late = anyio.Event()

    async def permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        """Raises NoPacer when there is no answer within `wait` seconds."""
        self._in_session.add(request.holder)
        granted = False
        try:
            answer = await self._permit(request, wait)
            granted = answer.verdict is PermitVerdict.GRANTED
            return answer
        finally:
            if not granted:
                self._in_session.discard(request.holder)

    async def _permit(self, request: PermitRequest, wait: float) -> PermitAnswer:
        end = anyio.current_time() + wait
        answer = await self._put(request, wait)
        if answer is None:
            raise NoPacer("no permit: the pacer has answered nothing")
        if answer.verdict is not PermitVerdict.WAIT:
            return answer
        return await self._bus.permit(request, max(end - anyio.current_time(), 0.0))

    async def release(self, release: PermitRelease) -> None:
        """Returns when the pacer has taken the verdict in. Raises NoPacer, or is cancelled: then the verdict is told
        for LATE_S more; a permit whose verdict nobody hears counts as a failure when it expires.
        """
        told = False
        try:
            for left in reversed(range(RELEASE_TRIES)):
                try:
                    await self._put(release, ANSWER_S)
                    told = True
                    return
                except NoPacer:
                    if not left:
                        raise
                await anyio.sleep(RELEASE_PAUSE_S)
        finally:
            self._in_session.discard(release.holder)
            if not told:
                self._late.append((release, anyio.current_time() + LATE_S))
                self._is_late.set()

    async def access(self, request: AccessRequest, wait: float) -> AccessAnswer:
        return await self._bus.access(request, wait)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while some := self._next():
                await self._send(some)
                self._go = anyio.Event()
                if not self._pressing:
                    with anyio.move_on_after(GATHER_S):
                        await self._go.wait()

    async def tell_late(self) -> None:
        """Tell verdicts that nobody has taken in, until cancelled."""
        while True:
            await self._is_late.wait()
            self._is_late = anyio.Event()
            while self._late:
                await anyio.sleep(LATE_PAUSE_S)
                await self._tell_all_late()

    async def _tell_all_late(self) -> None:
        late = list(self._late)
        self._late.clear()
        async with anyio.create_task_group() as tasks:
            for release, until in late:
                tasks.start_soon(self._tell_one_late, release, until, name="desk: a late verdict")

    async def _tell_one_late(self, release: PermitRelease, until: float) -> None:
        try:
            await self._put(release, ANSWER_S)
        except NoPacer:
            if anyio.current_time() < until:
                self._late.append((release, until))
            else:
                log.warning(
                    "permit not returned: it counts as a failed logon", job=release.job, attempt=release.attempt
                )

    @property
    def _pressing(self) -> bool:
        return self._are_enough or any(one.ask.account.is_directory for one in self._waiting)

    @property
    def _are_enough(self) -> bool:
        return len(self._waiting) >= len(self._in_session) // PART

    async def _put(self, ask: PermitAsk, wait: float) -> PermitAnswer | None:
        question = _Question(ask)
        self._waiting.append(question)
        self._wake.set()
        if self._are_enough or ask.account.is_directory:
            self._go.set()
        try:
            with anyio.move_on_after(wait):
                await question.answered.wait()
        finally:
            question.dropped = isinstance(ask, PermitRequest)  # a verdict is told whoever still listens
        if not question.answered.is_set():
            raise NoPacer(f"no answer about a permit in {wait:g} s")
        if question.failure is not None:
            raise question.failure
        return question.answer

    def _next(self) -> list[_Question]:
        some: list[_Question] = []
        while self._waiting and len(some) < TOGETHER:
            question = self._waiting.popleft()
            if not question.dropped:
                some.append(question)
        return some

    async def _send(self, questions: list[_Question]) -> None:
        try:
            answers = await self._bus.ask([question.ask for question in questions], ANSWER_S)
            for question, answer in zip(questions, answers, strict=True):
                question.answer = answer
        except NoPacer as error:
            for question in questions:
                question.failure = error
        for question in questions:
            question.answered.set()


@asynccontextmanager
async def open_desk(bus: ApplianceBus) -> AsyncIterator[GatheringDesk]:
    """A desk at work; it outlives the scans that ask there, so that an aborted one can still give its permit back."""
    desk = GatheringDesk(bus)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.run, name="desk: permits")
        tasks.start_soon(desk.tell_late, name="desk: late verdicts")
        yield desk
        tasks.cancel_scope.cancel()
