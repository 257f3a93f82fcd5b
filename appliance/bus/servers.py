"""Where a bus is: one server, or those of a cluster; and which of them is tried when, after a connection broke.

Everybody on a server loses it at the same moment. So nobody comes back at once: each try waits a random part of a time
that doubles with every round through the servers ("full jitter"), and so those who had a server in common come back
spread over the time that it was away, up to LONGEST_WAIT_S.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from nats.aio.client import Server

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0


def servers_of(url: str) -> list[str]:
    """The servers that a URL names: one, or several with commas between them."""
    return [one.strip() for one in url.split(",") if one.strip()]


def is_loopback(url: str) -> bool:
    """Does the URL name this machine? A name other than `localhost` does not count: it may resolve to anything."""
    return all(map(_is_loopback, servers_of(url)))


def wants_tls(url: str) -> bool:
    return any(urlsplit(one).scheme == "tls" for one in servers_of(url))


def is_known(server: str) -> bool:
    """Does it say how it is spoken to in a way that we know, or not at all?"""
    scheme, mark, _ = server.partition("://")
    return not mark or scheme in ("nats", "tls")


def _is_loopback(server: str) -> bool:
    host = urlsplit(server if "://" in server else f"nats://{server}").hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Redial:
    """The library's `reconnect_to_server_handler`: the server to try next, and the seconds to wait before."""

    def __init__(self, uniform: Callable[[float, float], float] | None = None) -> None:
        self._uniform = uniform or Random().uniform  # noqa: S311 - it spreads load, and keeps no secret
        self._tries = 0

    def connected(self) -> None:
        self._tries = 0

    def __call__(self, servers: Sequence[Server], _info: dict[str, Any]) -> tuple[Server, float]:
        """`servers`: in an order of the library's, drawn anew whenever a connection breaks; never empty."""
        turn, which = divmod(self._tries, len(servers))
        self._tries += 1
        longest = min(FIRST_WAIT_S * 2 ** min(turn, 10), LONGEST_WAIT_S)
        return servers[which], self._uniform(0.0, longest)
