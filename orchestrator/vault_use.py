"""A run as the offices see it that ask its vaults for it (`check_outs`, `approvals`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from appliance.access import AccessRequest
from appliance.contract import CredentialRef
from appliance.questions import VaultAnswer, VaultQuery
from orchestrator.attempts import OpenAttempt
from orchestrator.purposes import Purposes
from orchestrator.store.records import ApprovalRow, CheckOutRow

Ask = Callable[[str, VaultQuery, float], Awaitable[VaultAnswer]]
"""Puts a question to a vault through an appliance of a zone. Raises BusError."""
SecretKey = tuple[str, str, int]
"""A secret as a vault counts what is out of it: its URL, its user, the secret's id."""
R = TypeVar("R", bound=ApprovalRow | CheckOutRow)


class Rows(Protocol[R]):
    """Where an office remembers what it has asked a vault for. Raises StoreError."""

    async def put(self, row: R) -> None: ...

    async def drop(self, row: R) -> None: ...

    async def hand_over(self, row: R, dead: Collection[str]) -> R:
        """Drop a row where another run that is not dead has one of the same: that one has it from now on. The row that
        has it.
        """
        ...

    async def of_secret(self, row: R) -> list[R]:
        """All runs' rows of a row's secret."""
        ...

    async def all(self) -> list[R]: ...


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """How approval is asked for; in seconds."""

    wait: float
    window: float
    """Access is asked for from the request on, for so long."""


@dataclass(frozen=True, slots=True)
class VaultUse:
    """A vault of a run: whose check-outs and requests they are, and whether there may be any."""

    title: str
    url: str
    user: str
    check_out: bool = True
    approval: ApprovalTerms | None = None
    """None: no approval is asked for."""


class HoldingRun(Protocol):
    """What must be known of a run that is open."""

    @property
    def run(self) -> str: ...

    @property
    def vaults(self) -> Iterable[VaultUse]: ...

    @property
    def purposes(self) -> Purposes: ...

    def current(self, job: str) -> OpenAttempt | None: ...

    def asked_in(self, zone: str) -> str:
        """Whose appliances are asked: this zone's, or those of another of the run's while it has none."""
        ...

    def approval_waits(self, secret: CredentialRef, since: float) -> None:
        """Somebody has been asked: jobs that it alone could serve need not be sent."""
        ...

    def approval_over(self, secret: CredentialRef) -> None:
        """There is an answer, whichever: they go on."""
        ...

    async def needs(self, secret: CredentialRef) -> bool:
        """May a job that has no outcome yet ask for it?"""
        ...


def is_genuine(request: AccessRequest, run: HoldingRun) -> bool:
    """Is it for an attempt that we have out, with its lease, and for a secret that one of its records names?"""
    attempt = run.current(request.job)
    if attempt is None or attempt.attempt != request.attempt or attempt.lease != request.lease:
        return False
    return any(request.secret in candidate.secrets for candidate in attempt.planned.candidates)
