"""Appliances that are alive, and runs that are open."""

from __future__ import annotations

from typing import Literal

from appliance.contract.wire import VERSION, Wire


class Heartbeat(Wire):
    """An appliance is alive: how much it can carry and what it is doing."""

    v: Literal[1] = VERSION
    appliance: str
    zone: str
    capacity: int
    in_flight: int
    runs: tuple[str, ...] = ()
    sent_at: float
    draining: bool = False
    pulling: int = 0
    """Scan processes that take jobs, of all runs."""
    loop_lag_ms: float = 0.0
    """How late their event loops have been of late, the worst of them."""


class RunNotice(Wire):
    """A run is open in a zone: appliances start scan processes for it, and end them when the notice is gone."""

    v: Literal[1] = VERSION
    run: str
    zone: str
    vaults: tuple[str, ...]
    targets: int
    """That it has been planned for: as many scan processes as pay for their start are started at once."""
    paused: bool = False
