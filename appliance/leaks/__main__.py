"""`python -m appliance.leaks`: the supervisor of one search. It has the vaults' logins, and reads no secret.

An `Order` comes by standard input, one line; a `Searched` goes to standard output. The end of the input means that the
command is gone, and so is this process then, and with it the searcher.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import anyio
from anyio.abc import SocketStream

from appliance.channel import Channel, TokenAsk, TokenGive
from appliance.child import start_child
from appliance.contract import ContractError, canonical
from appliance.hardening import harden
from appliance.leaks.orders import Order, Search, Searched
from appliance.vault.definition import VaultLogin
from appliance.vault.grantor import Grantor, open_grantor

ORDER_LIMIT = 1 << 26
BAD_INPUT, CRASHED = 2, 1
END_WAIT_S = 5.0


async def serve() -> int:
    """One search; the process's exit code. Raises ContractError for an order that cannot be read."""
    stream = await SocketStream.from_socket(socket.socket(fileno=sys.stdin.fileno()))
    order = Order.decode(await _line(stream))
    logins = [VaultLogin.from_pipe(canonical(login)) for login in order.logins]
    done: Searched | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_with, stream, tasks.cancel_scope, name="leaks: command")
        async with AsyncExitStack() as stack:
            grantors = {login.access.title: await stack.enter_async_context(open_grantor(login)) for login in logins}
            channel = await stack.enter_async_context(_searcher())
            await channel.send(
                Search(
                    vaults=tuple(login.access for login in logins),
                    wanted=order.wanted,
                    paths=order.paths,
                    processes=order.processes,
                    since=order.since,
                    purpose=order.purpose,
                    terms=order.terms,
                )
            )
            done = await _answer(channel, grantors)
        tasks.cancel_scope.cancel()
    if done is None:
        return CRASHED
    sys.stdout.write(done.model_dump_json() + "\n")
    return 0


async def _line(stream: SocketStream) -> bytes:
    """The first line. Raises ContractError where none comes."""
    data = b""
    while not data.endswith(b"\n"):
        try:
            data += await stream.receive(1 << 20)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            raise ContractError("the command is gone before its order came") from None
        if len(data) > ORDER_LIMIT:
            raise ContractError("the order has no end")
    return data


async def _end_with(stream: SocketStream, work: anyio.CancelScope) -> None:
    """Nothing more comes but the end."""
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        work.cancel()


@asynccontextmanager
async def _searcher() -> AsyncIterator[Channel]:
    """A searcher, which does not outlive the context: its end destroys what it has read."""
    process, channel = await start_child("appliance.leaks.searcher")
    try:
        yield channel
    finally:
        with anyio.CancelScope(shield=True):
            await channel.aclose()
            with anyio.move_on_after(END_WAIT_S):
                await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def _answer(channel: Channel, grantors: Mapping[str, Grantor]) -> Searched | None:
    """Give tokens until the search is over; None for a searcher that ended without a word."""
    done: Searched | None = None
    async with anyio.create_task_group() as answers:
        while done is None and (message := await channel.receive()) is not None:
            if isinstance(message, TokenAsk):
                answers.start_soon(_give, channel, message, grantors[message.vault], name="leaks: token")
            elif isinstance(message, Searched):
                done = message
        answers.cancel_scope.cancel()
    return done


async def _give(channel: Channel, ask: TokenAsk, grantor: Grantor) -> None:
    given = TokenGive.of(ask, await grantor.token(ask.stale))
    with suppress(anyio.BrokenResourceError):  # the searcher is gone, which its channel's end tells
        await channel.send(given)


def main() -> int:
    harden()
    try:
        return anyio.run(serve)
    except ContractError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
