"""A second command line speaks to the process that holds the state directory."""

from __future__ import annotations

import ssl
from typing import Self

from appliance.bus import BusError, BusUnavailable, Timing, subjects
from appliance.bus.link import Link


class ControlClient:
    """Implements `ControlBus`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def ask(self, verb: str, body: bytes, wait: float) -> bytes:
        try:
            reply = await self._link.request(subjects.control(verb), body, wait=wait)
        except BusUnavailable as error:
            raise BusError(f"the process that holds the state directory does not answer {verb!r}: {error}") from error
        return reply.data

    async def close(self) -> None:
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def connect_control(
    url: str, *, seed: str, token: str = "", tls: ssl.SSLContext | None = None, timing: Timing | None = None
) -> ControlClient:
    """Connect with the seed that the holder's record names. Raises BusRefused, BusUnavailable."""
    link = await Link.open(
        url,
        name="keymuster control",
        inbox=subjects.CONTROL_INBOX,
        seed=seed,
        token=token,
        tls=tls,
        timing=timing or Timing(),
    )
    return ControlClient(link)
