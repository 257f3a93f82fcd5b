"""What the hosts of an estate stand on while it runs: accounts, counters, and the time since it came up.

In a lab of one process it is a part of `World`; a shard has one of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from targets.directory import Accounts
from targets.estate import Estate
from targets.metrics import Metrics, Tally, tally
from targets.outages import Outages


class HostWorld:
    """`clock` gives seconds that only grow, and are the same in all processes of the lab."""

    def __init__(self, estate: Estate, accounts: Accounts, clock: Callable[[], float] = time.monotonic) -> None:
        self.estate = estate
        self.accounts = accounts
        self.metrics = Metrics()
        self.outages = Outages(clock)
        self.clock = clock
        self.began = clock()
        """When the lab was ready: what hosts do by the time, they do from then on."""
        self.misdirected: Callable[[str], bool] = lambda _address: False
        """Has a connection for this address come to the wrong process?"""

    @property
    def age(self) -> float:
        """Seconds since the lab was ready."""
        return self.clock() - self.began

    def tally(self) -> Tally:
        return tally(self.metrics, self.accounts)
