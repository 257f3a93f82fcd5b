"""One run in the hands of its holder, from the first attempt to its end: what it was told, and what it does for that.

A run goes in stints: attempts go out until it is finished or told to stop, and what is in flight ends. Between two
stints nothing of it is left in memory but this: the next one begins from the store, as it would after a crash. So there
is one way to go on with a run, whatever had stopped it.

An order is in force before it is written down where it stops something, and written down before it is in force where
it lets something go on: a crash in between leaves less under way than somebody was told, never more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import anyio

from appliance.logs import get_logger
from appliance.reasons import Status
from orchestrator.controller import RunController
from orchestrator.run_plan import Progress
from orchestrator.run_state import Act, Hold, NotAllowed, RunState, Standing, step
from orchestrator.store.leases import FencedError
from orchestrator.windows import Closed, Open

AT_REST = (RunState.PAUSED, RunState.FINISHED, RunState.CANCELLED, RunState.ERROR)
LOOK_S = 30.0
WRITE_S = 5.0
"""For the last word about a run that fails."""

log = get_logger()


class OrderError(Exception):
    """The run cannot be told that now; the text says why, and what to do instead."""


class RunRows(Protocol):
    """Where a run's standing is remembered. Raises StoreError."""

    async def update(self, run: str, *, standing: Standing | None = None, finished_at: float | None = None) -> None: ...


class Stints(Protocol):
    """What a course has done for it."""

    async def stint(self, ready: Callable[[RunController], None]) -> bool:
        """Go on from where the store says the run came to; True when it has come to its end."""
        ...

    async def end(self, standing: Standing) -> None:
        """Give every target that has no outcome the one of a cancelled run."""
        ...


class Course:
    """`windows`: when it may work; None where it always may."""

    def __init__(
        self,
        run: str,
        standing: Standing,
        rows: RunRows,
        clock: Callable[[], float],
        windows: Callable[[float], Open | Closed | None] = lambda _now: None,
    ) -> None:
        self.run = run
        self.standing = standing
        self.controller: RunController | None = None
        self._rows = rows
        self._clock = clock
        self._windows = windows
        self._lock = anyio.Lock()
        self._changed = anyio.Event()
        self._leaving = False
        self._last = Progress(0, 0, {})

    # -- what it is told ---------------------------------------------------------------------------------------------

    async def order(self, act: Act, *, hold: Hold = Hold.HAND, by: str = "", why: str = "") -> Standing:
        """In force and durable when it returns. Raises OrderError."""
        async with self._lock:
            new = step(self.run, self.standing, act, at=self._clock(), hold=hold, by=by, why=why)
            if isinstance(new, NotAllowed):
                raise OrderError(new.text)
            changed = new != self.standing
            if new.state in (RunState.PAUSING, RunState.CANCELLING):
                self.standing = new
                if self.controller is not None:
                    self.controller.stopping.set()
                    self.controller.wake()
            if changed:
                finished_at = self._clock() if new.state in AT_REST else None
                await self._rows.update(self.run, standing=new, finished_at=finished_at)
                log.info("run", run=self.run, state=new.text)
            self.standing = new
            self._notify()
        return new

    def refusal(self, act: Act) -> str:
        """Why it cannot be told that now; empty if it can."""
        new = step(self.run, self.standing, act, at=self._clock())
        return new.text if isinstance(new, NotAllowed) else ""

    async def leave(self, hold: Hold = Hold.INTERRUPT) -> None:
        """Whoever drives it is to go: what is in flight ends, and the rest is for `--resume`, or for the next `serve`
        (RESTART).
        """
        self._leaving = True
        self._notify()
        try:
            await self.order(Act.PAUSE, hold=hold)
        except (OrderError, FencedError) as error:  # FencedError: who has taken it over leaves it when he likes
            log.info("no need to interrupt", run=self.run, why=str(error))

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    # -- as others see it --------------------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress:
        """With a word on why nothing new goes out."""
        if self.controller is not None:
            self._last = self.controller.progress()
        note = "" if self.standing.state in (RunState.QUEUED, RunState.RUNNING) else self.standing.text
        return replace(self._last, note=note)

    def came_to(self, planned: int, by_status: dict[Status, int]) -> None:
        """What the store says, while nothing is under way."""
        self._last = Progress(planned, 0, by_status)

    # -- its life ----------------------------------------------------------------------------------------------------

    async def drive(self, stints: Stints) -> Standing:
        """To the run's end, or until it is to be left; what it came to."""
        try:
            while not self._is_done:
                await self._next(stints)
        except anyio.get_cancelled_exc_class():
            raise  # the store says that it is under way, as after a crash: whoever comes next goes on with it
        except BaseException:
            with anyio.CancelScope(shield=True), anyio.move_on_after(WRITE_S):
                await self.order(Act.FAIL)
            raise
        return self.standing

    @property
    def _is_done(self) -> bool:
        standing = self.standing
        if standing.state.over or (standing.state is RunState.PAUSED and self._leaving):
            return True
        if standing.state is not RunState.PAUSED or standing.hold is Hold.HAND:
            return False
        phase = self._windows(self._clock())
        over = isinstance(phase, Closed) and phase.for_good
        return standing.hold is not Hold.WINDOW or over

    async def _next(self, stints: Stints) -> None:
        changed = self._changed
        match self.standing.state:
            case RunState.CANCELLING:
                await stints.end(self.standing)
                await self._own(Act.CANCELLED)
            case RunState.PAUSED:
                await self._wait(changed)
            case RunState.PAUSING:  # a pause that came when nothing was in flight yet, or a process before us left
                await self._own(Act.DRAINED)
            case _:
                if isinstance(phase := self._windows(self._clock()), Closed):
                    await self._own(Act.PAUSE, hold=Hold.WINDOW, why=phase.text)
                elif await self._own(Act.BEGIN):
                    await self._stint(stints)

    async def _wait(self, changed: anyio.Event) -> None:
        """For an order or, where the window holds it, for that to open."""
        if self.standing.hold is not Hold.WINDOW:
            await changed.wait()
            return
        phase = self._windows(self._clock())
        if not isinstance(phase, Closed):
            await self._own(Act.GO_ON)
            return
        with anyio.move_on_after(self._until(phase.opens)):
            await changed.wait()

    def _until(self, at: float | None) -> float:
        """Seconds to sleep at most: the clock may be set, and a machine may have slept."""
        return LOOK_S if at is None else min(max(at - self._clock(), 0.05), LOOK_S)

    async def _at(self, moment: float) -> None:
        while moment > self._clock():  # noqa: ASYNC110 - for the clock, which may be set meanwhile
            await anyio.sleep(self._until(moment))

    async def _keep_window(self) -> None:
        """While attempts go out: until the window is over, and what is in flight has been cut off."""
        phase = self._windows(self._clock())
        while isinstance(phase, Open):
            await anyio.sleep(self._until(phase.until))
            phase = self._windows(self._clock())
        if phase is None:
            return
        await self._own(Act.PAUSE, hold=Hold.WINDOW, why=phase.text)
        await self._at(phase.cut_at)
        if self.controller is not None:
            self.controller.cutting.set()

    async def _stint(self, stints: Stints) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_window, name=f"window of {self.run}")
                finished = await stints.stint(self._ready)
                tasks.cancel_scope.cancel()
            gave_up = self.controller.gave_up if self.controller is not None else ""
        finally:
            self._last, self.controller = self.progress, None
        if finished:
            await self._own(Act.FINISH)
            return
        if gave_up and self.standing.state is RunState.RUNNING:
            await self._own(Act.PAUSE, hold=Hold.ALONE, why=gave_up)
        await self._own(Act.DRAINED)

    async def _own(self, act: Act, *, hold: Hold = Hold.HAND, why: str = "") -> bool:
        """An order of the course's own; False where somebody else's came first, which decides what is next."""
        try:
            await self.order(act, hold=hold, why=why)
        except OrderError:
            return False
        return True

    def _ready(self, controller: RunController) -> None:
        self.controller = controller
        if self.standing.state is not RunState.RUNNING:  # it was told otherwise meanwhile
            controller.stopping.set()
