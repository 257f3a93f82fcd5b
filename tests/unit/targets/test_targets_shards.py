"""Hosts in several processes: each is in one of them, directories are of all, and no shard ends in silence."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import anyio.abc
import asyncssh
import pytest
from anyio import to_thread
from impacket.smbconnection import SessionError, SMBConnection

from targets import estate, spec
from targets.material import Material
from targets.shards import hub
from targets.shards.hub import HOSTS_PER_SHARD, Child, Fleet, ShardError, shards_for
from targets.shards.link import Link, LinkLost
from targets.shards.steering import check_routes, doors, refusing, shard_of
from targets.spec import Reach
from targets.world import World
from tests.unit.targets.targets_lab import build, until
from tests.unit.targets.test_targets_process import get, post, process

CORP = """
seed = 7
[[directories]]
name = "CORP"
threshold = {threshold}
[[hosts]]
count = 6
account = "CORP"
user = "svc"
secret = "shared"
secret_name = "corp"
[[hosts]]
count = 3
technology = "windows"
account = "CORP"
user = "svc"
secret_name = "w-{{address}}"
[[hosts]]
count = 4
network = "127.30.0.0/16"
"""


class Sharded:
    """An estate in two shards, and its client."""

    def __init__(self, text: str, child: anyio.abc.Process, ready: dict[str, Any]) -> None:
        self.what = build(text)
        self.child = child
        self.ready = ready

    def hosts(self, technology: str, account: str) -> list[estate.Host]:
        return [h for h in self.what.hosts.values() if (h.technology, h.account) == (technology, account)]

    def password(self, host: estate.Host) -> str:
        return self.what.accounts[host.account_key].password

    async def ssh(self, host: estate.Host, password: str) -> bool:
        """Is the password taken?"""
        try:
            async with asyncssh.connect(
                host.address,
                self.ready["ssh_port"],
                known_hosts=self.ready["known_hosts"],
                username=host.user,
                password=password,
                config=None,
                agent_path=None,
                client_keys=None,
            ):
                return True
        except asyncssh.PermissionDenied:
            return False

    async def smb(self, host: estate.Host, password: str) -> int:
        """The status of a login; 0 where it is taken."""

        def story() -> int:
            client = SMBConnection(host.address, host.address, sess_port=self.ready["smb_port"], timeout=10)
            try:
                client.login(host.user, password, "CORP")
            except SessionError as error:
                return int(error.getErrorCode())
            finally:
                client.close()
            return 0

        return await to_thread.run_sync(story)

    async def all_ssh(self, tries: Iterable[tuple[estate.Host, str]]) -> list[bool]:
        """At once."""
        return await asyncio.gather(*(self.ssh(host, password) for host, password in tries))

    async def seen(self) -> Any:
        return await get(self.ready["metrics_url"])

    def children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()]


@asynccontextmanager
async def sharded(tmp_path: Path, text: str, stderr: int | None = None) -> AsyncIterator[Sharded]:
    async with process(tmp_path, text, "--shards", "2", stderr=stderr) as (child, ready):
        yield Sharded(text, child, ready)


async def test_a_directory_counts_each_logon_once_whichever_shard_it_came_to(tmp_path: Path) -> None:
    async with sharded(tmp_path, CORP.format(threshold=1000)) as lab:
        hosts = lab.hosts("unix", "CORP")
        assert {shard_of(host.address, 2) for host in hosts} == {0, 1}
        right = lab.password(hosts[0])
        tries = [(host, right if n % 5 == 0 else f"wrong {n}") for n, host in enumerate(hosts * 10)]
        assert await lab.all_ssh(tries) == [n % 5 == 0 for n in range(60)]
        [windows, *_] = lab.hosts("windows", "CORP")
        assert await lab.smb(windows, right) == 0
        assert await lab.smb(windows, "wrong") == 0xC000006D
        seen = await lab.seen()
        assert seen["accounts"] == {"svc@corp": {"ok": 13, "failed": 49, "locked": False, "lockouts": 0}}
        assert [seen["hosts"][host.address]["connections"] for host in hosts] == [10] * 6
        assert seen["ssh"]["logons_ok"] == 13


async def test_a_lock_out_is_exact_across_shards_and_protocols(tmp_path: Path) -> None:
    async with sharded(tmp_path, CORP.format(threshold=20)) as lab:
        hosts = lab.hosts("unix", "CORP")
        [windows, *_] = lab.hosts("windows", "CORP")
        right = lab.password(hosts[0])
        await lab.all_ssh((hosts[n % 6], "wrong") for n in range(19))
        assert await lab.ssh(hosts[0], right), "19 failures do not lock it, and a success makes them none"
        await lab.all_ssh((hosts[n % 6], "wrong") for n in range(19))
        assert await lab.smb(windows, "wrong") == 0xC000006D, "the 20th"
        assert await lab.smb(windows, right) == 0xC0000234, "locked, and says so"
        assert await lab.all_ssh((host, right) for host in hosts) == [False] * 6
        assert (await lab.seen())["accounts"]["svc@corp"] == {"ok": 1, "failed": 46, "locked": True, "lockouts": 1}


async def test_hosts_have_keys_and_accounts_of_their_own(tmp_path: Path) -> None:
    async with sharded(tmp_path, CORP.format(threshold=5)) as lab:
        hosts = lab.hosts("unix", "local")
        passwords = {host.address: lab.password(host) for host in hosts}
        assert len(set(passwords.values())) == 4
        # By known_hosts: each shows the key that was written for it.
        assert await lab.all_ssh((host, passwords[host.address]) for host in hosts) == [True] * 4
        other = passwords[hosts[0].address]
        assert await lab.all_ssh((host, other) for host in hosts) == [True, False, False, False]
        seen = await lab.seen()
        assert seen["accounts"] == {
            f"scan@{host.address}": {"ok": 1 + (not n), "failed": int(n > 0), "locked": False, "lockouts": 0}
            for n, host in enumerate(hosts)
        }
        lab.child.terminate()
        assert await lab.child.wait() == 0
        left = json.loads((tmp_path / "state" / "metrics.json").read_text())
        assert left["accounts"] == seen["accounts"]


@pytest.mark.parametrize("group", [("unix", "local"), ("unix", "CORP")], ids=["of hosts", "of a directory"])
async def test_a_rotation_holds_on_every_host_when_its_order_has_returned(
    tmp_path: Path, group: tuple[str, str]
) -> None:
    async with sharded(tmp_path, CORP.format(threshold=0)) as lab:
        hosts = lab.hosts(*group)
        for generation in range(3):
            held = [lab.password(host) if not generation else "" for host in hosts]
            order = {"where": "hosts"}
            for secret in {host.secret for host in hosts}:
                assert (await post(f"{lab.ready['control_url']}/rotate", {"secret": secret} | order))[0] == 200
            if not generation:
                assert await lab.all_ssh(zip(hosts, held, strict=True)) == [False] * len(hosts)
            new = [Material(7, f"secret|{host.secret}|generation {generation + 1}").password for host in hosts]
            assert await lab.all_ssh(zip(hosts, new, strict=True)) == [True] * len(hosts)


async def test_a_shard_that_dies_ends_the_lab_and_is_told(tmp_path: Path) -> None:
    async with sharded(tmp_path, CORP.format(threshold=5), stderr=PIPE) as lab:
        victim = lab.children()[1]
        os.kill(victim, signal.SIGKILL)
        assert lab.child.stderr is not None
        with anyio.fail_after(10):
            assert await lab.child.wait() == 2
            said = (await lab.child.stderr.receive()).decode()
        assert f"shard 1 (process {victim}) has ended, and its hosts with it; the lab ends: start it anew" in said


async def test_shards_end_when_their_hub_is_killed(tmp_path: Path) -> None:
    async with sharded(tmp_path, CORP.format(threshold=5)) as lab:
        watched = [os.pidfd_open(pid) for pid in lab.children()]
        try:
            assert len(watched) == 2
            lab.child.kill()
            with anyio.fail_after(10):
                for one in watched:
                    await anyio.wait_readable(one)
        finally:
            for one in watched:
                os.close(one)


# -- steering ----------------------------------------------------------------------------------------------------------


def test_the_kernel_brings_each_connection_to_its_shard() -> None:
    addresses = [*(f"127.30.{n % 7}.{n}" for n in range(60)), "::1"]
    with doors(addresses, 3) as three:
        for protocol in ("ssh", "smb"):
            listening = [door for each in three for door in getattr(each, protocol)]
            assert len({door.getsockname()[1] for door in listening}) == 1
            for address in addresses:
                with socket.create_connection((address, getattr(three[0], f"{protocol}_port"))):
                    taken = [_accepted(getattr(each, protocol)) for each in three]
                assert taken == [int(n == shard_of(address, 3)) for n in range(3)]


def _accepted(listening: list[socket.socket]) -> int:
    number = 0
    for door in listening:
        try:
            door.accept()[0].close()
        except BlockingIOError:
            continue
        number += 1
    return number


def test_a_closed_port_is_closed_in_both_families() -> None:
    with refusing(["127.30.0.1", "::1"]) as port:
        for address in ("127.30.0.1", "::1"):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, port))


def test_doors_of_a_container_are_of_every_device() -> None:
    outside = {Reach.LOOPBACK: b"lo\0", Reach.NETWORKS: b""}
    for reach, device in outside.items():
        with doors(["127.30.0.1"], reach=reach) as [one]:
            assert {
                door.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) for door in (*one.ssh, *one.smb)
            } == {device}


def test_a_private_network_that_is_not_this_machines_is_told_with_what_to_do() -> None:
    what = build('reach = "networks"\n[[hosts]]\nnetwork = "10.91.20.0/24"')
    assert what.reach is Reach.NETWORKS
    with pytest.raises(spec.EstateError, match=r"run `ip route add local 10\.91\.20\.0/24 dev lo` as root"):
        check_routes(what.networks)
    assert not build('reach = "networks"\n[[hosts]]\nnetwork = "127.20.0.0/16"').networks


def test_a_network_that_is_not_this_machines_is_told_with_what_to_do() -> None:
    networks = build('[[hosts]]\nnetwork = "::1/128"').networks
    check_routes(networks)
    strange = build('[[hosts]]\nnetwork = "fd5e:1::/64"').networks
    with pytest.raises(spec.EstateError, match="run `ip -6 route add local fd5e:1::/64 dev lo` as root"):
        check_routes(strange)


@pytest.mark.parametrize(
    ("hosts", "cores", "shards"),
    [
        (1, 8, 0),
        (HOSTS_PER_SHARD, 8, 0),
        (HOSTS_PER_SHARD + 1, 8, 2),
        (65536, 2, 2),
        (65536, 64, 8),
        (65536, 1, 1),
    ],
)
def test_shards_are_as_many_as_hosts_and_cores_suggest(hosts: int, cores: int, shards: int) -> None:
    assert shards_for(hosts, cores) == shards


def test_addresses_are_spread_over_shards() -> None:
    what = build("[[hosts]]\ncount = 300")
    assert Counter(shard_of(address, 3) for address in what.hosts) == {0: 100, 1: 100, 2: 100}


# -- link --------------------------------------------------------------------------------------------------------------


async def test_questions_that_nobody_answers_any_more_end() -> None:
    ours, theirs = socket.socketpair()
    gone = anyio.Event()
    link = Link({}, gone.set)
    ours.setblocking(False)
    await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
    asked = link.ask("anything")
    theirs.close()
    await gone.wait()
    with pytest.raises(LinkLost):
        await asked
    with pytest.raises(LinkLost):
        await link.ask("more")


async def test_a_long_message_and_a_late_answer_arrive_whole() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    late: asyncio.Future[str] = loop.create_future()
    long = "x" * 3_000_000
    ends = [
        Link({"echo": lambda body: body, "late": lambda _: late}, lambda: None),
        Link({}, lambda: None),
    ]
    for end, sock in zip(ends, (ours, theirs), strict=True):
        sock.setblocking(False)
        await loop.create_unix_connection(lambda end=end: end, sock=sock)  # type: ignore[misc]
    waiting = ends[1].ask("late")
    assert await ends[1].ask("echo", [long, 1]) == [long, 1]
    late.set_result("now")
    assert await waiting == "now"
    for end in ends:
        end.close()
    await anyio.sleep(0.01)


# -- orders ------------------------------------------------------------------------------------------------------------


async def test_a_network_goes_silent_in_every_shard_and_the_first_logon_begins_the_timeline(tmp_path: Path) -> None:
    text = """
[timeline]
begins = "first-logon"
[[timeline.events]]
at = 0
silent = "127.20.0.0/25"
[[hosts]]
count = 4
[[hosts]]
network = "127.30.0.0/16"
"""
    async with sharded(tmp_path, text) as lab:
        [*hosts, other] = lab.hosts("unix", "local")
        url = f"{lab.ready['control_url']}/timeline"
        assert (await get(url))["age"] is None
        assert await lab.ssh(other, lab.password(other))

        async def begun() -> bool:
            return bool((await get(url))["age"] is not None)

        await until(begun)
        assert (await post(f"{lab.ready['control_url']}/silence", {"network": "127.20.0.128/25"}))[0] == 200
        for host in hosts:
            stream = await anyio.connect_tcp(host.address, lab.ready["ssh_port"])
            async with stream:
                with anyio.move_on_after(0.1):
                    pytest.fail(f"{host.address} says {await stream.receive()!r}")
        assert await lab.ssh(other, lab.password(other))
        lifted = {"network": "127.20.0.0/25", "seconds": 0}
        assert (await post(f"{lab.ready['control_url']}/silence", lifted))[0] == 200
        assert await lab.all_ssh((host, lab.password(host)) for host in hosts) == [True] * 4


async def test_hosts_come_up_by_the_same_clock_in_every_shard(tmp_path: Path) -> None:
    async with sharded(tmp_path, '[[hosts]]\ncount = 4\ncomes_up = "1500ms"\n') as lab:
        hosts = lab.hosts("unix", "local")
        for host in hosts:
            with pytest.raises(ConnectionResetError):
                await lab.ssh(host, "")

        async def up() -> bool:
            try:
                return await lab.ssh(hosts[0], lab.password(hosts[0]))
            except ConnectionResetError:
                return False

        await until(up)
        assert await lab.all_ssh((host, lab.password(host)) for host in hosts) == [True] * 4


# -- what goes wrong in the hub ----------------------------------------------------------------------------------------


@asynccontextmanager
async def fleet_of(*says: list[Any]) -> AsyncIterator[tuple[Fleet, World, socket.socket]]:
    """A fleet of one process that serves nothing; what it says over its link, and the link's other end."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})  # noqa: ASYNC221 - it is begun, not waited for
        child = Child(0, pid, ours)
        try:
            fleet = Fleet([child])
            world = World(build("[[hosts]]"), servers=fleet)
            theirs.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in says))
            yield fleet, world, theirs
        finally:
            child.end()


async def test_a_shard_that_does_not_come_up_is_told() -> None:
    async with fleet_of() as (fleet, world, theirs):
        theirs.close()
        with pytest.raises(ShardError, match=r"of 1 shards 0 have come up: shard 0 \(process \d+\) has ended"):
            async with fleet.running(world):
                pytest.fail("it has come up")


async def test_a_shard_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "UP_S", 0.05)
    monkeypatch.setattr(hub, "END_S", 0.05)
    async with fleet_of() as (fleet, world, _):
        with pytest.raises(ShardError, match=r"of 1 shards 0 have come up: 0\.05 s are over"):
            async with fleet.running(world):
                pytest.fail("it has come up")


async def test_a_connection_that_has_come_to_the_wrong_shard_ends_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "END_S", 0.05)
    async with fleet_of([0, "up", None], [0, "misdirected", "127.20.0.1"]) as (fleet, world, _):
        with pytest.raises(ShardError, match=r"a connection for 127\.20\.0\.1 has come to shard 0; the lab ends"):
            async with fleet.running(world):
                await fleet.watch()


async def test_counters_and_orders_that_a_shard_takes_with_it_are_missed() -> None:
    async with fleet_of([0, "up", None]) as (fleet, world, theirs):
        async with fleet.running(world):
            world.silence(IPv4Network("127.20.0.0/16"), None)
            theirs.close()
            with pytest.raises(ShardError, match="has ended, and its hosts with it"):
                await fleet.settled()
        with pytest.raises(ShardError, match="has ended, and its hosts with it"):
            await world.report()


def test_doors_that_cannot_be_opened_are_told_and_none_is_left_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        lowest = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 10, hard))
    try:
        with pytest.raises(spec.EstateError, match="cannot listen on the device lo"), doors(["127.20.0.1"], 64):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
