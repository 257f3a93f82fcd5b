"""A child process that holds credentials: it dies with us, and hears from us over a pipe that it inherits."""

from __future__ import annotations

import sys
from socket import socketpair

import anyio
from anyio.abc import Process

from appliance.channel import Channel
from appliance.launch import launch_argv


async def start_child(module: str) -> tuple[Process, Channel]:
    """`python -m MODULE FD`, and our end of its channel. From the main thread only (`launch_argv`)."""
    ours, theirs = socketpair()
    ours.setblocking(False)
    try:
        with theirs:
            argv = launch_argv([sys.executable, "-m", module, str(theirs.fileno())])
            process = await anyio.open_process(
                argv, stdin=None, stdout=None, stderr=None, pass_fds=[theirs.fileno()], start_new_session=True
            )
        return process, await Channel.over(ours)
    except BaseException:
        ours.close()
        raise
