"""The pipe between supervisor and scan process: whole messages, tokens only where they are wanted."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import anyio
import pytest
from pydantic import SecretStr

from appliance.bus.credentials import BusLogin
from appliance.channel import Busy, Channel, Drain, Hello, TokenAsk, TokenGive
from appliance.contract import ContractError, Failure, Phase, named
from appliance.vault.definition import Hidden, VaultAccess
from appliance.vault.tokens import Token

SECRET = "KMS-token-marker"


HELLO = Hello(
    appliance="a",
    zone="default",
    run="r",
    bus=BusLogin(url="nats://127.0.0.1:4222", seed=SecretStr(SECRET)),
    networks=tuple(f"10.0.{n // 250}.{n % 250}/32" for n in range(5000)),
    host_keys="tofu",
    vaults=(VaultAccess(title="V", url="https://vault.example"),),
    capacity=4,
)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Channel, Channel]]:
    left, right = socket.socketpair()
    one, other = await Channel.over(left), await Channel.over(right)
    yield one, other
    await one.aclose()
    await other.aclose()


async def test_messages_arrive_whole_and_in_order(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    received: list[object] = []

    async def read() -> None:
        received.extend([await other.receive() for _ in range(4)])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for message in (HELLO, Busy(in_flight=3), TokenAsk(id=1, vault="V"), Drain()):
            await one.send(message)
    assert [HELLO, Busy(in_flight=3), TokenAsk(id=1, vault="V"), Drain()] == received
    assert SECRET not in repr(received)


async def test_a_token_and_a_refusal_cross_the_pipe(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    ask = TokenAsk(id=7, vault="V", stale=2)
    token = Token(Hidden(SECRET), 3, 60.0)
    refusal = Failure(Phase.VAULT, named("VAULT_LOGIN_REFUSED"), "Login failed.", {"user": "svc"})
    for given in (token, refusal):
        give = TokenGive.of(ask, given)
        assert SECRET not in repr(give)
        await one.send(give)
        answer = await other.receive()
        assert isinstance(answer, TokenGive)
        assert answer.id == 7
        assert given == answer.result()


async def test_the_end_of_the_other_side_is_none(pair: tuple[Channel, Channel]) -> None:
    one, other = pair
    await one.aclose()
    assert await other.receive() is None


async def test_an_unreadable_line_is_refused_without_its_text() -> None:
    left, right = socket.socketpair()
    channel = await Channel.over(right)
    left.sendall(b'{"kind": "give", "id": "' + SECRET.encode() + b'"}\n')
    with pytest.raises(ContractError) as caught:
        await channel.receive()
    assert SECRET not in str(caught.value)
    left.close()
    await channel.aclose()
