"""How well the vault's server does, in numbers: `[vault.weather]` of the estate file, and an order while it runs.

Unlike the faults of `vault_faults`, which hit every request, these hit a share of them. Which ones, the estate's seed
decides.

[vault.weather]
latency = { median = "20ms", p99 = "400ms" }
requests_per_second = 50
bursts = { every = "60s", lasting = "5s", status = 503 }
mangled = { truncated = 0.01, reset = 0.01 }
audit = { drop = 0.05 }
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from targets.parts import Part, Seconds, Share
from targets.vault_faults import Mangle


class LatencySpec(Part):
    """Log-normal, as latencies of web servers are."""

    median: Seconds
    p99: Seconds

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 < self.median <= self.p99:
            raise ValueError("median must be more than 0 and not more than p99")
        return self


class BurstSpec(Part):
    """The first `lasting` seconds of every `every`: errors to everything."""

    every: Annotated[Seconds, Field(gt=0)]
    lasting: Seconds
    status: Literal[500, 502, 503, 504] = 503


class AuditFaultsSpec(Part):
    """Shares of the audit's rows that are not written, or are written twice."""

    drop: Share = 0.0
    duplicate: Share = 0.0


class WeatherSpec(Part):
    latency: LatencySpec | None = None
    requests_per_second: Annotated[float, Field(ge=0)] = 0.0
    """Beyond it 429 is answered, with Retry-After; 0: no limit."""
    burst: Annotated[int, Field(ge=0)] = 0
    """So many requests may come at once; 0: as many as in a second."""
    retry_after: Literal["seconds", "date"] = "seconds"
    """Both forms of the header are in the standard."""
    bursts: BurstSpec | None = None
    mangled: dict[Mangle, Share] = Field(default_factory=dict)
    """Shares of the answers that come wrong."""
    clock_skew: float = 0.0
    """Seconds that the vault's date is ahead (or, negative, behind)."""
    audit: AuditFaultsSpec = AuditFaultsSpec()
