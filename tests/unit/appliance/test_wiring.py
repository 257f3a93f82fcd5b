"""What a scan process is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

import anyio
import pytest

from appliance.bus import ApplianceBus
from appliance.contract import Failure, Phase, named
from appliance.lag import LoopLag
from appliance.vault.definition import VaultAccess
from appliance.vault.secret_server import SecretServerSource
from appliance.vault.tokens import Token
from appliance.wiring import kit_for
from tests.unit.appliance.test_channel import HELLO


@pytest.mark.parametrize(("capacity", "room"), [(1, 1), (2, 1), (9, 4)])
async def test_every_vault_has_room_for_one_job_at_least(capacity: int, room: int) -> None:
    """A process with less capacity than vaults, too: else no job would ever have its turn where one limits its rate."""

    def tokens(_: str) -> Callable[[int | None], Awaitable[Token | Failure]]:
        async def none(_: int | None) -> Token | Failure:
            return Failure(Phase.VAULT, named("VAULT_UNREACHABLE"))

        return none

    vaults = tuple(VaultAccess(title=title, url=f"http://127.0.0.1:9/{title}") for title in ("a", "b"))
    hello = HELLO.model_copy(update={"capacity": capacity, "vaults": vaults})
    bus, limiter = cast("ApplianceBus", None), anyio.CapacityLimiter(1)
    async with kit_for(hello, bus, tokens, LoopLag(), limiter) as kit:
        sources = cast("dict[str, SecretServerSource]", kit.sources)
        assert [source._entry._room for source in sources.values()] == [room, room]
