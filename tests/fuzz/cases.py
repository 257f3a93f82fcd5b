"""Cases: logins to servers whose messages are changed at some point, and what may come of them.

Whatever a server sends, an attempt ends in evidence that the contract can carry: no exception, no end but by itself or
by its deadline, and never PASSED for a password that is wrong, or a
fault of our own. A case is a number under a seed, and can be seen again.
"""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from appliance.contract import PEER_TEXT_LIMIT, Evidence, Failure, Technology
from appliance.vault.credential import Credential
from tests.fuzz.smb_peer import changing_smb_host
from tests.fuzz.ssh_peer import changing_ssh_server
from tests.peers.attempt import Attempt, attempt, make_job
from tests.unit.login.ssh_servers import PASSWORD
from tests.unit.targets.targets_lab import running

DEADLINE_S = 1.0
"""Of an attempt: a changed message often leaves both sides waiting for each other."""
GRACE_S = 10.0
"""What a case may take beyond it, on a machine under load, before it counts as one that does not end."""
AT_ONCE = 16
FACT_LIMIT = 4 * PEER_TEXT_LIMIT
UNENDED = "its deadline"
WRONG = "Wrong-Pw-1"

Reach = Callable[[random.Random], AbstractAsyncContextManager[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Peer:
    technology: Technology
    password: str
    reach: Reach


@dataclass(slots=True)
class Found:
    ended: Counter[str] = field(default_factory=Counter)
    """Cases by their reason."""
    wrong: list[str] = field(default_factory=list)
    """What must not be."""


@asynccontextmanager
async def peer_of(technology: Technology, directory: Path) -> AsyncIterator[Peer]:
    if technology is Technology.UNIX:
        yield Peer(technology, PASSWORD, changing_ssh_server)
        return
    estate = '[[hosts]]\ntechnology = "windows"\nnetwork = "127.93.0.0/24"\n'
    async with running(estate, directory) as (ready, world):
        [(address, host)] = world.estate.hosts.items()
        password = world.estate.secrets[host.secret].material.password
        yield Peer(technology, password, lambda rng: changing_smb_host(address, ready.smb_port, rng))


async def search(peer: Peer, seed: int, numbers: Iterable[int]) -> Found:
    """Try these cases, some at once."""
    found, left = Found(), iter(numbers)

    async def one_after_the_other() -> None:
        for number in left:
            await _case(peer, seed, number, found)

    async with anyio.create_task_group() as tasks:
        for index in range(AT_ONCE):
            tasks.start_soon(one_after_the_other, name=f"fuzz: {peer.technology} {index}")
    return found


async def _case(peer: Peer, seed: int, number: int, found: Found) -> None:
    rng = random.Random(f"{peer.technology} {seed} {number}")  # noqa: S311 - to be seen again
    right = rng.random() < 0.5
    name = f"{peer.technology} --seed {seed} --only {number}"
    result: Attempt | None = None
    try:
        with anyio.fail_after(DEADLINE_S + GRACE_S):
            async with peer.reach(rng) as (address, port):
                with anyio.move_on_after(DEADLINE_S):
                    job = make_job(peer.technology, "scan", port, address=address)
                    result = await attempt(job, Credential(password=peer.password if right else WRONG))
    except TimeoutError:
        found.wrong.append(f"{name}: does not end at its deadline")
        return
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        found.wrong.append(f"{name}: raises\n{traceback.format_exc()}")
        return
    found.ended[UNENDED if result is None else result.reason] += 1
    if result is not None and (why := _fault(result, right=right)):
        found.wrong.append(f"{name}: {why}")


def _fault(result: Attempt, *, right: bool) -> str:
    if result.reason == "PASSED" and not right:
        return "PASSED with a wrong password"
    if result.reason == "INTERNAL":
        return f"taken for a fault of our own: {result.result}"
    if any(len(value) > FACT_LIMIT for value in result.facts.values()):
        return f"a fact of more than {FACT_LIMIT} characters"
    if isinstance(result.result, Failure):
        failure = result.result
        if len(failure.text.encode()) > PEER_TEXT_LIMIT:
            return f"a text of more than {PEER_TEXT_LIMIT} bytes"
        facts = {**result.facts, **failure.facts}
        Evidence(phase=failure.phase, signal=failure.signal, text=failure.text, facts=facts).encode()
    return ""
