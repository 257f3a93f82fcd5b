"""What has been read of one vault's listings, for all who look for secrets in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

from appliance.vault.listing import Listed
from appliance.vault.machines import MachineListing
from appliance.vault.names import NameListing


class Catalogue:
    def __init__(self, max_age: float = inf, clock: Callable[[], float] = time.monotonic) -> None:
        """`max_age`: seconds that a listing answers for."""
        self.machines = Listed(MachineListing, max_age, clock)
        self.names = Listed(NameListing, max_age, clock)
