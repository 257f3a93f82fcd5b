"""What a vault's refusal means: a status, an `errorCode`, a `secretState`, or one of SOAP's texts, as a reason.

Rules:
1. The `errorCode` decides before the status: Secret Server answers "missing", "forbidden" and "inactive" alike with
   `API_AccessDenied`, under 400 or 403 by version. Wordings decide nothing (an administrator can replace them all),
   but where there is no code: the 403 of an expired token, the 403 that names an IP address, and a framework's 404 for
   a route that does not exist.
2. The text of a failure is made of the documented error fields (`message`, `messageDetail`, `error`) alone.
3. SOAP has nothing but wordings for most refusals, so there they do decide, in the few that are known; and the code of
   a SecretError, which is taken by what it contains. An unknown one is VAULT_ERROR: GetTokenIsValid tells more. They
   come with 200, so what they repeat of a request is taken out here.
4. A page that is not JSON comes from something in between, except under 401, 408, 429 and 5xx, where the status speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from appliance.contract import Failure, Phase, named, peer_text
from appliance.vault.messages import Answer, load_json
from appliance.vault.withholding import withheld

EXPIRED_TOKEN = "Authentication failed or expired token."  # noqa: S105 - a message, not a token
"""The 403 that asks for a new session; every other 403 is about rights."""

STATES: dict[str, str] = {
    "RequiresApproval": "SECRET_NEEDS_APPROVAL",
    "RequiresCheckout": "SECRET_NEEDS_CHECKOUT",
    "RequiresCheckoutAndComment": "SECRET_NEEDS_CHECKOUT",
    "RequiresCheckoutPendingRPC": "SECRET_RPC_PENDING",
    "RequiresComment": "SECRET_NEEDS_COMMENT",
    "RequiresDoubleLockPassword": "SECRET_DOUBLELOCK",
    "CreateDoubleLockPassword": "SECRET_DOUBLELOCK",
    "DoubleLockNoAccess": "SECRET_DOUBLELOCK",
    "RequiresUndelete": "SECRET_INACTIVE",
}
"""`secretState` of GET secrets/{id}/state. `None` there means that nothing stands in the way; `CannotView`, and what a
later release may add, is SECRET_ACCESS_DENIED.
"""

_ERROR_CODES = {
    "API_AccessDenied": "SECRET_ACCESS_DENIED",
    "API_ValidateSecretAccessCommentRequired": "SECRET_NEEDS_COMMENT",
}

_SOAP_TEXTS = (
    ("expired token", "VAULT_TOKEN_EXPIRED"),
    ("access denied", "SECRET_ACCESS_DENIED"),
    ("requires a comment", "SECRET_NEEDS_COMMENT"),
    ("requires approval", "SECRET_NEEDS_APPROVAL"),
    ("doublelock", "SECRET_DOUBLELOCK"),
    ("checked out by", "SECRET_CHECKED_OUT_BY"),
    ("requires check out", "SECRET_NEEDS_CHECKOUT"),
    ("password change", "SECRET_RPC_PENDING"),
    ("field does not exist", "SECRET_FIELD_MISSING"),
    ("ip address", "VAULT_IP_BLOCKED"),
    ("do not have permission", "VAULT_FORBIDDEN"),
    ("read-only mode", "VAULT_ERROR"),
)
"""Parts of SOAP's error texts, folded; the first that is there decides."""

UNKNOWN_WORDS = {"words": "unknown"}
"""The fact of a refusal by SOAP of which no known word tells the reason."""

_SECRET_ERRORS = (
    ("COMMENT", "SECRET_NEEDS_COMMENT"),
    ("TICKET", "SECRET_NEEDS_COMMENT"),
    ("APPROVAL", "SECRET_NEEDS_APPROVAL"),
    ("REQUEST", "SECRET_NEEDS_APPROVAL"),
    ("DOUBLELOCK", "SECRET_DOUBLELOCK"),
    ("PENDING", "SECRET_RPC_PENDING"),
    ("RPC", "SECRET_RPC_PENDING"),
    ("CHECKOUT", "SECRET_CHECKED_OUT_BY"),
    ("CHECKEDOUT", "SECRET_CHECKED_OUT_BY"),
)
"""Parts of a SecretError's code, without its separators; GetSecret checks out by itself, so it was not ours to have."""

_STATUSES = {401: "VAULT_TOKEN_EXPIRED", 408: "VAULT_TIMEOUT", 429: "VAULT_RATE_LIMITED"}
"""Statuses that need no body to be understood; so do all of 5xx (VAULT_ERROR)."""


def fail(reason: str, text: str = "", **facts: str) -> Failure:
    """A failure of the vault phase. `text` may be a peer's."""
    return Failure(Phase.VAULT, named(reason), peer_text(text), facts)


def reason_of(failure: Failure) -> str:
    return failure.signal.name


def bad_response(answer: Answer, expected: str) -> Failure:
    """The answer is no Secret Server answer: what was expected, and the shape of what came instead."""
    return fail("VAULT_BAD_RESPONSE", f"expected {expected}", **shape(answer))


def wants_new_token(answer: Answer) -> bool:
    """The two answers, and no others, that mean: log in again."""
    return answer.status == 401 or (answer.status == 403 and _error_fields(answer).get("message") == EXPIRED_TOKEN)


def is_about_the_secret(failure: Failure) -> bool:
    """Can the secret's state tell more than this refusal did?"""
    return failure.facts.get("status") in ("400", "403", "404") and reason_of(failure) in (
        "SECRET_ACCESS_DENIED",
        "SECRET_NOT_FOUND",
        "VAULT_FORBIDDEN",
        "VAULT_ERROR",
    )


def refusal(answer: Answer) -> Failure:
    """Any answer that is not 200, as a failure."""
    fields = _error_fields(answer)
    code = _text(fields, "errorCode")
    text = _message(fields)
    reason = _reason(answer.status, code, text, is_json=bool(fields))
    facts = shape(answer)
    if code:
        facts["error_code"] = peer_text(code)
    if answer.retry_after:
        facts["retry_after"] = peer_text(answer.retry_after)
    return fail(reason, text or code or _unexplained(answer), **facts)


def login_refusal(answer: Answer) -> Failure:
    """An answer of the token endpoint that is not 200.

    400 and 401, whoever words them, and a 403 of the vault's own are the verdict on the login (VAULT_LOGIN_REFUSED),
    which nobody may ask for twice.
    """
    if answer.status == 404:
        return bad_response(answer, "a token endpoint")
    failure = refusal(answer)
    if answer.status in (400, 401) or (answer.status == 403 and _error_fields(answer)):
        return replace(failure, signal=named("VAULT_LOGIN_REFUSED"))
    return failure


def soap_refusal(answer: Answer, texts: Sequence[str]) -> Failure:
    """The `Errors` of an operation."""
    said = withheld("; ".join(texts), answer.secrets)
    reason = next((reason for part, reason in _SOAP_TEXTS if part in said.casefold()), "")
    return (
        fail(reason, said, **shape(answer)) if reason else fail("VAULT_ERROR", said, **UNKNOWN_WORDS, **shape(answer))
    )


def soap_secret_error(answer: Answer, code: str, text: str) -> Failure:
    """A SecretError; its code is what a comment has to answer."""
    plain = "".join(c for c in code.upper() if c.isalnum())
    reason = next((reason for part, reason in _SECRET_ERRORS if part in plain), "SECRET_ACCESS_DENIED")
    text, code = (withheld(said, answer.secrets) for said in (text, code))
    return fail(reason, text or code, error_code=peer_text(code), **shape(answer))


def soap_fault(answer: Answer, text: str) -> Failure:
    """A fault: of ours or of the vault's, it is one that an administrator has to look at."""
    return fail("VAULT_ERROR", text, **shape(answer))


def _reason(status: int, code: str, text: str, *, is_json: bool) -> str:
    if code in _ERROR_CODES:
        return _ERROR_CODES[code]
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return "VAULT_ERROR"
    if status < 400 or not is_json:
        return "VAULT_BAD_RESPONSE"
    if status == 403:
        if text == EXPIRED_TOKEN:
            return "VAULT_TOKEN_EXPIRED"
        return "VAULT_IP_BLOCKED" if _names_an_address(code or text) else "VAULT_FORBIDDEN"
    if status == 404:
        return "VAULT_BAD_RESPONSE" if text.startswith("No HTTP resource") else "SECRET_NOT_FOUND"
    return "VAULT_ERROR"


def _names_an_address(said: str) -> bool:
    return "ipaddress" in said.lower().replace(" ", "")


def _unexplained(answer: Answer) -> str:
    kind = "a redirect" if 300 <= answer.status < 400 else "an answer without an error message"
    return f"{kind} (HTTP {answer.status})"


def shape(answer: Answer) -> dict[str, str]:
    """What may be told of any answer."""
    return {
        "status": str(answer.status),
        "content_type": peer_text(answer.content_type),
        "length": str(len(answer.body)),
    }


def _error_fields(answer: Answer) -> dict[str, Any]:
    found = load_json(answer.body)
    return found if isinstance(found, dict) else {}


def _message(fields: dict[str, Any]) -> str:
    said = [_text(fields, key) for key in ("message", "error", "messageDetail")]
    return ": ".join(dict.fromkeys(s for s in said if s))


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""
