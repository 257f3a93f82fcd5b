"""An asyncio loop on a virtual clock: no sockets, no threads, no waiting. The same seed gives the same schedule.

Where several callbacks may run, the seed chooses where in their queue to go on; where none may, the clock jumps to the
next timer. When there is none of those either, the program can never go on, and `Stuck` says so.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar, cast

from anyio._backends import _asyncio as backend

T = TypeVar("T")


class _NumberedTask(asyncio.Task[Any]):
    """anyio keeps tasks in sets and cancels them in the order of these: by number, not by where they lie in memory."""

    def __init__(self, *args: Any, loop: VirtualLoop, **kwargs: Any) -> None:
        self._number = next(loop.numbers)
        super().__init__(*args, loop=loop, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _NumberedScope(backend.CancelScope):
    """The same for scopes inside scopes."""

    __slots__ = ("_number",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(cast("VirtualLoop", asyncio.get_running_loop()).numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class Stuck(AssertionError):
    """Everybody waits, and nothing will ever happen."""


class VirtualLoop(asyncio.BaseEventLoop):
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._rng = rng
        self._now = 0.0
        self.numbers = itertools.count()
        self.steps = 0

    def time(self) -> float:
        return self._now

    def _process_events(self, event_list: Any) -> None:
        """There are no events but timers."""

    def _write_to_self(self) -> None:
        """Nobody waits in a selector."""

    def _run_once(self) -> None:
        self._due()
        if not self._ready:
            if not self._scheduled:
                raise Stuck("every task waits for something that cannot happen")
            self._now = max(self._now, self._scheduled[0].when())
            self._due()
        if not self._ready:
            return
        if len(self._ready) > 1:
            self._ready.rotate(-self._rng.randrange(len(self._ready)))
        handle = self._ready.popleft()
        if not handle.cancelled():
            self.steps += 1
            handle._run()

    def _due(self) -> None:
        while self._scheduled and (self._scheduled[0].cancelled() or self._scheduled[0].when() <= self._now):
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False  # type: ignore[attr-defined]  # what BaseEventLoop does with one that leaves the heap
            if not handle.cancelled():
                self._ready.append(handle)


def run(story: Callable[[], Awaitable[T]], rng: Random) -> tuple[T, VirtualLoop]:
    """Run a coroutine function to its end; its result, and the loop for its clock and its count of steps."""
    loop = VirtualLoop(rng)
    loop.set_task_factory(lambda its_loop, coro, **kwargs: _NumberedTask(coro, loop=its_loop, **kwargs))
    asyncio.set_event_loop(loop)
    gc.disable()  # it ends forgotten generators on the loop, at times that depend on what ran before
    real_scope, backend.CancelScope = backend.CancelScope, _NumberedScope  # type: ignore[misc] # for this loop's time
    try:

        async def main() -> T:
            return await story()

        result = loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_asyncgens())
        return result, loop
    finally:
        _drain(loop)
        backend.CancelScope = real_scope  # type: ignore[misc] # as above
        asyncio.set_event_loop(None)
        loop.close()
        gc.enable()


def _drain(loop: VirtualLoop) -> None:
    """End what a story has left behind, so that nothing of it reaches the next one."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
