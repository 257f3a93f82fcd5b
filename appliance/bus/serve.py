"""Answering requests concurrently."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from appliance.bus import BusUnavailable
from appliance.bus.link import Link, Message
from appliance.logs import get_logger

log = get_logger(__name__)

_LAST_ANSWERS = 5.0
"""Seconds that answers in the making are given when the service ends."""


@asynccontextmanager
async def serve(
    link: Link, subject: str, answer: Callable[[Message], Awaitable[bytes | None]], *, queue: str = ""
) -> AsyncIterator[None]:
    """Answer what arrives on the subject while the context is open, each request in a task of its own.

    `answer` turns what it cannot read into an answer, or None: then somebody else is to answer. An exception of it is a
    bug and ends the context.
    """

    async def one(message: Message) -> None:
        body = await answer(message)
        if message.reply and body is not None:
            try:
                await link.publish(message.reply, body)
            except BusUnavailable as error:
                log.warning("bus.answer_lost", subject=message.subject, text=str(error))

    async with link.listen(subject, queue) as source, anyio.create_task_group() as answering:
        async with anyio.create_task_group() as taking:

            async def take() -> None:
                async for message in source:
                    answering.start_soon(one, message, name=f"answer {message.subject}")

            taking.start_soon(take, name=f"serve {subject}")
            yield
            taking.cancel_scope.cancel()
        answering.cancel_scope.deadline = anyio.current_time() + _LAST_ANSWERS
