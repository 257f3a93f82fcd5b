"""The state directory in this process's hands, or who has it in theirs."""

from __future__ import annotations

from dataclasses import replace

import anyio
from anyio import to_thread

from orchestrator.cli.arguments import Where
from orchestrator.cli.errors import BadInput
from orchestrator.state_dir import Held, HolderInfo, StateDir

ANNOUNCE_S = 20.0
"""How long a holder that is just starting or ending is waited for."""


async def acquire(where: Where) -> Held | HolderInfo:
    """Hold the state directory, or learn who does and where it listens. Raises StateDirError, BadInput."""
    state, directory = where.state, StateDir(where.state)
    found = await to_thread.run_sync(directory.acquire)
    if isinstance(found, HolderInfo) and found.url is None and where.nats is not None:
        return replace(found, orchestrator=await to_thread.run_sync(directory.name))
    with anyio.move_on_after(ANNOUNCE_S):
        while isinstance(found, HolderInfo) and found.url is None:
            await anyio.sleep(0.1)
            found = await to_thread.run_sync(directory.acquire)
    if isinstance(found, HolderInfo) and found.url is None:
        who = f"process {found.pid}" if found.pid else "another process"
        raise BadInput(
            f"{who} holds the state directory {state} and does not listen there. If it is `keymuster serve` or a run "
            "on a NATS server of yours, name that as it does (--nats, --nats-seed, --nats-ca); else wait until it has "
            "ended, or name another directory with --state"
        )
    return found
