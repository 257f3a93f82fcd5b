"""Whatever Diffie-Hellman group a host names: plain arithmetic does for it, or it is refused as the host's fault."""

from __future__ import annotations

import struct

import anyio
import pytest
from anyio.abc import SocketStream
from asyncssh import ProtocolError, kex_dh
from asyncssh.packet import MPInt, String

from appliance.classify import classify
from appliance.contract import CryptoProfile, Evidence, Failure, Technology
from appliance.login import ssh_groups
from appliance.login.dial import dial
from appliance.login.ssh import ssh_login
from appliance.login.ssh_groups import Exchange
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential
from tests.peers.attempt import FACTORIES, attempt, make_job
from tests.unit.login.ssh_servers import PASSWORD, Script, peer, serving
from tests.unit.login.test_ssh_last_words import kexinit, packet

GEX, GROUP_14 = "diffie-hellman-group-exchange-sha256", "diffie-hellman-group14-sha256"
P1, P14, P16, P18 = kex_dh._group1_p, kex_dh._group14_p, kex_dh._group16_p, kex_dh._group18_p
UNNAMED = (1 << 2047) | 19
"""Odd, which is all that is asked of it."""


def test_asyncssh_is_the_version_that_it_was_written_for() -> None:
    """A new one: hold its kex_dh against the module, then add it to VERSIONS."""
    assert ssh_groups.USABLE
    assert vars(kex_dh)["DH"] is Exchange


@pytest.mark.parametrize(("g", "p"), [(2, P14), (2, P18), (5, P14), (2, P1), (3, UNNAMED), (P16 - 2, P16)])
def test_both_ends_come_to_the_same(g: int, p: int) -> None:
    one, other = Exchange(g, p), Exchange(g, p)
    assert one.get_shared(other.get_public()) == other.get_shared(one.get_public())


def test_a_group_without_a_name_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """To prove a prime takes seconds of CPU; only the groups that cryptography knows by name go there."""
    asked = []
    monkeypatch.setattr(ssh_groups, "DH", lambda g, p: asked.append((g, p)))
    for g, p in ((2, P14), (2, UNNAMED), (5, P14), (2, P1)):
        Exchange(g, p)
    assert asked == [(2, P14)]


NO_GROUPS = {
    "too small": (2, P1 >> 2 | 1),
    "too large": (2, (1 << 4096) | 1),
    "huge": (2, (1 << 100_000) | 1),
    "even": (2, P14 + 1),
    "below zero": (2, -P14),
    "nothing": (2, 0),
    "generator 0": (0, UNNAMED),
    "generator 1": (1, UNNAMED),
    "generator below zero": (-2, UNNAMED),
    "generator p-1": (UNNAMED - 1, UNNAMED),
    "generator beyond p": (UNNAMED + 2, UNNAMED),
}


@pytest.mark.parametrize(("g", "p"), NO_GROUPS.values(), ids=NO_GROUPS)
def test_what_is_no_group(g: int, p: int) -> None:
    with pytest.raises(ProtocolError, match="the host's Diffie-Hellman"):
        Exchange(g, p)


@pytest.mark.parametrize("p", [P14, UNNAMED], ids=["named", "unnamed"])
def test_what_is_no_public_value(p: int) -> None:
    exchange = Exchange(2, p)
    for value in (-2, 0, 1, p - 1, p, p + 2):
        with pytest.raises(ProtocolError, match="public value is out of range"):
            exchange.get_shared(value)
    assert exchange.get_shared(2) == exchange.get_public()
    exchange.get_shared(p - 2)


# -- at a server -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fast", [True, False])
async def test_a_login_in_a_group_of_the_hosts_choice(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FACTORIES, Technology.UNIX, lambda *given: ssh_login(*given, fast=fast))
    monkeypatch.setattr(kex_dh, "_dh_gex_groups", ((2048, 5, UNNAMED),))
    async with serving(Script(), kex_algs=[GEX]) as port:
        ended = await attempt(make_job(Technology.UNIX, "scan", port), Credential(password=PASSWORD))
    assert ended.reason == "PASSED"


async def test_no_group_is_asked_for_that_would_be_refused() -> None:
    wanted = bytes([34]) + struct.pack(">III", 1024, 2048, ssh_groups.LARGEST)
    heard = bytearray()

    async def handle(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"SSH-2.0-Test\r\n" + kexinit(GEX))
            while wanted not in heard:
                heard.extend(await stream.receive())

    async with peer(handle) as port:
        assert await refusal(port) == "CONNECTION_RESET"
    assert wanted in heard


def named_reply(value: int) -> bytes:
    key = String("ssh-ed25519") + String(b"\1" + bytes(31))
    return packet(bytes([31]) + String(key) + MPInt(value) + String(String("ssh-ed25519") + String(bytes(64))))


@pytest.mark.parametrize(
    ("kex", "said"),
    [
        *((GEX, packet(bytes([31]) + MPInt(p) + MPInt(g))) for g, p in NO_GROUPS.values() if p.bit_length() < 50_000),
        *((GROUP_14, named_reply(value)) for value in (0, 1, P14 - 1, P14)),
    ],
)
async def test_a_host_that_sends_what_is_none(kex: str, said: bytes) -> None:
    async def handle(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"SSH-2.0-Test\r\n" + kexinit(kex) + said)
            await anyio.sleep_forever()

    async with peer(handle) as port:
        assert await refusal(port) == "SSH_PROTOCOL"


async def refusal(port: int) -> str:
    ledger = PhaseLedger()
    sock = await dial("127.0.0.1", port, ledger)
    assert not isinstance(sock, Failure)
    job = make_job(Technology.UNIX, "scan", port, crypto=CryptoProfile.LEGACY)
    with anyio.fail_after(10):
        async with ssh_login(sock, job, ledger) as login:
            assert await login.greet() is None
            ended = await login.negotiate()
    assert isinstance(ended, Failure)
    return classify(Technology.UNIX, Evidence(phase=ended.phase, signal=ended.signal)).code
