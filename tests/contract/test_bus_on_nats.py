"""What only the real server shows: permissions, damaged messages, death and restart, refusals at the door."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import anyio
import pytest
import trustme
from anyio import to_thread

from appliance.bus import BusError, BusRefused, BusUnavailable, NoPacer, Timing, subjects
from appliance.bus.appliance_side import connect_appliance
from appliance.bus.control import connect_control
from appliance.bus.link import ApiError, Link
from appliance.bus.orchestrator_side import JetStreamOrchestrator, connect_orchestrator
from appliance.bus.users import new_user
from appliance.contract import PermitAnswer, PermitAsk, PermitRequest, PermitVerdict, ZoneOrders, encode_report
from orchestrator.nats_binary import NatsServerError
from orchestrator.nats_server import ApplianceUser, EmbeddedServer
from orchestrator.state_dir import Held, StateDir
from tests.contract.conftest import TIMING, NatsParties, nats_parties
from tests.contract.test_bus import beat, job, nobody_asks, notice, opened, outcome, permit_request, until

QUICK = Timing(retry=0.6)


@asynccontextmanager
async def raw(nats: NatsParties, seed: str, inbox: str) -> AsyncIterator[Link]:
    """A connection that says whatever the test wants, as one of the users."""
    link = await Link.open(
        nats.server.url, name="raw", inbox=inbox, seed=seed, token="", tls=None, timing=Timing(retry=2)
    )
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def as_alpha(nats: NatsParties) -> AsyncIterator[Link]:
    seed = nats.server.appliance_seeds[ApplianceUser("alpha", "z")]
    async with raw(nats, seed, subjects.appliance_inbox("z", "alpha")) as link:
        yield link


@asynccontextmanager
async def as_orchestrator(nats: NatsParties) -> AsyncIterator[Link]:
    async with raw(nats, nats.server.orchestrator_seed, subjects.ORCHESTRATOR_INBOX) as link:
        yield link


# Permissions


@pytest.mark.parametrize(
    "subject",
    [
        "outcomes.z.beta.r1",
        "outcomes.other.alpha.r1",
        "permits.z.beta.request",
        "permits.z.beta.release",
        "$KV.HEARTBEATS.z.beta",
        "$KV.RUNS.z.r1",
        "$KV.RUNS.z.=orders",
        "jobs.z.r1",
        "vault.z",
        "control.run",
        "$JS.API.CONSUMER.MSG.NEXT.JOBS_other.r1",
        "$JS.API.CONSUMER.INFO.JOBS_other.r1",
        "$JS.API.CONSUMER.CREATE.KV_RUNS.x.$KV.RUNS.other.*",
        "$JS.API.CONSUMER.CREATE.KV_RUNS.x",
        "$JS.API.CONSUMER.DELETE.JOBS_z.r1",
        "$JS.API.STREAM.MSG.GET.KV_RUNS",
        "$JS.API.DIRECT.GET.KV_RUNS.$KV.RUNS.other.r9",
        "$JS.API.STREAM.PURGE.JOBS_z",
        "$JS.API.STREAM.INFO.OUTCOMES",
    ],
)
async def test_an_appliance_cannot_say(nats: NatsParties, subject: str) -> None:
    await opened(nats)
    async with as_alpha(nats) as alpha:
        with pytest.raises(BusRefused, match="not permit"):
            await alpha.request(subject, b"{}", wait=5)


@pytest.mark.parametrize("subject", ["_INBOX.appliance.z.beta.>", "_INBOX.>", "outcomes.>", "permits.>", "vault.other"])
async def test_an_appliance_cannot_hear(nats: NatsParties, subject: str) -> None:
    async with as_alpha(nats) as alpha:
        with pytest.raises(BusRefused, match="not permit"):
            async with alpha.listen(subject):
                pass


async def test_an_appliance_hears_its_zones_orders_beside_the_runs(nats: NatsParties) -> None:
    bus = cast("JetStreamOrchestrator", (await opened(nats))[0])
    alpha, other = await nats.appliance("alpha"), await nats.appliance("gamma", "other")
    orders = ZoneOrders(zone="z", appliances=("alpha",))
    async with alpha.orders() as heard, other.orders() as elsewhere, alpha.runs() as runs:
        with anyio.fail_after(30):
            assert await anext(heard) is None
            assert await anext(elsewhere) is None
            assert (await anext(runs)).keys() == {"r1"}
            await bus.put_orders(orders)
            await until(heard, orders)
            await until(runs, {"r1": notice()})
            await bus.put_orders(ZoneOrders(zone="z"))
            await until(heard, ZoneOrders(zone="z"))
    async with (await nats.appliance("beta")).orders() as late:
        with anyio.fail_after(30):
            assert await anext(late) == ZoneOrders(zone="z"), "who comes later hears what was said"


async def test_an_appliance_reads_the_runs_of_its_own_zone_only(nats: NatsParties) -> None:
    await opened(nats)
    async with as_alpha(nats) as alpha:
        config = {"name": "x", "deliver_subject": alpha.new_inbox(), "filter_subject": "$KV.RUNS.other.*"}
        with pytest.raises(ApiError, match="filter"):
            await alpha.api(
                "CONSUMER.CREATE.KV_RUNS.x.$KV.RUNS.z.*",
                {"stream_name": "KV_RUNS", "config": config, "action": "create"},
            )


async def test_the_control_user_can_only_ask(nats: NatsParties) -> None:
    await opened(nats)
    async with raw(nats, nats.server.control_seed, subjects.CONTROL_INBOX) as control:
        for subject in ("outcomes.z.alpha.r1", "$JS.API.STREAM.INFO.JOBS_z", "permits.z.alpha.request"):
            with pytest.raises(BusRefused, match="not permit"):
                await control.request(subject, b"{}", wait=5)


# Damaged messages


async def test_an_unreadable_job_is_dropped(nats: NatsParties) -> None:
    bus, appliance = await opened(nats)
    async with as_orchestrator(nats) as link:
        await link.store("jobs.z.r1", b'{"v": 2}')
    await bus.put([job("a")])
    jobs = [lease.job for lease in await appliance.lease("r1", 5, wait=2)]
    assert jobs == [job("a")]
    with anyio.fail_after(5):  # nobody is told that the server has heard of it
        while (await bus.view("r1", "z")).leased != 1:
            pass


async def test_an_unreadable_report_is_dropped(nats: NatsParties) -> None:
    bus, appliance = await opened(nats)
    async with as_alpha(nats) as alpha:
        await alpha.store("outcomes.z.alpha.r1", b"\xff")
    await appliance.publish(outcome(job("a")))
    async with bus.reports("r1") as reports:
        with anyio.fail_after(30):
            (only,) = await anext(reports)
    assert only.report == outcome(job("a"))
    for _ in range(100):  # the server hears of the drop a moment later
        if (waiting := (await bus.view("r1", "z")).reports_waiting) == 1:
            break
        await anyio.sleep(0.05)
    assert waiting == 1


async def test_an_unreadable_permit_request_is_answered_with_skip(nats: NatsParties) -> None:
    bus, _ = await opened(nats)

    async def request(_: PermitRequest, __: str) -> PermitAnswer:
        return PermitAnswer(verdict=PermitVerdict.GRANTED)

    async def ask(asks: Sequence[PermitAsk], _: str) -> list[PermitAnswer | None]:
        return [PermitAnswer(verdict=PermitVerdict.GRANTED) for _ in asks]

    good = permit_request(job("a")).encode()
    async with bus.permits(request, ask), as_alpha(nats) as alpha:
        held = await alpha.request("permits.z.alpha.hold", b'{"v": 9}', wait=5)
        asked = await alpha.request("permits.z.alpha.ask", b"\n".join([good, b'{"kind": "request"}', good]), wait=5)
    assert PermitAnswer.decode(held.data).verdict is PermitVerdict.SKIP
    verdicts = [PermitAnswer.decode(line).verdict for line in asked.data.split(b"\n")]
    assert verdicts == [PermitVerdict.GRANTED, PermitVerdict.SKIP, PermitVerdict.GRANTED], "nobody else's is lost by it"


async def test_an_unreadable_report_costs_those_beside_it_nothing(nats: NatsParties) -> None:
    bus, _ = await opened(nats)
    lines = [encode_report(outcome(job("a"))), b"{}", encode_report(outcome(job("b")))]
    async with as_alpha(nats) as alpha:
        await alpha.store("outcomes.z.alpha.r1", b"\n".join(lines))
    async with bus.reports("r1") as reports:
        with anyio.fail_after(30):
            first, second = await anext(reports)
        assert [first.report.job, second.report.job] == ["a", "b"]
        await first.done()
        assert (await bus.view("r1", "z")).reports_waiting == 1, "the message is over when all that it holds is"
        await second.done()
        for _ in range(100):
            if not (waiting := (await bus.view("r1", "z")).reports_waiting):
                break
            await anyio.sleep(0.05)
    assert waiting == 0


@pytest.mark.slow
async def test_unreadable_keys_and_advisories_are_skipped(nats: NatsParties) -> None:
    bus, appliance = await opened(nats)
    async with as_alpha(nats) as alpha:
        await alpha.store("$KV.HEARTBEATS.z.alpha", b"?")
    async with as_orchestrator(nats) as link, bus.lost_jobs() as lost:
        await link.store("$KV.RUNS.z.r2", b"?")
        await link.publish("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.JOBS_z.r1", b"[]")
        await (await nats.appliance("beta")).heartbeat(beat("beta"))
        async with bus.appliances() as alive, appliance.runs() as runs:
            await until(alive, {"beta": beat("beta")})
            await until(runs, {"r1": notice()})
        await bus.put([job("a")])
        await appliance.lease("r1", 1, wait=30)
        await appliance.lease("r1", 1, wait=5)
        await appliance.lease("r1", 1, wait=2 * TIMING.ack_wait)
        assert await until(lost, job("a")) == job("a")


# Death and restart


@pytest.mark.slow
async def test_a_killed_server_comes_back_on_its_port_with_its_store(nats: NatsParties) -> None:
    bus, appliance = await opened(nats)
    await bus.put([job("a"), job("b")])
    before, url = await bus.view("r1", "z"), nats.server.url
    async with appliance.runs() as runs, bus.reports("r1") as reports:
        await until(runs, {"r1": notice()})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(nats.restart)
            await anyio.wait_all_tasks_blocked()
            # Published while nobody is there, and kept trying.
            await appliance.publish(outcome(job("a")))
            await bus.put([job("c")])
        with anyio.fail_after(30):
            (delivery,) = await anext(reports)
        assert delivery.report == outcome(job("a"))
        await bus.open_run(notice("r2"), 5)
        await until(runs, {"r1": notice(), "r2": notice("r2")})
    assert nats.server.url == url
    after = await bus.view("r1", "z")
    assert (after.epoch, after.waiting, after.last_seq) == (before.epoch, 3, 3)


@pytest.mark.slow
async def test_a_permit_under_way_when_the_server_dies_is_refused_at_once(nats: NatsParties) -> None:
    bus, appliance = await opened(nats)
    asked = anyio.Event()

    async def request(_: PermitRequest, __: str) -> PermitAnswer:
        asked.set()
        await anyio.sleep(60)
        return PermitAnswer(verdict=PermitVerdict.GRANTED)

    refused = anyio.Event()

    async def ask() -> None:
        with pytest.raises(NoPacer):
            await appliance.permit(permit_request(job("a")), wait=60)
        refused.set()

    async with anyio.create_task_group() as tasks, bus.permits(request, nobody_asks):
        tasks.start_soon(ask)
        await asked.wait()
        await nats.restart()
        with anyio.fail_after(30):
            await refused.wait()
        tasks.cancel_scope.cancel()


@pytest.mark.slow
async def test_without_a_server_calls_end_within_their_budget(tmp_path: Path) -> None:
    async with nats_parties(tmp_path / "state") as nats:
        seed = nats.server.orchestrator_seed
        bus = await connect_orchestrator(nats.server.url, seed=seed, timing=QUICK)
        await bus.open_zone("z")
        alpha = nats.server.appliance_seeds[ApplianceUser("alpha", "z")]
        appliance = await connect_appliance(nats.server.url, name="alpha", zone="z", seed=alpha, timing=QUICK)
    try:
        with anyio.fail_after(30):
            assert await bus.put([job(f"j{n}") for n in range(20)]) == [None] * 20, "they wait side by side"
            with pytest.raises(BusUnavailable):
                await bus.view("r1", "z")
            with pytest.raises(BusUnavailable):
                await appliance.publish(outcome(job("a")))
            with pytest.raises(BusUnavailable):
                await appliance.lease("r1", 1, wait=0.3)
            with pytest.raises(BusUnavailable):
                await appliance.heartbeat(beat("alpha"))
            with pytest.raises(NoPacer):
                await appliance.permit(permit_request(job("a")), wait=0.2)
    finally:
        await appliance.close()
        await bus.close()


# At the door


async def test_an_unknown_key_is_refused(nats: NatsParties) -> None:
    with pytest.raises(BusRefused, match="not known"):
        await connect_orchestrator(nats.server.url, seed=new_user().seed)


async def test_nobody_there_is_said(unused_port: int) -> None:
    with pytest.raises(BusUnavailable, match=f"127.0.0.1:{unused_port}.*check that it runs"):
        await connect_control(f"nats://127.0.0.1:{unused_port}", seed=new_user().seed, timing=QUICK)


@pytest.mark.parametrize("url", ["nats://192.0.2.1:4222", "nats.example:4222", "tls://nats.example"])
async def test_off_this_machine_needs_tls(url: str) -> None:
    with pytest.raises(BusRefused, match="TLS"):
        await connect_orchestrator(url, seed=new_user().seed, timing=QUICK)


async def test_a_server_without_tls_is_refused_when_tls_is_asked_for(nats: NatsParties) -> None:
    context = await to_thread.run_sync(ssl.create_default_context)
    with pytest.raises(BusRefused, match="does not use TLS"):
        await connect_orchestrator(nats.server.url, seed=nats.server.orchestrator_seed, tls=context)


ON_UVLOOP = """
import asyncio, sys
from pathlib import Path
import uvloop
from tests.contract.conftest import nats_parties
from tests.contract.test_bus import job, opened, outcome

async def story():
    async with nats_parties(Path(sys.argv[1])) as nats:
        bus, appliance = await opened(nats)
        await bus.put([job("a")])
        (lease,) = await appliance.lease("r1", 5, wait=2)
        await appliance.publish(outcome(lease.job))
        await lease.done()
        await nats.restart()
        async with bus.reports("r1") as reports:
            print([d.report == outcome(job("a")) for d in await anext(reports)])

uvloop.run(asyncio.wait_for(story(), 20))
"""


@pytest.mark.slow
def test_it_runs_on_uvloop(tmp_path: Path) -> None:
    # In a process of its own: uvloop keeps descriptors for the life of one.
    argv = [sys.executable, "-W", "error", "-c", ON_UVLOOP, str(tmp_path / "state")]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[True]"], done.stderr


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[str, str, ssl.SSLContext]]:
    """A server with TLS and one user, as a cluster elsewhere would have; URL, seed, and a context that trusts it."""
    authority, user = trustme.CA(), new_user()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    configuration = {
        "host": "127.0.0.1",
        "port": -1,
        "ports_file_dir": str(tmp_path),
        "jetstream": {"store_dir": str(tmp_path / "store")},
        "tls": {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")},
        "authorization": {"users": [{"nkey": user.public}]},
    }
    (tmp_path / "conf").write_text(json.dumps(configuration))
    binary = Path(sys.executable).parent / "nats-server"
    server = subprocess.Popen([binary, "-c", tmp_path / "conf"], stderr=subprocess.DEVNULL)
    try:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        yield _port_url(tmp_path, server.pid), user.seed, context
    finally:
        server.terminate()
        server.wait()


def _port_url(directory: Path, pid: int) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for file in directory.glob(f"*_{pid}.ports"):
            if text := file.read_text():
                return str(json.loads(text)["nats"][0])
        time.sleep(0.02)
    pytest.fail("the server did not name its port")


async def test_tls_is_used_and_checked(tls_server: tuple[str, str, ssl.SSLContext]) -> None:
    url, seed, context = tls_server
    async with await connect_orchestrator(url, seed=seed, tls=context) as bus:
        await bus.open_zone("z")
    stranger = await to_thread.run_sync(ssl.create_default_context)
    with pytest.raises(BusRefused, match=r"not trusted .*name its CA"):
        await connect_orchestrator(url, seed=seed, tls=stranger)


# The embedded server


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    got = StateDir(tmp_path / "state").acquire()
    assert isinstance(got, Held)
    with got:
        yield got


async def test_a_port_in_use_is_said(held: Held) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NatsServerError, match=f"port {port} .* in use"):
            await EmbeddedServer(held, [], port=port).__aenter__()


async def test_ctrl_c_on_our_terminal_does_not_reach_it(held: Held) -> None:
    async with EmbeddedServer(held, []) as server:
        assert os.getsid(server.pid) == server.pid  # a terminal's signals go to the processes of its own session


async def test_a_directory_that_cannot_be_written_is_said(held: Held) -> None:
    await anyio.Path(held.path / "nats").write_bytes(b"")
    with pytest.raises(NatsServerError, match="cannot be written"):
        await EmbeddedServer(held, []).__aenter__()


async def test_a_full_store_is_said(held: Held) -> None:
    async with (
        EmbeddedServer(held, [], store_limit=256 * 1024) as server,
        await connect_orchestrator(server.url, seed=server.orchestrator_seed, timing=TIMING) as bus,
    ):
        await bus.open_zone("z")
        await bus.open_run(notice(), 10)
        big = [job(f"{n}").model_copy(update={"purpose": "x" * 10_000}) for n in range(100)]
        with pytest.raises(BusError, match="full"):
            await bus.put(big)


async def test_no_seed_is_on_disk_and_nobody_else_may_look(nats: NatsParties) -> None:
    server = nats.server
    seeds = [server.orchestrator_seed, server.control_seed, *server.appliance_seeds.values()]
    await opened(nats)

    def look() -> None:
        assert stat.S_IMODE(nats.state.stat().st_mode) == 0o700
        assert stat.S_IMODE((nats.state / "nats").stat().st_mode) == 0o700
        assert stat.S_IMODE((nats.state / "nats" / "server.conf").stat().st_mode) == 0o600
        for file in nats.state.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert not any(seed.encode() in content for seed in seeds), file

    await to_thread.run_sync(look)


async def test_there_is_no_monitoring_port(nats: NatsParties) -> None:
    listening = await anyio.run_process(["cat", "/proc/net/tcp", "/proc/net/tcp6"])
    inodes = {line.split()[9] for line in listening.stdout.decode().splitlines() if " 0A " in line}

    def sockets() -> list[str]:
        links = [str(fd.readlink()) for fd in Path(f"/proc/{nats.server.pid}/fd").iterdir()]
        return [link for link in links if link.removeprefix("socket:[").rstrip("]") in inodes]

    assert len(await to_thread.run_sync(sockets)) == 1


PARENT = """
import anyio, os, sys
from pathlib import Path
from orchestrator.nats_server import EmbeddedServer
from orchestrator.state_dir import StateDir

async def main():
    held = StateDir(Path(sys.argv[1])).acquire()
    async with EmbeddedServer(held, []) as server:
        print(server.pid, flush=True)
        await anyio.sleep(60)

anyio.run(main)
"""


def test_the_server_dies_with_its_parent_and_the_directory_is_free(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    server = os.pidfd_open(int(parent.stdout.readline()))
    try:
        assert StateDir(tmp_path).acquire().pid == parent.pid  # type: ignore[union-attr]  # a HolderInfo, or it fails
        parent.kill()
        parent.wait()
        parent.stdout.close()
        # A pidfd becomes readable when its process has ended.
        assert asyncio.run(_readable(server))
        got = StateDir(tmp_path).acquire()
        assert isinstance(got, Held)
        got.release()
    finally:
        os.close(server)


async def _readable(descriptor: int) -> bool:
    with anyio.move_on_after(30):
        await anyio.wait_readable(descriptor)
        return True
    return False


async def test_a_server_that_is_stopped_leaves_no_process(held: Held) -> None:
    async with EmbeddedServer(held, []) as server:
        descriptor = os.pidfd_open(server.pid)
    try:
        with pytest.raises(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, 0)
    finally:
        os.close(descriptor)


async def test_its_configuration_names_public_keys_only(nats: NatsParties) -> None:
    text = await anyio.Path(nats.state / "nats" / "server.conf").read_text()
    users = json.loads(text)["authorization"]["users"]
    assert len(users) == 5
    assert all(user["nkey"].startswith("U") for user in users)
