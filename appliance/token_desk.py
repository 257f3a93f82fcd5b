"""Vault tokens in a process that has no vault login: they are asked of its supervisor, over the pipe."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

import anyio

from appliance.channel import Channel, TokenAsk, TokenGive
from appliance.contract import Failure
from appliance.vault.tokens import Token


class TokenDesk:
    """Asks the supervisor for tokens over the channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[anyio.Event, list[TokenGive]]] = {}

    def of(self, vault: str) -> Callable[[int | None], Awaitable[Token | Failure]]:
        async def token(stale: int | None) -> Token | Failure:
            ask = TokenAsk(id=next(self._ids), vault=vault, stale=stale)
            event, answer = self._waiting[ask.id] = (anyio.Event(), [])
            try:
                await self._channel.send(ask)
                await event.wait()
            finally:
                del self._waiting[ask.id]
            return answer[0].result()

        return token

    def take(self, give: TokenGive) -> None:
        waiting = self._waiting.get(give.id)
        if waiting is not None:
            waiting[1].append(give)
            waiting[0].set()
