"""The hub's side of the shards: how they are begun, told, counted and ended, and that none of them is missing.

They are forked before the hub has a loop or a thread, when the estate has been built: what nobody writes to is in
memory once. The hub holds none of their sockets. It answers for directories, in the order in which it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

import anyio

from targets.directory import Claim
from targets.estate import AccountKey, Estate, Technology
from targets.host_world import HostWorld
from targets.metrics import Tally
from targets.outages import Outage
from targets.servers import Change
from targets.shards import shard
from targets.shards.link import Link, LinkLost
from targets.shards.steering import Doors, shard_of
from targets.spec import EstateError

HOSTS_PER_SHARD = 8192
"""An estate of fewer hosts is one process; a larger one has a shard for each so many, if there are cores for them."""
UP_S = 30.0
END_S = 3.0
"""Seconds that a shard has to cut its connections and tell its counters."""


class ShardError(EstateError):
    """A shard has ended, or has been given what is another's. The lab cannot go on: its hosts are gone."""


def shards_for(hosts: int, cores: int) -> int:
    """0: the hosts are served by the one process that there is."""
    return 0 if hosts <= HOSTS_PER_SHARD else min(cores, -(-hosts // HOSTS_PER_SHARD))


@dataclass(slots=True)
class Child:
    number: int
    pid: int
    control: socket.socket
    reaped: bool = False

    async def wait(self) -> None:
        """Until it has ended."""
        watched = os.pidfd_open(self.pid)
        try:
            await anyio.wait_readable(watched)
        finally:
            os.close(watched)

    def end(self) -> None:
        """At once, if it runs."""
        if not self.reaped:
            self.control.close()
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.reaped = True


def fork(estate: Estate, doors: Sequence[Doors]) -> Sharded:
    """A shard for each of the doors, which are closed here. Call it before there is a loop or a thread."""
    ports: Mapping[Technology, int] = {"unix": doors[0].ssh_port, "windows": doors[0].smb_port}
    gc.collect()
    gc.freeze()  # or the first collection in each process would write to every object, and copy it
    gc.enable()
    sys.stdout.flush()
    sys.stderr.flush()
    children: list[Child] = []
    for number, mine in enumerate(doors):
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if not pid:
            for other in (ours, *(child.control for child in children)):
                other.close()
            for other_doors in doors:
                if other_doors is not mine:
                    other_doors.close()
            _be_shard(estate, mine, theirs, number, len(doors))
        theirs.close()
        ours.setblocking(False)
        children.append(Child(number, pid, ours))
    for each in doors:
        each.close()
    return Sharded(children, ports)


def _be_shard(estate: Estate, mine: Doors, control: socket.socket, number: int, shards: int) -> None:
    """Never returns: what stands above in the stack is the hub's."""
    code = 1
    try:
        code = shard.main(estate, mine, control, number, shards)
    except BaseException:  # noqa: BLE001 - it is told, and this process ends
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


@dataclass(frozen=True, slots=True)
class Sharded:
    """Shards that run, and where they listen."""

    children: Sequence[Child]
    ports: Mapping[Technology, int]

    def end(self) -> None:
        """At once, those that still run."""
        for child in self.children:
            child.end()


class Fleet:
    """`HostServers` over all shards, while `running`: the world is the hub's, whose directories it answers for."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._links: list[Link] = []
        self._orders: set[asyncio.Future[Any]] = set()
        self._up = 0
        loop = asyncio.get_running_loop()
        self._all_up: asyncio.Future[None] = loop.create_future()
        self._failed: asyncio.Future[str] = loop.create_future()
        self._ending = False
        self._final: list[Tally] | None = None

    # -- what the hub is asked -----------------------------------------------------------------------------------------

    def _handlers(self, child: Child) -> dict[str, Any]:
        return {
            "up": lambda _: self._has_come_up(),
            "logon": self._logon,
            "first logon": lambda _: self._world.metrics.has_logon(),
            "misdirected": lambda address: self._fail(f"a connection for {address} has come to shard {child.number}"),
        }

    def _logon(self, body: list[Any]) -> str:
        authority, user, right, former = body
        verdict = self._world.accounts.settle(Claim(AccountKey(authority, user), right=right, former=former))
        assert not isinstance(verdict, asyncio.Future)  # noqa: S101 - the hub's own are settled at once
        return verdict.value

    def _has_come_up(self) -> None:
        self._up += 1
        if self._up == len(self._children):
            self._all_up.set_result(None)

    # -- what shards are told ------------------------------------------------------------------------------------------

    def change(self, changes: Sequence[Change]) -> None:
        mine: list[list[Any]] = [[] for _ in self._links]
        for key, material in changes:
            row = [key.authority, key.user, material.seed, material.label, material.fixed_password]
            if self._world.accounts.of_directory(key):
                for each in mine:
                    each.append(row)
            else:
                mine[shard_of(key.authority, len(self._links))].append(row)
        for number, rows in enumerate(mine):
            if rows:
                self._order(number, "change", rows)

    def outage(self, outage: Outage) -> None:
        until = None if outage.until == inf else outage.until
        for number in range(len(self._links)):
            self._order(number, "outage", [str(outage.network), until])

    async def begin(self, began: float) -> None:
        for number in range(len(self._links)):
            self._order(number, "begin", began)
        await self.settled()

    def _order(self, number: int, word: str, body: Any) -> None:
        order = self._links[number].ask(word, body)
        self._orders.add(order)
        order.add_done_callback(self._ordered)

    def _ordered(self, order: asyncio.Future[Any]) -> None:
        self._orders.discard(order)
        if not order.cancelled():
            order.exception()  # that a shard has gone, `watch` tells, whether or not anybody waits for the order

    async def settled(self) -> None:
        await self._all(list(self._orders))

    async def tallies(self) -> Sequence[Tally]:
        if self._final is not None:
            return self._final
        return await self._gathered("tally")

    async def _gathered(self, word: str) -> list[Tally]:
        told = await self._all([link.ask(word) for link in self._links])
        return [self._world.tally(), *(Tally(**one) for one in told)]

    async def _all(self, answers: Sequence[asyncio.Future[Any]]) -> list[Any]:
        """Raises ShardError."""
        try:
            return await asyncio.gather(*answers)
        except LinkLost:
            why = self._failed.result() if self._failed.done() else "a shard has ended before it told what it counted"
            raise ShardError(why) from None

    # -- how they end --------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Never returns. Raises ShardError when a shard fails."""
        raise ShardError(await asyncio.shield(self._failed))

    def _lost(self, child: Child) -> None:
        if not self._ending:
            self._fail(f"shard {child.number} (process {child.pid}) has ended, and its hosts with it")

    def _fail(self, what: str) -> None:
        if not self._failed.done():
            self._failed.set_result(f"{what}; the lab ends: start it anew")

    @asynccontextmanager
    async def running(self, world: HostWorld) -> AsyncIterator[None]:
        """Until the context is left, when every connection is cut and the last tallies are had. Raises ShardError."""
        self._world = world
        loop = asyncio.get_running_loop()
        try:
            for child in self._children:
                link = Link(self._handlers(child), lambda child=child: self._lost(child))  # type: ignore[misc]
                await loop.create_unix_connection(lambda link=link: link, sock=child.control)  # type: ignore[misc]
                self._links.append(link)
            awaited: set[asyncio.Future[Any]] = {self._all_up, self._failed}
            await asyncio.wait(awaited, timeout=UP_S, return_when=asyncio.FIRST_COMPLETED)
            if not self._all_up.done():
                why = self._failed.result() if self._failed.done() else f"{UP_S:g} s are over"
                raise ShardError(f"of {len(self._children)} shards {self._up} have come up: {why}")
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._end()

    async def _end(self) -> None:
        self._ending = True
        with anyio.move_on_after(END_S), contextlib.suppress(ShardError):
            self._final = await self._gathered("close")
        for link in self._links:
            link.close()
        with anyio.move_on_after(END_S):
            for child in self._children:
                await child.wait()
        for child in self._children:
            child.end()
