"""A shard: a process that serves the SSH and SMB hosts whose addresses are its own, and asks the hub about directories.

It is forked from the hub when the estate has been built, and ends when the hub says so, or ends. Accounts of its hosts
are its own; a directory's counters are the hub's, so that a lock-out is exact whichever hosts the logons were tried on.
What opens an account, each process knows for itself: a logon that meets a change of password is judged by the password
before or after it, as on a host that hears of it late.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from ipaddress import ip_network
from math import inf
from typing import Any

import anyio

from targets.directory import AccountRecord, Accounts, Claim, Logon, Verdict
from targets.estate import AccountKey, Estate
from targets.host_world import HostWorld
from targets.material import Material
from targets.outages import Outage
from targets.shards.link import Link, LinkLost
from targets.shards.steering import Doors, shard_of
from targets.smb import host as smb_host
from targets.ssh import host as ssh_host

TURNS = 3
"""Turns of the loop after which connections that were cut have been told so."""


class ShardAccounts(Accounts):
    """`settle_elsewhere` counts and judges a logon of a directory's account."""

    def __init__(
        self, estate: Estate, clock: Callable[[], float], settle_elsewhere: Callable[[Claim], asyncio.Future[Logon]]
    ) -> None:
        super().__init__(estate.accounts, estate.directories, clock, estate.former)
        self._settle_elsewhere = settle_elsewhere

    def settle(self, claim: Claim) -> Verdict:
        return self._settle_elsewhere(claim) if self.of_directory(claim.key) else super().settle(claim)

    def records(self) -> Mapping[AccountKey, AccountRecord]:
        return {key: record for key, record in super().records().items() if not self.of_directory(key)}


def main(estate: Estate, doors: Doors, control: socket.socket, number: int, shards: int) -> int:
    """The whole life of a shard; its exit code."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)  # the hub is told, and tells us
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)  # or whoever reads the ready line would wait for us too
    os.close(nowhere)
    anyio.run(_Shard(estate, doors, number, shards).serve, control)
    return 0


class _Shard:
    def __init__(self, estate: Estate, doors: Doors, number: int, shards: int) -> None:
        self._doors = doors
        self._link = Link(
            {
                "begin": self._begin,
                "change": self._change,
                "outage": self._outage,
                "tally": lambda _: asdict(self._world.tally()),
                "close": self._close,
            },
            self._gone,
        )
        self._world = HostWorld(estate, ShardAccounts(estate, time.monotonic, self._settle))
        self._world.misdirected = lambda address: self._misdirected(address, number, shards)
        self._world.metrics.at_first_logon = lambda: self._link.tell("first logon")

    async def serve(self, control: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._closing, self._left = anyio.Event(), anyio.Event()
        self._closed: asyncio.Future[Any] = loop.create_future()
        async with ssh_host.listening(self._world, self._doors.ssh), smb_host.listening(self._world, self._doors.smb):
            await loop.create_unix_connection(lambda: self._link, sock=control)
            self._link.tell("up")
            await self._closing.wait()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._closed.set_result(asdict(self._world.tally()))
        await self._left.wait()  # the hub hangs up when it has read all of it

    def _begin(self, began: float) -> None:
        self._world.began = began

    def _change(self, changes: list[list[Any]]) -> None:
        for authority, user, seed, label, fixed in changes:
            self._world.accounts.change(AccountKey(authority, user), Material(seed, label, fixed))

    def _outage(self, body: list[Any]) -> None:
        network, until = body
        self._world.outages.order(Outage(ip_network(network), inf if until is None else until))

    def _close(self, _body: Any) -> asyncio.Future[Any]:
        """Every connection is cut; then comes the last tally."""
        self._closing.set()
        return self._closed

    def _gone(self) -> None:
        self._closing.set()
        self._left.set()

    def _misdirected(self, address: str, number: int, shards: int) -> bool:
        if shard_of(address, shards) == number:
            return False
        self._link.tell("misdirected", address)
        return True

    def _settle(self, claim: Claim) -> asyncio.Future[Logon]:
        verdict: asyncio.Future[Logon] = asyncio.get_running_loop().create_future()

        def told(answer: asyncio.Future[Any]) -> None:
            if verdict.cancelled():
                return
            if isinstance(answer.exception(), LinkLost):
                verdict.cancel()  # nobody judges any more: this process is about to end
            else:
                verdict.set_result(Logon(answer.result()))

        asked = self._link.ask("logon", [claim.key.authority, claim.key.user, claim.right, claim.former])
        asked.add_done_callback(told)
        return verdict
