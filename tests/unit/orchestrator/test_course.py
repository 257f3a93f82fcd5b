"""One run in its holder's hands: what it does for what it is told, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from zoneinfo import ZoneInfo

import anyio
import anyio.lowlevel
import pytest

from orchestrator.campaign_times import Once, Window
from orchestrator.controller import RunController
from orchestrator.course import Course, OrderError
from orchestrator.run_plan import Progress
from orchestrator.run_state import Act, Hold, RunState, Standing
from orchestrator.store.leases import FencedError
from orchestrator.windows import phase_at

ZoneInfo("UTC")  # read from the disk here, where no loop waits for it


class Rows:
    def __init__(self) -> None:
        self.story: list[str] = []
        self.broken = False
        self.taken_over = False

    async def update(self, run: str, *, standing: Standing | None = None, finished_at: float | None = None) -> None:
        await anyio.lowlevel.checkpoint()
        if self.broken:
            raise OSError("disk full")
        if self.taken_over:
            raise FencedError(f"run {run} has been taken over")
        assert standing is not None
        assert (finished_at is not None) == (standing.state in ("paused", "cancelled", "finished", "error"))
        self.story.append(standing.state.value)


class Controller:
    """As far as a course looks at one."""

    def __init__(self) -> None:
        self.stopping = anyio.Event()
        self.cutting = anyio.Event()
        self.gave_up = ""

    def wake(self) -> None:
        pass

    def progress(self) -> Progress:
        return Progress(1, 0, {})


class Work:
    """Stints that last until they are stopped, or until the test lets them finish."""

    def __init__(self) -> None:
        self.stints = 0
        self.ended: list[str] = []
        self.done = anyio.Event()
        self.under_way = anyio.Event()
        self.drained = anyio.Event()
        self.drained.set()
        self.gives_up = ""
        self.controller = Controller()

    async def stint(self, ready: Callable[[RunController], None]) -> bool:
        self.stints += 1
        self.controller = Controller()
        ready(cast("RunController", self.controller))
        self.under_way.set()
        if self.gives_up:
            self.controller.gave_up = self.gives_up
            return False
        async with anyio.create_task_group() as tasks:
            for event in (self.done, self.controller.stopping):
                tasks.start_soon(self._until, event, tasks.cancel_scope)
        await self.drained.wait()
        self.under_way = anyio.Event()
        return self.done.is_set()

    @staticmethod
    async def _until(event: anyio.Event, scope: anyio.CancelScope) -> None:
        await event.wait()
        scope.cancel()

    async def end(self, standing: Standing) -> None:
        self.ended.append(standing.text)


class Driven:
    def __init__(self, standing: Standing | None = None) -> None:
        self.rows, self.work = Rows(), Work()
        self.now, self.windows = 7.0, list[Window]()
        begun = standing or Standing(RunState.QUEUED)
        self.course = Course("r", begun, self.rows, lambda: self.now, lambda now: phase_at(self.windows, now))
        self.came_to: Standing | None = None

    async def drive(self) -> None:
        self.came_to = await self.course.drive(self.work)


async def settled() -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def test_from_beginning_to_end() -> None:
    run = Driven()
    run.work.done.set()
    await run.drive()
    assert run.came_to == Standing(RunState.FINISHED)
    assert run.rows.story == ["running", "finished"]


async def test_paused_and_resumed_in_stints() -> None:
    run = Driven()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.drive)
        await settled()
        await run.course.order(Act.PAUSE, by="alice")
        await settled()
        assert run.course.standing.state is RunState.PAUSED
        assert run.work.stints == 1
        with pytest.raises(OrderError, match="keymuster resume r"):
            await run.course.order(Act.GO_ON)
        await run.course.order(Act.RESUME)
        await settled()
        assert run.work.stints == 2
        run.work.done.set()
    assert run.rows.story == ["running", "pausing", "paused", "resuming", "running", "finished"]


async def test_one_that_was_taken_over_a_moment_ago_is_left_without_a_word() -> None:
    run = Driven(Standing(RunState.RUNNING))
    run.rows.taken_over = True
    await run.course.leave(Hold.RESTART)
    with pytest.raises(FencedError):
        await run.course.order(Act.CANCEL)


async def test_resumed_while_it_still_drains() -> None:
    run = Driven()
    run.work.drained = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.drive)
        await settled()
        await run.course.order(Act.PAUSE)
        await run.course.order(Act.RESUME)
        await settled()
        assert run.work.stints == 1, "what is in flight ends first"
        run.work.drained.set()
        await settled()
        assert run.work.stints == 2
        run.work.done.set()
    assert run.rows.story == ["running", "pausing", "resuming", "running", "finished"]


async def test_cancelled_in_each_state() -> None:
    paused = Standing(RunState.PAUSED, Hold.HAND, "alice", "", 5.0)
    for standing in (Standing(RunState.QUEUED), paused, Standing(RunState.CANCELLING, by="bob", since=3.0)):
        run = Driven(standing)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.drive)
            await settled()
            if standing.state is not RunState.CANCELLING:
                await run.course.order(Act.CANCEL, by="bob")
        assert run.came_to is not None
        assert run.came_to.state is RunState.CANCELLED
        assert len(run.work.ended) == 1
        assert run.rows.story[-1] == "cancelled"


async def test_leaving_a_run() -> None:
    run = Driven()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.drive)
        await settled()
        await run.course.leave()
    assert run.came_to == Standing(RunState.PAUSED, Hold.INTERRUPT, since=7.0)


async def test_leaving_one_that_is_paused_by_hand_leaves_it_so() -> None:
    by_hand = Standing(RunState.PAUSED, Hold.HAND, "alice", "", 5.0)
    run = Driven(by_hand)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.drive)
        await settled()
        assert run.came_to is None
        await run.course.leave()
    assert run.came_to == by_hand
    assert run.work.stints == 0


async def test_a_run_without_appliances_gives_up() -> None:
    run = Driven()
    run.work.gives_up = "nobody there"
    await run.drive()
    assert run.came_to == Standing(RunState.PAUSED, Hold.ALONE, why="nobody there", since=7.0)


@pytest.mark.parametrize(("told", "left"), [(None, RunState.ERROR), (Act.PAUSE, RunState.PAUSED)])
async def test_a_bug_leaves_an_error_but_a_pause_stays_one(
    told: Act | None, left: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Driven()

    async def breaks(ready: Callable[[RunController], None]) -> bool:
        ready(cast("RunController", run.work.controller))
        if told is not None:
            await run.course.order(told)
        raise ZeroDivisionError

    monkeypatch.setattr(run.work, "stint", breaks)
    with pytest.RaisesGroup(ZeroDivisionError):
        await run.drive()
    assert run.course.standing.state is left


async def test_a_pause_is_in_force_though_it_cannot_be_written() -> None:
    run = Driven()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.drive)
        await settled()
        run.rows.broken = True
        with pytest.raises(OSError, match="disk full"):
            await run.course.order(Act.PAUSE)
        assert run.work.controller.stopping.is_set()
        run.rows.broken = False
        await settled()
        assert run.rows.story == ["running", "paused"]
        assert run.course.standing.hold is Hold.HAND
        tasks.cancel_scope.cancel()


# -- windows -----------------------------------------------------------------------------------------------------------


def windowed(start: int, stop_new: int, end: int) -> Driven:
    """A run with a window of those minutes after 1970; it is looked at without waiting."""

    def at(minute: int) -> str:
        return f"1970-01-01T00:{minute:02}"

    run = Driven()
    run.windows = [Once(start=at(start), stop_new=at(stop_new), end=at(end), time_zone="UTC")]
    return run


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.course.LOOK_S", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_a_run_waits_for_its_window_stops_with_it_and_is_cut_off() -> None:
    run = windowed(1, 2, 3)
    run.work.drained = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.drive)
        await anyio.sleep(0.05)
        assert run.course.standing.hold is Hold.WINDOW
        assert run.course.progress.note.endswith("waits for its window, 1970-01-01 00:01 UTC (1970-01-01T00:01:00Z)")
        assert run.work.stints == 0
        run.now = 60.0
        await run.work.under_way.wait()
        assert run.course.standing.state is RunState.RUNNING
        run.now = 120.0
        await anyio.sleep(0.05)
        assert run.work.controller.stopping.is_set()
        assert not run.work.controller.cutting.is_set(), "what is in flight has another minute"
        run.now = 180.0
        await run.work.controller.cutting.wait()
        run.work.drained.set()
    assert run.came_to is not None
    assert (run.came_to.state, run.came_to.hold) == (RunState.PAUSED, Hold.WINDOW)
    assert run.rows.story == ["paused", "resuming", "running", "pausing", "paused"]


@pytest.mark.usefixtures("impatient")
async def test_by_hand_goes_before_the_window() -> None:
    run = windowed(1, 2, 3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.drive)
        await anyio.sleep(0.03)
        await run.course.order(Act.PAUSE, by="alice")
        run.now = 60.0
        await anyio.sleep(0.05)
        assert run.course.standing.hold is Hold.HAND
        assert run.work.stints == 0
        await run.course.order(Act.RESUME)
        await run.work.under_way.wait()
        run.work.done.set()
    assert run.came_to == Standing(RunState.FINISHED)


@pytest.mark.usefixtures("impatient")
async def test_resumed_outside_its_window_it_waits_for_that() -> None:
    run = windowed(1, 2, 3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run.drive)
        await anyio.sleep(0.03)
        await run.course.order(Act.RESUME)
        await anyio.sleep(0.03)
        assert run.course.standing.hold is Hold.WINDOW
        await run.course.leave()
    assert run.came_to is not None
    assert run.came_to.hold is Hold.WINDOW
