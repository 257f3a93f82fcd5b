"""What each refusal becomes in REST: a status and an object. Pure.

The codes API_AccessDenied, API_ValidateSecretAccessCommentRequired and API_GenericException are the product's; the
others are of our own making (UNSURE: no public source names them), so that clients ask for the secret's state instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rest.wire import Json
from targets.vault_faults import UNAVAILABLE

NO_PERMISSION: Json = {"message": "You do not have permission to perform this operation."}
NOT_FROM_HERE: Json = {"message": "Access is not allowed from this IP address."}
"""UNSURE: a token is used from another address than its user may come from."""
NO_AUTHORIZATION: Json = {"message": "Authorization has been denied for this request."}
"""UNSURE: ASP.NET's default."""

_CODES: dict[Why, tuple[str, str]] = {
    Why.COMMENT_REQUIRED: (
        "API_ValidateSecretAccessCommentRequired",
        "The requested Secret requires a comment when viewed.",
    ),
    Why.TICKET_REQUIRED: ("API_TicketNumberRequired", "The requested Secret requires a ticket number when viewed."),
    Why.TICKET_INVALID: ("API_TicketNumberInvalid", "The ticket number is not valid."),
    Why.CHECKOUT_REQUIRED: ("API_CheckOutRequired", "The requested Secret requires check out."),
    Why.CHECKED_OUT: ("API_CheckedOutByAnotherUser", "The requested Secret is checked out by {detail}."),
    Why.CHANGE_PENDING: ("API_PasswordChangePending", "A password change of the requested Secret is pending."),
    Why.APPROVAL_REQUIRED: ("API_AccessRequestRequired", "The requested Secret requires approval for access."),
    Why.DOUBLE_LOCK: ("API_DoubleLockPasswordRequired", "The requested Secret requires its DoubleLock password."),
    Why.NO_FIELD: ("API_GenericException", "The field does not exist or has no file."),
    Why.NOT_CHECKED_OUT: ("API_SecretNotCheckedOut", "The Secret is not checked out."),
    Why.NOT_POSSIBLE: ("API_GenericException", "Not possible: {detail}."),
    Why.READ_ONLY: ("API_ReadOnlyMode", "Secret Server is in read-only mode."),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer to what is refused; `body` as text is a page."""

    status: int
    body: Json | str


def problem(refused: Refused, *, denied_status: int) -> Problem:
    """`denied_status`: what API_AccessDenied comes with, 400 or 403."""
    match refused.why:
        case Why.ACCESS_DENIED:
            return Problem(denied_status, {"errorCode": "API_AccessDenied", "message": "Access Denied"})
        case Why.ROLE_MISSING:
            return Problem(403, NO_PERMISSION)
        case Why.INVALID:
            return Problem(400, bad_request(refused.detail))
        case Why.UNAVAILABLE:
            return Problem(503, UNAVAILABLE)
    code, text = _CODES[refused.why]
    return Problem(400, {"errorCode": code, "message": text.format(detail=refused.detail)})


def bad_request(*names: str) -> Json:
    return {
        "message": "The request is invalid.",
        "modelState": {name: ["The value is not valid."] for name in names},
    }


def not_found(uri: str) -> Json:
    return {"message": f"No HTTP resource was found that matches the request URI '{uri}'."}


def not_allowed(method: str) -> Json:
    return {"message": f"The requested resource does not support http method '{method}'."}
