"""A second command line speaks to the process that holds the state directory."""

from __future__ import annotations

import ssl
from typing import Self

from appliance.bus import BusError, BusUnavailable, Timing, subjects
from appliance.bus.link import Link

RUNS_DESK = "runs"
"""Where an orchestrator on a bus of the user's own is asked what the only one on a bus is asked as `control`."""


class ControlClient:
    """Implements `ControlBus`. `orchestrator`: the name of the one that is spoken to, where there may be several."""

    def __init__(self, link: Link, orchestrator: str = "") -> None:
        self._link = link
        self._orchestrator = orchestrator

    async def ask(self, verb: str, body: bytes, wait: float) -> bytes:
        name = self._orchestrator
        subject = subjects.orchestrator(name, RUNS_DESK, verb) if name else subjects.control(verb)
        who = f"orchestrator {name}" if name else "the process that holds the state directory"
        try:
            reply = await self._link.request(subject, body, wait=wait)
        except BusUnavailable as error:
            raise BusError(f"{who} does not answer {verb!r}: {error}") from error
        return reply.data

    async def close(self) -> None:
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def connect_control(
    url: str,
    *,
    seed: str,
    token: str = "",
    tls: ssl.SSLContext | None = None,
    timing: Timing | None = None,
    orchestrator: str = "",
) -> ControlClient:
    """Connect with the seed that the holder's record names; or with our own on a bus of the user's, to one of several
    orchestrators. Raises BusRefused, BusUnavailable.
    """
    link = await Link.open(
        url,
        name="keymuster control",
        inbox=subjects.CONTROL_INBOX,
        seed=seed,
        token=token,
        tls=tls,
        timing=timing or Timing(),
    )
    return ControlClient(link, orchestrator)
