"""Secrets whose approval a run waits for, and the jobs that wait with it. Pure; time comes from outside.

The rules, stated here and nowhere else:

 P1 waits    From when somebody has been asked until there is an answer, whichever, a secret is waited for.
 P2 parked   A job that only such secrets could serve is not dispatched; nor is one whose target has chosen such a
             secret among others (which one it chooses, is known only there). All others go on.
 P3 over     With the answer all of them go on: an approval lets them log in, and another answer is their reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from appliance.contract import CredentialRef

J = TypeVar("J")


@dataclass(frozen=True, slots=True)
class Unapproved:
    """A secret whose approval is waited for, for those who watch the run."""

    vault: str
    secret: str
    since: float
    waiting: int


@dataclass(slots=True)
class _State(Generic[J]):
    since: float
    parked: deque[J] = field(default_factory=deque)


class ApprovalWatch(Generic[J]):
    """`J` is whatever the dispatcher calls a job."""

    def __init__(self) -> None:
        self._waits: dict[CredentialRef, _State[J]] = {}

    def waits(self, secret: CredentialRef, since: float) -> None:
        self._waits.setdefault(secret, _State(since))

    def over(self, secret: CredentialRef) -> tuple[J, ...]:
        """The jobs that go on."""
        state = self._waits.pop(secret, None)
        return () if state is None else tuple(state.parked)

    def parks(self, job: J, secrets: Collection[CredentialRef], chosen: CredentialRef | None) -> bool:
        """Does it wait, from now on? `secrets` could serve it; `chosen` is what its target has asked for."""
        if not self._waits:
            return False
        wanted = chosen if chosen in self._waits else None
        if wanted is None and secrets and all(secret in self._waits for secret in secrets):
            wanted = max(secrets, key=lambda secret: self._waits[secret].since)
        if wanted is None:
            return False
        self._waits[wanted].parked.append(job)
        return True

    @property
    def parked(self) -> int:
        return sum(len(state.parked) for state in self._waits.values())

    def unapproved(self) -> tuple[Unapproved, ...]:
        return tuple(
            Unapproved(secret.vault, secret.label, state.since, len(state.parked))
            for secret, state in self._waits.items()
        )
