"""The words and figures of a comparison between what was predicted and what was."""

from __future__ import annotations

from orchestrator.capacity.comparison import Comparison

COMPARED = {
    "duration_s": "duration, s",
    "logins_per_s": "logins/s",
    "secret_views": "secret views",
    "failed_logons": "failed logons",
}
"""By the names of `Comparison.rows`."""


def figure(name: str, value: float) -> str:
    return f"{value:,.1f}" if name in ("duration_s", "logins_per_s") else f"{value:,.0f}"


def source(comparison: Comparison) -> str:
    """What the prediction was made of, and what it took for the limit."""
    told = comparison.foreseen
    by = f"earlier runs ({', '.join(told.runs)})" if told.runs else "assumed times alone"
    return f"Predicted from {by}; bound by {told.bound_by}"
