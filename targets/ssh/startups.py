"""Who may begin a login at a host whose sshd has limits, and what it thinks of those who were there: `sshd_policy`."""

from __future__ import annotations

import random
from collections import Counter

from targets.estate import Host
from targets.host_world import HostWorld
from targets.sshd_policy import MaxStartups, Offence, Penalties

OVERRUN = b"Exceeded MaxStartups\r\n"
PENALISED = b"Not allowed at this time\r\n"
"""OpenSSH 9.8, which has brought penalties, says this of MaxStartups too."""


class Startups:
    """Of all hosts that one process serves; only those that have limits have a state."""

    def __init__(self, world: HostWorld) -> None:
        self._world = world
        self._begun: Counter[str] = Counter()
        """Connections by host that have not logged in."""
        self._penalties: dict[str, Penalties] = {}
        self._random = random.Random(f"{world.estate.seed}|startups")

    def refusal(self, host: Host, source: str) -> bytes | None:
        """What the source is told instead of a banner; None: it may begin, and `ended` or `logged_in` follows."""
        sshd = host.conduct.sshd
        if sshd is None:
            return None
        if sshd.penalties and self._of(host).refuses(source, self._world.clock()):
            return PENALISED
        begun = self._begun[host.address]
        if sshd.max_startups and MaxStartups.of(sshd.max_startups).drops(begun, self._random.random()):
            return PENALISED if sshd.penalties else OVERRUN
        self._begun[host.address] += 1
        return None

    def logged_in(self, host: Host) -> None:
        if host.conduct.sshd is not None:
            self._begun[host.address] -= 1

    def ended(self, host: Host, source: str, offence: Offence) -> None:
        """Without a login."""
        sshd = host.conduct.sshd
        if sshd is None:
            return
        self._begun[host.address] -= 1
        if sshd.penalties:
            self._of(host).punish(source, offence, self._world.clock())

    def _of(self, host: Host) -> Penalties:
        return self._penalties.setdefault(host.address, Penalties())
