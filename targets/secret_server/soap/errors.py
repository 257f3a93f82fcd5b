"""What each refusal becomes in SOAP: a text among `Errors`, and a `SecretError` where a secret asks for more. Pure.

UNSURE: all wordings, the spelling of the codes, and whether a text stands beside a SecretError; clients key on whether
there is an error at all.
"""

from __future__ import annotations

import json

from targets.secret_server.logins import Barred
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.soap.values import Values
from targets.secret_server.tokens import TokenState
from targets.vault_faults import EXPIRED, REFUSED, Reply

LOGIN_FAILED = "Login failed."
DEAD_TOKEN = "Authentication failed or expired token"  # noqa: S105 - a message
"""For an expired token and for one that never was: here they are alike."""
NOT_FROM_HERE = "Access is not allowed from this IP address."

COMMENT, DOUBLE_LOCK = "COMMENT", "DOUBLELOCK"
"""Codes that a caller can respond to: with a reason, with the second password."""

_TEXTS = {
    Why.ACCESS_DENIED: "Access Denied",
    Why.ROLE_MISSING: "You do not have permission to perform this operation.",
    Why.COMMENT_REQUIRED: "The requested Secret requires a comment when viewed.",
    Why.TICKET_REQUIRED: "The requested Secret requires a ticket number when viewed.",
    Why.TICKET_INVALID: "The ticket number is not valid.",
    Why.CHECKOUT_REQUIRED: "The requested Secret requires check out.",
    Why.CHECKED_OUT: "The requested Secret is checked out by {detail}.",
    Why.CHANGE_PENDING: "A password change of the requested Secret is pending.",
    Why.APPROVAL_REQUIRED: "The requested Secret requires approval for access.",
    Why.DOUBLE_LOCK: "The requested Secret requires its DoubleLock password.",
    Why.NO_FIELD: "The field does not exist or has no file.",
    Why.NOT_CHECKED_OUT: "The Secret is not checked out.",
    Why.NOT_POSSIBLE: "Not possible: {detail}.",
    Why.READ_ONLY: "Secret Server is in read-only mode.",
    Why.INVALID: "The value of {detail} is not valid.",
    Why.UNAVAILABLE: "Unavailable",
}
_CODES = {
    Why.COMMENT_REQUIRED: (COMMENT, "Comment", "Ticket Number"),
    Why.TICKET_REQUIRED: (COMMENT, "Comment", "Ticket Number"),
    Why.TICKET_INVALID: (COMMENT, "Comment", "Ticket Number"),
    Why.DOUBLE_LOCK: (DOUBLE_LOCK, "DoubleLock Password", ""),
    Why.APPROVAL_REQUIRED: ("APPROVAL", "", ""),
    Why.CHECKED_OUT: ("CHECKOUT", "", ""),
    Why.CHANGE_PENDING: ("CHECKOUTPENDINGRPC", "", ""),
}
"""Code, and the titles of what a caller may answer; without any it may not."""


def failed(text: str) -> Values:
    """A result with nothing but an error."""
    return {"Errors": [text]}


def text(refused: Refused, hidden: str) -> str:
    """`hidden`: an administrator's text in place of every other; empty for none."""
    return hidden or _TEXTS[refused.why].format(detail=refused.detail)


def secret_error(refused: Refused, hidden: str) -> Values | None:
    """What a secret asks of its reader; None where there is nothing but the refusal. `hidden` as in `text`."""
    if refused.why not in _CODES:
        return None
    code, comment, additional = _CODES[refused.why]
    return {
        "ErrorCode": code,
        "ErrorMessage": text(refused, hidden),
        "AllowsResponse": bool(comment),
        "CommentTitle": comment or None,
        "AdditionalCommentTitle": additional or None,
    }


def no_caller(why: TokenState | Barred) -> str:
    return NOT_FROM_HERE if isinstance(why, Barred) else DEAD_TOKEN


def of_reply(reply: Reply) -> str:
    """The text of a fault on order that REST would answer with an object."""
    if reply.body in (REFUSED, EXPIRED):
        return LOGIN_FAILED if reply.body == REFUSED else DEAD_TOKEN
    return str(json.loads(reply.body)["message"])
