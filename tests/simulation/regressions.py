"""Seeds that once broke a promise, each with the fault it found. They are run first, for ever."""

from __future__ import annotations

LAYER_1: dict[int, str] = {
    0: "a target that was held when the orchestrator died was passed over by its cursor: it had no row",
    16624: "a job that a stop had left out went out after all, when power was cut between its outcome and its cursor",
}

LAYER_2: dict[int, str] = {
    2: "a password outlived its login when the deadline struck while the host decided",
    60: "a run that was stopped waited for ever for the job of a scan process that had died",
    75: "a job whose report was lost was never given out again, since its idle scan processes had ended",
}
