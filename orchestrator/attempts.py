"""What a run tries: targets as planned, the attempts at them that are open, and those that are to follow. Pure.

Values that dispatching, collecting and permits share; which attempt goes out, and when, is `dispatch`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.contract import Account, Candidate, CredentialRef, Target, Technology
from orchestrator.zones import DEFAULT_ZONE


@dataclass(frozen=True, slots=True)
class Planned:
    """One unit of a run: a target and a technology, with the records that may serve it."""

    job: str
    technology: Technology
    target: Target
    candidates: tuple[Candidate, ...]
    zone: str = DEFAULT_ZONE
    """That the target belongs to: its home."""

    @property
    def account(self) -> Account | None:
        """The directory account, where the plan knows it: a service-selected record is chosen by the target itself."""
        accounts = dict.fromkeys(c.account for c in self.candidates if c.account.is_directory)
        return next(iter(accounts)) if len(accounts) == 1 else None


@dataclass(frozen=True, slots=True)
class Unplannable:
    """A target that no attempt can be made at; it ends with this reason."""

    job: str
    technology: Technology
    target: Target
    reason: str
    text: str
    zone: str = DEFAULT_ZONE


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that has been dispatched and has not ended, as far as the orchestrator knows."""

    planned: Planned
    attempt: int
    lease: str
    dispatched_at: float
    give_up_at: float
    retries: int = 0
    """How many retries for transient reasons led here."""
    rotations: int = 0
    tried: tuple[str, ...] = ()
    waiting_since: float | None = None
    """When this job was first deferred for its vault."""
    turned_away: int = 0
    """How often its host has turned us away, without a break."""
    turned_away_since: float | None = None
    zone: str = DEFAULT_ZONE
    """Whose appliances are to do it."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A job that is to be dispatched again, not before a time."""

    planned: Planned
    attempt: int
    not_before: float
    retries: int = 0
    rotations: int = 0
    tried: tuple[str, ...] = ()
    waiting_since: float | None = None
    waits_for: CredentialRef | None = None
    """The secret whose approval its newest attempt was put off for."""
    turned_away: int = 0
    turned_away_since: float | None = None


def repeat_of(
    attempt: OpenAttempt, *, not_before: float, retry: bool = False, rotation: bool = False, tried: str = ""
) -> Repeat:
    """The attempt after this one."""
    return Repeat(
        attempt.planned,
        attempt=attempt.attempt + 1,
        not_before=not_before,
        retries=attempt.retries + retry,
        rotations=attempt.rotations + rotation,
        tried=(*attempt.tried, tried) if tried else attempt.tried,
        waiting_since=attempt.waiting_since,
    )


def deferred(
    attempt: OpenAttempt, *, not_before: float, for_vault: bool, now: float, waits_for: CredentialRef | None = None
) -> Repeat:
    """The attempt after a deferral; the patience with the vault begins with the first one it caused."""
    repeat = replace(repeat_of(attempt, not_before=not_before), waits_for=waits_for)
    return replace(repeat, waiting_since=attempt.waiting_since or now) if for_vault else repeat


def turned_away(attempt: OpenAttempt, *, not_before: float, now: float) -> Repeat:
    """The attempt after one that its host would not have; the patience with the host begins with the first of them."""
    since = now if attempt.turned_away_since is None else attempt.turned_away_since
    repeat = repeat_of(attempt, not_before=not_before)
    return replace(repeat, turned_away=attempt.turned_away + 1, turned_away_since=since)
