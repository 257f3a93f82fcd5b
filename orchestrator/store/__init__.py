"""The store: the truth about runs, attempts, outcomes, permits and host keys. SQL is written in this package only."""

from orchestrator.run_state import RunState
from orchestrator.store.errors import StoreError
from orchestrator.store.opening import Store, open_store
from orchestrator.store.records import (
    AttemptRow,
    Count,
    JobRow,
    OpenAttempt,
    OutcomeRow,
    PastAttempt,
    RecordUse,
    RunRecord,
    SeenKey,
    Settled,
    Totals,
    Undispatched,
    Unfinished,
)

__all__ = [
    "AttemptRow",
    "Count",
    "JobRow",
    "OpenAttempt",
    "OutcomeRow",
    "PastAttempt",
    "RecordUse",
    "RunRecord",
    "RunState",
    "SeenKey",
    "Settled",
    "Store",
    "StoreError",
    "Totals",
    "Undispatched",
    "Unfinished",
    "open_store",
]
