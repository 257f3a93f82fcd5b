"""SIGTERM and Ctrl-C: the first drains, the second aborts."""

from __future__ import annotations

import signal

import anyio
from anyio.abc import TaskStatus


async def drain_on_signal(
    draining: anyio.Event, abort: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Set `draining` at the first signal, cancel `abort` at the second."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            if draining.is_set():
                abort.cancel()
            draining.set()
