"""A supervisor that is the child of an orchestrator: who it is, and what each run may use, come by its standard input.

One JSON message per line, in an inherited pipe, since vault logins are among them: first `identity`, then `admit` and
`dismiss` per run, and `drain`. The end of the input means that the orchestrator is gone, and so is this process then.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Literal

import anyio
from anyio.abc import SocketStream
from pydantic import Field, TypeAdapter, ValidationError

from appliance.bus.credentials import BusLogin
from appliance.bus.opening import open_bus
from appliance.contract import ContractError, Wire, canonical
from appliance.ending import ended
from appliance.hardening import harden
from appliance.logs import bind_contextvars
from appliance.long_lived import BACKEND_OPTIONS, settle_in
from appliance.policy import Policy
from appliance.signals import drain_on_signal
from appliance.supervisor import Admission, Admissions, Identity, Supervisor
from appliance.vault.definition import VaultLogin


class IdentityMessage(Wire):
    kind: Literal["identity"]
    appliance: str
    zone: str
    bus: BusLogin
    capacity: int = Field(ge=1)
    processes: int = Field(ge=1)
    fast_path: bool = True

    def identity(self) -> Identity:
        return Identity(self.appliance, self.zone, self.bus, self.capacity, self.processes, fast_path=self.fast_path)


class AdmitMessage(Wire):
    """A run's policy and vault logins; `logins` are in the form of `VaultLogin.to_pipe`."""

    kind: Literal["admit"]
    run: str
    networks: tuple[str, ...]
    host_keys: str
    logins: tuple[dict[str, Any], ...] = Field(repr=False)

    def admission(self) -> Admission:
        """Raises ContractError or ValueError; their texts hold no value."""
        logins = tuple(VaultLogin.from_pipe(canonical(login)) for login in self.logins)
        urls = {login.access.title: login.access.url for login in logins}
        return Admission(Policy.of(self.networks, self.host_keys, urls), self.networks, logins)


class DismissMessage(Wire):
    kind: Literal["dismiss"]
    run: str


class DrainMessage(Wire):
    kind: Literal["drain"]


_MESSAGE: TypeAdapter[IdentityMessage | AdmitMessage | DismissMessage | DrainMessage] = TypeAdapter(
    Annotated[IdentityMessage | AdmitMessage | DismissMessage | DrainMessage, Field(discriminator="kind")]
)


async def _messages(
    stream: SocketStream,
) -> AsyncIterator[IdentityMessage | AdmitMessage | DismissMessage | DrainMessage]:
    """The messages until the end of the pipe. Raises ContractError."""
    rest = b""
    while True:
        try:
            rest += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return
        *lines, rest = rest.split(b"\n")
        for line in lines:
            try:
                yield _MESSAGE.validate_json(line)
            except ValidationError as error:
                where = ", ".join(".".join(map(str, e["loc"])) for e in error.errors(include_input=False))
                raise ContractError(f"unreadable message from the orchestrator: {where}") from None


def run() -> int:
    """The exit code."""
    harden()
    settle_in()
    return ended(partial(anyio.run, serve_embedded, backend_options=BACKEND_OPTIONS))


async def serve_embedded() -> None:
    """The whole life of an embedded supervisor; its standard input is a socket from its orchestrator."""
    stream = await SocketStream.from_socket(socket.socket(fileno=sys.stdin.fileno()))
    messages = _messages(stream)
    first = await anext(messages, None)
    if not isinstance(first, IdentityMessage):
        raise ContractError("the first message must say who this appliance is")
    identity = first.identity()
    bind_contextvars(appliance=identity.appliance)
    async with open_bus(identity.bus, identity.appliance, identity.zone) as bus:
        admissions = Admissions()
        supervisor = Supervisor(identity, bus, admissions)
        async with anyio.create_task_group() as tasks:
            await tasks.start(drain_on_signal, supervisor.draining, tasks.cancel_scope, name="supervisor: signals")
            tasks.start_soon(_obey, messages, admissions, supervisor, tasks.cancel_scope, name="supervisor: orders")
            await supervisor.serve()
            tasks.cancel_scope.cancel()


async def _obey(
    messages: AsyncIterator[IdentityMessage | AdmitMessage | DismissMessage | DrainMessage],
    admissions: Admissions,
    supervisor: Supervisor,
    abort: anyio.CancelScope,
) -> None:
    async for message in messages:
        if isinstance(message, AdmitMessage):
            admissions.admit(message.run, message.admission())
        elif isinstance(message, DismissMessage):
            admissions.dismiss(message.run)
        elif isinstance(message, DrainMessage):
            supervisor.draining.set()
    abort.cancel()
