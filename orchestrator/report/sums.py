"""A run's totals in words, for a list of runs and for a report."""

from __future__ import annotations

from appliance.reasons import Status
from orchestrator.store.records import Totals


def sums(totals: Totals) -> str:
    """How many passed, failed... in words."""
    parts = [f"{totals.of(status):,} {status.value.lower()}" for status in Status]
    return ", ".join([*parts, *([f"{totals.open:,} open"] if totals.open else [])])
