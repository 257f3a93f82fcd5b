"""What stands between a user and a secret's values. Pure: the moment is given, nothing is changed.

Rules:
1. Access first: a secret that a user may not view says nothing else about itself.
2. Double lock binds everybody. Approval does not bind owners and approvers. Check-out does not bind unlimited
   administrators. A comment is asked of everybody, and serves its user for a while.
3. A check-out is asked for last, so that nobody holds a secret who would not have been shown it.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from enum import StrEnum

from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rights import Access, Permission
from targets.secret_server.secrets import Checkout, StoredSecret
from targets.secret_server.users import Caller


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request brings along to view a secret: the arguments of `restricted`, or of a GET's query."""

    comment: str = ""
    ticket: str = ""
    ticket_system: int | None = None
    double_lock_password: str = ""
    force_check_in: bool = False
    include_inactive: bool = False
    no_auto_checkout: bool = False
    auto_check_in: bool = False
    """Check it in again once it has been shown."""


class SecretStanding(StrEnum):
    """`secretState`: the first thing that a user must do before a view."""

    NONE = "None"
    APPROVAL = "RequiresApproval"
    CHECKOUT = "RequiresCheckout"
    COMMENT = "RequiresComment"
    DOUBLE_LOCK = "RequiresDoubleLockPassword"
    CANNOT_VIEW = "CannotView"
    UNDELETE = "RequiresUndelete"
    PENDING_CHANGE = "RequiresCheckoutPendingRPC"
    CHECKOUT_AND_COMMENT = "RequiresCheckoutAndComment"


def refused_view(secret: StoredSecret, caller: Caller, ask: Ask, now: float, *, approved: bool) -> Refused | None:
    """What a view is refused for, the check-out aside."""
    if not caller.user.may(Permission.VIEW_SECRET):
        return Refused(Why.ROLE_MISSING, Permission.VIEW_SECRET)
    if caller.user.access(secret) < Access.VIEW or not (secret.shown_active or ask.include_inactive):
        return Refused(Why.ACCESS_DENIED)
    lock = secret.security.double_lock
    if lock and not hmac.compare_digest(lock.encode(), ask.double_lock_password.encode()):
        return Refused(Why.DOUBLE_LOCK)
    if needs_approval(secret, caller) and not approved:
        return Refused(Why.APPROVAL_REQUIRED)
    return refused_words(secret, ask) if lacks_comment(secret, caller, now) else None


def refused_words(secret: StoredSecret, ask: Ask) -> Refused | None:
    """What a comment that is needed is refused for, and the ticket with it."""
    if not ask.comment:
        return Refused(Why.COMMENT_REQUIRED)
    if not secret.security.ticket:
        return None
    if not ask.ticket:
        return Refused(Why.TICKET_REQUIRED)
    known_system = secret.security.ticket_system in (0, ask.ticket_system)
    if not known_system or not re.fullmatch(secret.security.ticket, ask.ticket):
        return Refused(Why.TICKET_INVALID)
    return None


def standing(secret: StoredSecret, caller: Caller, now: float, *, approved: bool) -> SecretStanding:
    """What a secret's state says to a caller who can at least list it."""
    if caller.user.access(secret) < Access.VIEW or not caller.user.may(Permission.VIEW_SECRET):
        return SecretStanding.CANNOT_VIEW
    if not secret.shown_active:
        return SecretStanding.UNDELETE
    if secret.security.double_lock:
        return SecretStanding.DOUBLE_LOCK
    if needs_approval(secret, caller) and not approved:
        return SecretStanding.APPROVAL
    if binds_checkout(secret, caller) and not held_by(secret, caller, now):
        if secret.changing and holder(secret, now) is None:
            return SecretStanding.PENDING_CHANGE
        return SecretStanding.CHECKOUT_AND_COMMENT if lacks_comment(secret, caller, now) else SecretStanding.CHECKOUT
    return SecretStanding.COMMENT if lacks_comment(secret, caller, now) else SecretStanding.NONE


def needs_approval(secret: StoredSecret, caller: Caller) -> bool:
    if not secret.security.approvers:
        return False
    return not (caller.user.access(secret) >= Access.OWNER or is_approver(secret, caller))


def is_approver(secret: StoredSecret, caller: Caller) -> bool:
    return caller.user.name.casefold() in {name.casefold() for name in secret.security.approvers}


def binds_checkout(secret: StoredSecret, caller: Caller) -> bool:
    return secret.security.checkout and not caller.user.unlimited


def lacks_comment(secret: StoredSecret, caller: Caller, now: float) -> bool:
    """Must a view still say why? Who holds the secret has said so."""
    if not secret.needs_comment or held_by(secret, caller, now):
        return False
    return now >= secret.comments.get(caller.user.id, 0.0)


def holder(secret: StoredSecret, now: float) -> Checkout | None:
    """The check-out that counts at this moment."""
    return secret.checkout if secret.checkout is not None and now < secret.checkout.until else None


def held_by(secret: StoredSecret, caller: Caller, now: float) -> bool:
    held = holder(secret, now)
    return held is not None and held.user_id == caller.user.id


def minutes_left(secret: StoredSecret, now: float) -> int:
    """Of its check-out, begun minutes as whole ones; 0 while nobody has it."""
    held = holder(secret, now)
    return 0 if held is None else max(1, -int(-(held.until - now) // 60))


def may_see_passwords(secret: StoredSecret, caller: Caller) -> bool:
    return not secret.security.hide_password or caller.user.may(Permission.VIEW_LAUNCHER_PASSWORD)
