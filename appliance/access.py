"""What an attempt asks of the owner of its run before a secret may be viewed: a check-out, or somebody's approval.

Both belong to the run, not to the process that wants the secret: the orchestrator sees to it that there is one, and
only one. Frozen, typed and versioned as all of the contract is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from appliance.contract import CredentialRef, Wire


class AccessKind(StrEnum):
    CHECK_OUT = "check-out"
    APPROVAL = "approval"


class AccessRequest(Wire):
    """This secret cannot be viewed before it is checked out, or before its approver has agreed."""

    v: Literal[1] = 1
    kind: AccessKind
    run: str
    job: str
    attempt: int
    lease: str
    secret: CredentialRef
    """As the record names it."""
    secret_id: int
    record: str = ""


class AccessAnswer(Wire):
    """The secret is the run's to view now; or the reason why not."""

    v: Literal[1] = 1
    ok: bool
    waiting: bool = False
    """Not yet: the job is to be put off, and is sent again when there is an answer."""
    reason: str = ""
    text: str = ""
