"""A command that waits says for what: after a moment, since most waits are over before anybody wonders."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.bus import Timing
from appliance.logs import get_logger
from orchestrator.cli.ending import complain

NOTICE_S = 3.0
BUS_WAIT_S = Timing().retry
"""How long a connection to the bus is tried for."""


@contextmanager
def told(what: str, limit: float) -> Iterator[None]:
    """Around a wait of at most `limit` seconds: once it has taken NOTICE_S, say what is waited for, and how long."""
    notice = asyncio.get_running_loop().call_later(NOTICE_S, _say, f"waiting for {what}, for {limit:g} s at most")
    try:
        yield
    finally:
        notice.cancel()


@contextmanager
def told_of_bus(url: str) -> Iterator[None]:
    """Around the connecting to it."""
    with told(f"the bus at {url}", BUS_WAIT_S):
        yield


def _say(text: str) -> None:
    """As a line of the log where there is one (`serve`), or as any word of a command."""
    log = get_logger()
    if log.is_enabled_for(logging.WARNING):
        log.warning(text)
    else:
        complain(text)
