"""How long a try to connect to a server may take: short for one that was quick, longer behind a slow link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream
from sqlalchemy.engine import make_url

from orchestrator.leases import LOST_S
from orchestrator.store import StoreError, postgresql
from orchestrator.store.postgresql import CONNECT_S, FIRST_CONNECT_S, LONGEST_PAUSE_S, ConnectPatience, PostgresEngine
from orchestrator.store.server_address import server_address


@pytest.mark.parametrize(
    ("took", "seconds"), [((), FIRST_CONNECT_S), ((0.02, 0.5), CONNECT_S), ((2.0, 0.1), 6.0), ((9.0,), FIRST_CONNECT_S)]
)
def test_a_try_is_as_long_as_the_link_needs_it(took: tuple[float, ...], seconds: float) -> None:
    patience = ConnectPatience()
    for one in took:
        patience.took(one)
    assert patience.seconds == seconds


def test_two_tries_and_the_pause_between_them_are_over_before_a_holder_is_taken_for_dead() -> None:
    assert 2 * CONNECT_S + LONGEST_PAUSE_S < LOST_S


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """A port where somebody takes connections, and says nothing."""

    async def take(stream: SocketStream) -> None:
        async with stream:
            await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, take)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def test_a_server_that_says_nothing_is_given_up_within_the_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "FIRST_CONNECT_S", 0.3)
    async with silent() as port:
        url = make_url(f"postgresql://svc@127.0.0.1:{port}/keymuster")
        engine = PostgresEngine(server_address(url, "secret"), None)
        with anyio.fail_after(5), pytest.raises(StoreError, match="it cannot be reached"):
            await engine.run(lambda _: None, write=False)
        await engine.dispose()
