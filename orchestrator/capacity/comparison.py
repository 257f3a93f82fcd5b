"""What was predicted of a run, as its snapshot keeps it, beside what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from orchestrator.capacity.costs import Costs
from orchestrator.capacity.model import Prediction
from orchestrator.capacity.spent import Spent

KEY = "prediction"
"""In a run's snapshot."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    duration_s: float
    logins: int
    views: int
    failed: int
    failed_at_most: int
    bound_by: str
    """`vault 'Secret Server Vault'`, `in flight`"""
    runs: tuple[str, ...]
    """Whose times it was made of; empty where all was assumed."""

    def data(self) -> dict[str, Any]:
        return {**asdict(self), "runs": list(self.runs)}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "runs": tuple(data["runs"])})


def foreseen(prediction: Prediction, costs: Costs) -> Foreseen:
    return Foreseen(
        duration_s=prediction.duration_s,
        logins=prediction.logins,
        views=prediction.views,
        failed=prediction.failed,
        failed_at_most=prediction.failed_at_most,
        bound_by=prediction.binding.described,
        runs=costs.runs,
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    foreseen: Foreseen
    duration_s: float
    logins: int
    """Attempts that have sent a password or signature."""
    views: int
    failed: int
    """Failed logons, as they count towards lock-out."""

    def rows(self) -> Iterator[tuple[str, float, float]]:
        """Name, predicted, actual."""
        told = self.foreseen
        yield "duration_s", told.duration_s, self.duration_s
        yield "logins_per_s", told.logins / max(told.duration_s, 1e-3), self.logins / max(self.duration_s, 1e-3)
        yield "secret_views", told.views, self.views
        yield "failed_logons", told.failed, self.failed


def compared(
    snapshot: Mapping[str, Any], spent: Mapping[str, Any] | None, *, logins: int, views: int, failed: int
) -> Comparison | None:
    """None where nothing was predicted, and for a run that was stopped or resumed: its time tells nothing."""
    if KEY not in snapshot or spent is None:
        return None
    return Comparison(Foreseen.of(snapshot[KEY]), Spent.of(spent).duration, logins, views, failed)
