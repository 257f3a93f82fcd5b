"""Which of a job's records applies: known in part before the dial, and for good after the target's challenge. Pure."""

from __future__ import annotations

from appliance.contract import Candidate, Selection
from appliance.login import Negotiated


def choosable(candidates: list[Candidate]) -> list[Candidate]:
    """Those that `choose` can come to: none after the first that applies whatever the target says."""
    chosen = [c.selection is not Selection.SERVICE_SELECTED for c in candidates]
    return candidates[: chosen.index(True) + 1] if any(chosen) else candidates


def choose(candidates: list[Candidate], negotiated: Negotiated) -> Candidate | None:
    """The first record that applies: a service-selected one only where the target's domain is its own."""
    for candidate in candidates:
        if candidate.selection is not Selection.SERVICE_SELECTED:
            return candidate
        if negotiated.domain and candidate.domain.split(".")[0].lower() == negotiated.domain.lower():
            return candidate
    return None
