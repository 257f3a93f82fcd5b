"""What `serve` shows to those who watch it: is it alive, is it ready, and its metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from appliance.exposition import metrics_page
from appliance.listener import Page
from orchestrator.cli.engine import Engine
from orchestrator.metrics import Metrics
from orchestrator.readiness import Readiness


@dataclass(slots=True)
class Pages:
    """They are there before the engine is, and say so."""

    engine: Engine | None = None
    metrics: Metrics | None = None
    zone: str = ""
    """On a bus of the user's own, the zone whose appliances it is ready with; empty: any."""

    def by_path(self) -> Mapping[str, Callable[[], Awaitable[Page]]]:
        return {"/healthz": self._alive, "/readyz": self._ready, "/metrics": self._metrics}

    async def _alive(self) -> Page:
        return Page("ok\n")

    async def _metrics(self) -> Page:
        return await metrics_page(await self.metrics.families() if self.metrics is not None else ())

    async def _ready(self) -> Page:
        engine = self.engine
        if engine is None:
            return Page("engine: starting\n", 503)
        readiness = Readiness(
            engine.store, lambda: engine.bus.connected, engine.service.working_zones, engine.stand_in or self.zone
        )
        lacks = await readiness.lacks()
        return Page("\n".join(lacks) + "\n", 503) if lacks else Page("ok\n")
