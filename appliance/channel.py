"""The pipe between a supervisor and one of its scan processes (or a searcher): one JSON message per line, both ways.

It is inherited, never named, and carries the only secrets that pass between two of our processes: vault tokens, towards
the scan process. End of file on it means that the other side is gone.
"""

from __future__ import annotations

import socket
from typing import Annotated, Literal

import anyio
from anyio.abc import SocketStream
from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_serializer

from appliance.bus.credentials import BusLogin
from appliance.contract import ContractError, Failure, Phase, Signal, Wire, named
from appliance.leaks.orders import Search, Searched
from appliance.vault.definition import Api, Hidden, VaultAccess
from appliance.vault.tokens import Token

HEARTBEAT_S = 3.0
"""How often a supervisor says what its scan processes have told it."""
MESSAGE_LIMIT = 1 << 26
"""A greeting lists every network that a run may dial; a search, every secret that it has read."""


class Hello(Wire):
    """The first message to a scan process: everything it needs, once."""

    kind: Literal["hello"] = "hello"
    appliance: str
    zone: str
    run: str
    bus: BusLogin
    networks: tuple[str, ...]
    host_keys: str
    vaults: tuple[VaultAccess, ...]
    capacity: int
    source_v4: str | None = None
    source_v6: str | None = None
    fast_path: bool = True
    life: float = 1.0
    """The part of the longest life that this one has (`worker`)."""


class Drain(Wire):
    """Take no more jobs, finish those in hand, end."""

    kind: Literal["drain"] = "drain"
    cut: bool = False
    """Do not finish them: log off, and report them as cut off."""


class TokenAsk(Wire):
    """From a scan process: a token for this vault, other than the one of a generation that the vault turned away."""

    kind: Literal["ask"] = "ask"
    id: int
    vault: str
    stale: int | None = None


class TokenGive(Wire):
    """The answer: a token, or the signal and text of the reason why there is none."""

    kind: Literal["give"] = "give"
    id: int
    token: SecretStr | None = None
    generation: int = 0
    fresh_for: float = 0.0
    api: Api = "rest"
    signal: Signal = named("VAULT_TOKEN_EXPIRED")
    text: str = ""
    facts: dict[str, str] = Field(default_factory=dict)

    @field_serializer("token", when_used="json")
    def _reveal(self, token: SecretStr | None) -> str | None:
        return token.get_secret_value() if token else None

    @classmethod
    def of(cls, ask: TokenAsk, given: Token | Failure) -> TokenGive:
        if isinstance(given, Failure):
            return cls(id=ask.id, signal=given.signal, text=given.text, facts=given.facts)
        secret = SecretStr(given.value.reveal())
        return cls(id=ask.id, token=secret, generation=given.generation, fresh_for=given.fresh_for, api=given.api)

    def result(self) -> Token | Failure:
        if self.token is None:
            return Failure(Phase.VAULT, self.signal, self.text, self.facts)
        return Token(Hidden(self.token.get_secret_value()), self.generation, self.fresh_for, self.api)


class Busy(Wire):
    """From a scan process: how many jobs it has in hand, and how late its event loop has been since a heartbeat ago."""

    kind: Literal["busy"] = "busy"
    in_flight: int
    loop_lag_ms: float = 0.0


Message = Hello | Drain | TokenAsk | TokenGive | Busy | Search | Searched

_MESSAGE: TypeAdapter[Message] = TypeAdapter(
    Annotated[Hello | Drain | TokenAsk | TokenGive | Busy | Search | Searched, Field(discriminator="kind")]
)


class Channel:
    """One end of the pipe."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._buffer = b""
        self._lock = anyio.Lock()

    @classmethod
    async def over(cls, sock: socket.socket) -> Channel:
        return cls(await SocketStream.from_socket(sock))

    async def send(self, message: Message) -> None:
        """Raises anyio.BrokenResourceError when the other side is gone."""
        async with self._lock:
            await self._stream.send(message.model_dump_json().encode() + b"\n")

    async def receive(self) -> Message | None:
        """The next message, or None at the end. Raises ContractError for one that cannot be read."""
        while b"\n" not in self._buffer:
            try:
                self._buffer += await self._stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return None
            if len(self._buffer) > MESSAGE_LIMIT:
                raise ContractError("a message on the pipe has no end")
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            return _MESSAGE.validate_json(line)
        except ValidationError:
            raise ContractError("unreadable message on the pipe") from None

    async def aclose(self) -> None:
        await self._stream.aclose()
