"""The lines of the permit ledger: what has been granted, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.contract import Account, Part


class EntryKind(StrEnum):
    GRANTED = "granted"
    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    BREAKER = "breaker"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One line of the permit ledger. The ledger, replayed in order, is the pacer's whole memory."""

    kind: EntryKind
    account: Account
    run: str
    job: str
    """With `/` and its part behind it where it is not the login's own: to the pacer that is a job like others."""
    attempt: int
    at: float
    expires_at: float = 0.0
    """Of a grant: when it counts as a failure."""
    cause: str = ""
    """The reason code, of a failure or breaker; of what is neutral that, or why it proves nothing; BY_KEY of a success
    that clears nothing.
    """
    holder: str = ""
    """Of a grant: the token of who has it; empty where an older release wrote it."""

    @property
    def logons(self) -> int:
        """Of a grant: as so many failed logons it may count, going by its part, since nothing else of it is written."""
        return 2 if self.job.endswith(f"/{Part.ROOT}") else 1
