"""May a password be submitted now, and what became of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from appliance.contract.evidence import Reread, Signal
from appliance.contract.logins import Account
from appliance.contract.wire import Phase, Technology, Wire


class PermitRequest(Wire):
    """May this attempt submit a password for this account now? Asked at most once per attempt and part."""

    v: Literal[1] = 1
    kind: Literal["request"] = "request"
    run: str
    job: str
    attempt: int
    lease: str
    holder: str
    """A random token of this asking, which the release must echo: a redelivered job may ask beside its twin, and must
    not give back what the other one holds."""
    account: Account
    record: str
    part: str = ""
    """Of an attempt that logs in more than once, which login it is for: each has a permit of its own."""
    valid_for: float
    """Seconds in which the verdict will be known; a permit not released by then counts as a failed logon."""
    logons: int = 1
    """As so many failed logons a failure would count."""


class PermitVerdict(StrEnum):
    GRANTED = "granted"
    WAIT = "wait"
    """Not now: hang up, defer the job until `until`."""
    SKIP = "skip"
    """The account's breaker is open or its budget spent, or an admin has stopped the login: do not submit; `cause` says
    why."""
    DUPLICATE = "duplicate"
    """This attempt has had its permit: a redelivery must not submit a second password."""


class PermitAnswer(Wire):
    v: Literal[1] = 1
    verdict: PermitVerdict
    cause: str = ""
    """For SKIP: the reason code that opened the breaker, LOCKOUT_BUDGET_SPENT, or STOPPED, with the stop in `text`."""
    text: str = ""
    until: float = 0.0


class PermitRelease(Wire):
    """The verdict of a permit: the pacer classifies the signal itself."""

    v: Literal[1] = 1
    kind: Literal["release"] = "release"
    run: str
    job: str
    attempt: int
    lease: str
    holder: str
    part: str = ""
    technology: Technology
    account: Account
    phase: Phase
    signal: Signal
    submitted: bool
    logons: int = 1
    """As so many failed logons a failure counts: sudo begins a second try before anybody can hang up, and PAM counts
    that too."""
    reread: Reread = Reread.NOT_DONE
    facts: dict[str, str] = Field(default_factory=dict)
    """Of the evidence; `auth_method` of a login that was let in."""

    @property
    def by_key(self) -> bool:
        """A key was taken, or a certificate: no password, right or wrong."""
        return self.facts.get("auth_method") == "publickey"


PermitAsk = PermitRequest | PermitRelease
"""What a scan process says to the pacer."""
