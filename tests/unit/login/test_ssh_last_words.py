"""A server that refuses and hangs up in one breath has said why: what came before the end is judged before it."""

from __future__ import annotations

import struct
from importlib.util import find_spec

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from appliance.classify import classify
from appliance.contract import Evidence, Failure, Technology
from appliance.login.dial import dial
from appliance.login.ssh import ssh_login
from appliance.phases import PhaseLedger
from tests.peers.attempt import make_job

KEXINIT = 20
TRIES = 20


def packet(payload: bytes) -> bytes:
    """RFC 4253, 6: unencrypted."""
    padding = 4 + -(len(payload) + 9) % 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def kexinit(*kex: str) -> bytes:
    lists = [",".join(kex), "ssh-ed25519", "aes128-ctr", "aes128-ctr", "hmac-sha2-256", "hmac-sha2-256", "none", "none"]
    fields = b"".join(struct.pack(">I", len(names)) + names.encode() for names in [*lists, "", ""])
    return packet(bytes([KEXINIT]) + bytes(16) + fields + bytes(5))


async def refusing(stream: SocketStream) -> None:
    async with stream:
        await stream.send(b"SSH-2.0-Test\r\n" + kexinit("diffie-hellman-group1-sha1"))


async def login() -> str:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, refusing, name="server")
        port = listener.extra(SocketAttribute.local_port)
        ledger = PhaseLedger()
        sock = await dial("127.0.0.1", port, ledger)
        assert not isinstance(sock, Failure)
        with anyio.fail_after(10):
            async with ssh_login(sock, make_job(Technology.UNIX, "scan", port), ledger) as session:
                assert await session.greet() is None
                await anyio.sleep(0.01)  # so that the end is there as soon as anybody reads on
                ended = await session.negotiate()
        tasks.cancel_scope.cancel()
    assert isinstance(ended, Failure)
    return classify(Technology.UNIX, Evidence(phase=ended.phase, signal=ended.signal)).code


@pytest.mark.keeps_open("uvloop keeps the pipe by which it hears of signals")
@pytest.mark.parametrize("uvloop", [False, True] if find_spec("uvloop") else [False], ids=["asyncio", "uvloop"])
def test_no_common_key_exchange(uvloop: bool) -> None:
    async def story() -> list[str]:
        return [await login() for _ in range(TRIES)]

    assert set(anyio.run(story, backend_options={"use_uvloop": uvloop})) == {"KEX_NO_MATCH"}
