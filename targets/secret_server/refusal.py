"""Why the vault refuses, by name. What each becomes on the wire is for REST and SOAP to say.

Order of refusals for a secret: role, then existence and access, then activity, then what its security asks for (double
lock, approval, somebody else's check-out, comment, own check-out). Missing, forbidden and inactive are one refusal:
they cannot be told apart from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    ACCESS_DENIED = "access denied"
    """Missing, forbidden or inactive."""
    ROLE_MISSING = "role permission missing"
    COMMENT_REQUIRED = "comment required"
    TICKET_REQUIRED = "ticket required"
    TICKET_INVALID = "ticket invalid"
    CHECKOUT_REQUIRED = "check-out required"
    CHECKED_OUT = "checked out by another user"
    CHANGE_PENDING = "password change pending"
    APPROVAL_REQUIRED = "approval required"
    DOUBLE_LOCK = "double-lock password required"
    NO_FIELD = "no such field"
    NOT_CHECKED_OUT = "not checked out"
    NOT_POSSIBLE = "not possible for this secret"
    READ_ONLY = "read-only mode"
    INVALID = "invalid argument"
    UNAVAILABLE = "unavailable"
    """A fault of the estate: the secret's values are answered with 503."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An expected failure, as a value."""

    why: Why
    detail: str = ""
    """A user's name for CHECKED_OUT, a parameter's for INVALID; never a value."""
