"""What hosts do over time: late, flapping, slow by a group's latency, silent on order, limited by their sshd."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import anyio
import asyncssh
import pytest
from anyio import to_thread
from hypothesis import given
from hypothesis import strategies as st
from impacket.smbconnection import SMBConnection

from targets import spec
from targets.conduct import Conduct, FlappingSpec, Pace, presence
from targets.faults import HOST_FAULTS, LAG_S, Stage
from targets.truth import truth
from targets.world import World
from tests.unit.targets.targets_lab import build, connect, running, until
from tests.unit.targets.test_targets_process import post

NONE = HOST_FAULTS["none"]
FIRST = "127.20.0.1"
seconds = st.floats(0.1, 100, allow_nan=False)


def password(world: World, address: str = FIRST) -> str:
    return world.accounts._materials[world.estate.hosts[address].account_key].password


# -- by the clock ------------------------------------------------------------------------------------------------------


@given(up=seconds, down=seconds, age=st.floats(0, 1000), address=st.sampled_from(["127.20.0.1", "127.20.0.2", "::1"]))
def test_a_host_that_flaps_is_what_it_says_it_is_until_then(up: float, down: float, age: float, address: str) -> None:
    conduct = Conduct(flapping=FlappingSpec(up=up, down=down))
    now = presence(conduct, 1, address, age)
    assert 0 < now.lasts <= (up if now.up else down) + 1e-6
    assert presence(conduct, 1, address, age + now.lasts * 0.99).up == now.up
    assert presence(conduct, 1, address, age + now.lasts + min(up, down) / 2).up != now.up


def test_hosts_flap_at_moments_of_their_own() -> None:
    conduct = Conduct(flapping=FlappingSpec(up=3, down=1))
    up = [presence(conduct, 1, f"127.20.0.{n}", 0.0).up for n in range(1, 201)]
    assert 130 <= sum(up) <= 170


def test_a_host_that_comes_up_late_stays() -> None:
    conduct = Conduct(comes_up=30)
    assert presence(conduct, 1, FIRST, 12.0) == presence(conduct, 1, FIRST, 12.0)
    assert (presence(conduct, 1, FIRST, 12.0).up, presence(conduct, 1, FIRST, 12.0).lasts) == (False, 18.0)
    assert presence(conduct, 1, FIRST, 30.0).up


@given(st.floats(0.1, 10), st.floats(0, 1), st.integers(0, 99))
def test_latency_is_spread_over_the_stages_and_stays_within_its_jitter(latency: float, share: float, n: int) -> None:
    conduct = Conduct(latency=latency, jitter=latency * share)
    pace = Pace(conduct, NONE, f"draw {n}")
    each = [pace.take(stage) for stage in Stage]
    assert max(each) == min(each)
    assert latency - conduct.jitter - 1e-6 <= sum(each) <= latency + conduct.jitter + 1e-6
    assert [pace.take(stage) for stage in Stage] == [0.0] * 4, "each stage is late once"
    again = Pace(conduct, NONE, f"draw {n}")
    assert [again.take(stage) for stage in Stage] == each


def test_a_slow_stage_comes_on_top_of_latency() -> None:
    pace = Pace(Conduct(latency=4), HOST_FAULTS["slow_kex"], "")
    assert [pace.take(stage) for stage in Stage] == [1.0, 1.0 + LAG_S, 1.0, 1.0]


# -- as clients meet it ------------------------------------------------------------------------------------------------


async def test_an_ssh_login_takes_the_latency_of_its_group(tmp_path: Path) -> None:
    async with running('[[hosts]]\nlatency = "800ms"\n', tmp_path) as (ready, world):
        began = time.monotonic()
        async with connect(ready, FIRST, password=password(world)) as client:
            stood = time.monotonic() - began
            assert (await client.run("id -u")).stdout == "1001\n"
        assert time.monotonic() - began >= 0.8
        assert stood >= 0.6


async def test_first_words_are_late_where_asyncio_reads_though_it_is_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Python 3.11.2 does, which Debian 12 has, when it is paused before it has begun."""

    def add_reader(self: Any, descriptor: int, callback: Any) -> None:
        if not self._closing:
            self._loop._add_reader(descriptor, callback)

    monkeypatch.setattr("asyncio.selector_events._SelectorTransport._add_reader", add_reader)
    async with running('[[hosts]]\nlatency = "800ms"\n', tmp_path) as (ready, _):
        reader, writer = await asyncio.open_connection("127.20.0.1", ready.ssh_port)
        await asyncio.sleep(0.1)
        writer.write(b"SSH-2.0-ear")
        assert (await reader.readline()).startswith(b"SSH-2.0-OpenSSH")
        writer.write(b"ly_1.0\r\n")
        assert await reader.readexactly(4), "what came first was read first, and the key exchange begins"
        writer.close()
        await writer.wait_closed()


@pytest.mark.slow
async def test_an_smb_login_takes_the_latency_of_its_group(tmp_path: Path) -> None:
    text = '[[hosts]]\ntechnology = "windows"\nlatency = "800ms"\n'
    async with running(text, tmp_path) as (ready, world):
        secret = password(world)

        def story() -> float:
            began = time.monotonic()
            client = SMBConnection(FIRST, FIRST, sess_port=ready.smb_port, timeout=10)
            client.login("scan", secret, "")
            client.connectTree("IPC$")
            client.close()
            return time.monotonic() - began

        assert await to_thread.run_sync(story) >= 0.8


async def test_a_host_is_reset_until_it_comes_up(tmp_path: Path) -> None:
    async with running('[[hosts]]\ncomes_up = "1h"\n', tmp_path) as (ready, world):
        with pytest.raises(ConnectionResetError):
            await connect(ready, FIRST, password="")
        assert world.metrics.hosts[FIRST].connections == 0
        world.began -= 3600
        async with connect(ready, FIRST, password=password(world)):
            pass


async def test_a_host_that_goes_down_cuts_who_is_there(tmp_path: Path) -> None:
    async with running('[[hosts]]\nflapping = { up = "1h", down = "1h" }\n', tmp_path) as (ready, world):
        conduct, seed = world.estate.hosts[FIRST].conduct, world.estate.seed
        # To a tenth of a second before it goes down.
        now = presence(conduct, seed, FIRST, 0.0)
        world.began = world.clock() - (now.lasts + (0 if now.up else 3600) - 0.3)
        client = await connect(ready, FIRST, password=password(world))
        with anyio.fail_after(5):
            await client.wait_closed()
        with pytest.raises(ConnectionResetError):
            await connect(ready, FIRST, password="")


async def test_a_silent_network_takes_connections_and_says_nothing(tmp_path: Path) -> None:
    async with running("[[hosts]]\ncount = 3\n", tmp_path) as (ready, world):
        order = {"network": "127.20.0.2/31"}
        client = await connect(ready, "127.20.0.2", password=password(world, "127.20.0.2"))
        assert await post(f"{ready.control_url}/silence", order) == (200, '{"silent": {"127.20.0.2/31": null}}')
        with anyio.move_on_after(0.2) as waited:
            await client.run("id -u")
        assert waited.cancelled_caught, "a connection that stands falls silent too"
        with anyio.move_on_after(0.2) as waited:
            await connect(ready, "127.20.0.3", password="")
        assert waited.cancelled_caught
        async with connect(ready, FIRST, password=password(world)):
            pass
        assert await post(f"{ready.control_url}/silence", order | {"seconds": 0}) == (200, '{"silent": {}}')
        assert (await client.run("id -u")).stdout == "1001\n"
        client.close()
        await client.wait_closed()


async def test_silence_that_lasts_a_while_ends_by_itself(tmp_path: Path) -> None:
    async with running("[[hosts]]\n", tmp_path) as (ready, world):
        client = await connect(ready, FIRST, password=password(world))
        world.silence(IPv4Network("127.20.0.0/16"), 0.2)
        with anyio.fail_after(5):
            assert (await client.run("id -u")).stdout == "1001\n"
        async with connect(ready, FIRST, password=password(world)):
            pass
        client.close()
        await client.wait_closed()


async def test_an_order_of_silence_names_a_network(tmp_path: Path) -> None:
    async with running("[[hosts]]\n", tmp_path) as (ready, _):
        status, said = await post(f"{ready.control_url}/silence", {"network": "127.20.0.300/24"})
        assert (status, "network" in said) == (400, True)


# -- sshd --------------------------------------------------------------------------------------------------------------


async def begin(ready: Any, address: str = FIRST) -> tuple[asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_connection(address, ready.ssh_port)
    return writer, await reader.readline()


async def test_max_startups_turns_away_who_comes_too_many(tmp_path: Path) -> None:
    async with running('[[hosts]]\ncount = 2\nsshd = { max_startups = "2" }\n', tmp_path) as (ready, world):
        held = [await begin(ready) for _ in range(4)]
        assert [said[:8] for _, said in held] == [b"SSH-2.0-", b"SSH-2.0-", b"Exceeded", b"Exceeded"]
        held.append(await begin(ready, "127.20.0.2"))
        assert held[-1][1].startswith(b"SSH-2.0-"), "each host counts for itself"
        for writer, _ in held:
            writer.close()
            await writer.wait_closed()

        async def all_gone() -> bool:
            return world.metrics.open_connections == 0

        await until(all_gone)
        clients = [await connect(ready, FIRST, password=password(world)) for _ in range(4)]
        assert len(clients) == 4, "who is logged in does not count"
        for client in clients:
            client.close()
            await client.wait_closed()


async def test_failed_logins_are_penalised_from_more_than_fifteen_seconds_on(tmp_path: Path) -> None:
    async with running("[[hosts]]\ncount = 2\nsshd = { penalties = true }\n", tmp_path) as (ready, world):
        for _ in range(4):
            with pytest.raises(asyncssh.PermissionDenied):
                await connect(ready, FIRST, password="wrong")
        writer, said = await begin(ready)
        assert said == b"Not allowed at this time\r\n"
        writer.close()
        await writer.wait_closed()
        async with connect(ready, "127.20.0.2", password=password(world, "127.20.0.2")):
            pass


async def test_pam_takes_its_time_to_refuse(tmp_path: Path) -> None:
    async with running('[[hosts]]\nsshd = { fail_delay = "400ms" }\n', tmp_path) as (ready, world):
        began = time.monotonic()
        with pytest.raises(asyncssh.PermissionDenied):
            await connect(ready, FIRST, password="wrong")
        assert time.monotonic() - began >= 0.3
        [logon] = world.metrics.hosts[FIRST].logons
        assert not logon.ok


async def test_sessions_of_one_connection_are_limited(tmp_path: Path) -> None:
    text = '[[hosts]]\nsshd = { max_sessions = 1 }\n[[hosts]]\nfault = "no_session"\n'
    async with running(text, tmp_path) as (ready, world):
        async with connect(ready, FIRST, password=password(world)) as client:
            for _ in range(2):
                assert (await client.run("id -u")).stdout == "1001\n", "one after the other"
        async with connect(ready, "127.20.0.2", password=password(world, "127.20.0.2")) as client:
            with pytest.raises(asyncssh.ChannelOpenError, match="open failed"):
                await client.run("id -u")


# -- truth and file ----------------------------------------------------------------------------------------------------


def test_what_is_true_at_times() -> None:
    what = build("""
[timeline]
[[timeline.events]]
at = 1
rotate = "unix-127.20.0.1"
[[timeline.events]]
at = 2
silent = "127.20.0.2/31"
[[timeline.events]]
at = 3
secrets = { "unix-127.20.0.2" = "inactive" }
[[hosts]]
count = 3
latency = 2
jitter = 0.5
[[hosts]]
flapping = { up = 1, down = 1 }
sshd = { max_startups = "5", penalties = true }
""")
    rows = [(row["at_times"], row["latency"]) for row in truth(what, ports={"unix": 22, "windows": 445}, closed_port=1)]
    silent = ["silent", "stalled_kex", "stalled_login", "stalled_command"]
    assert rows == [
        (["wrong_password", "rotated", "none"], 2.5),
        (["secret_inactive", *silent], 2.5),
        (silent, 2.5),
        (["reset", "reset_after_banner", "reset_at_login", "reset_at_command", "overrun", "penalty"], 0.0),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[hosts]]\njitter = "1s"', "estate.toml:1: hosts.0: jitter must not be more than latency"),
        ("[[hosts]]\nflapping = { up = 0, down = 1 }", "estate.toml:2: hosts.0.flapping.up"),
        ("[[hosts]]\nflapping = { up = 1 }", "estate.toml:2: hosts.0.flapping.down"),
        ('[[hosts]]\ntechnology = "windows"\nsshd = { penalties = true }', "sshd is for unix hosts"),
        ('[[hosts]]\nsshd = { max_startups = "9:0:3" }', "estate.toml:2: hosts.0.sshd.max_startups"),
        ('[[hosts]]\nnetwork = "127.20.0.1/16"', "estate.toml:2: hosts.0.network: 127.20.0.1/16 has host bits set"),
        ('[[hosts]]\nnetwork = "2001:4860::/64"', "is within none of ::1/128, fc00::/7"),
    ],
)
def test_a_bad_conduct_is_refused_with_its_line_and_key(text: str, said: str) -> None:
    with pytest.raises(spec.EstateError) as caught:
        build(text)
    assert said in str(caught.value)
