"""Seeds that once broke a promise, each with the fault it found. They are run first, for ever."""

from __future__ import annotations

REGRESSIONS: dict[int, str] = {
    0: "a target that was held when the orchestrator died was passed over by its cursor: it had no row",
}
