"""What an answer, or the lack of one, says of the vault: is it well, is it asked too much, has it noted a view?"""

from __future__ import annotations

import errno

import aiohttp

from appliance.contract import NO_DESCRIPTOR, Failure
from appliance.vault.failures import fail, reason_of, refusal
from appliance.vault.messages import Answer, Request
from appliance.vault.tls import hung_up, tls_trouble
from appliance.vault.trip import Stage

REPEATED = frozenset({408, 429, 500, 502, 503, 504})


def shows_in_audit(request: Request, answer: Answer | Failure | None) -> bool | None:
    """Has the vault written a view down? None: no, it has refused it. False: who knows."""
    if not isinstance(answer, Answer):
        return False
    if answer.status == 200:
        if request.refused is not None and request.refused(answer):
            return None
        return "html" not in answer.content_type.lower()  # a page comes from something in between
    return False if answer.status >= 500 or answer.status == 408 else None


def worth_repeating(result: Answer | Failure) -> bool:
    if isinstance(result, Answer):
        return result.status in REPEATED
    return reason_of(result) == "VAULT_UNREACHABLE"


def illness(result: Answer | Failure) -> Failure | None:
    """What says that the vault as a whole is not well."""
    if isinstance(result, Answer):
        return refusal(result) if result.status >= 500 else None
    return result if reason_of(result) in ("VAULT_UNREACHABLE", "VAULT_TIMEOUT", "VAULT_ERROR") else None


def is_ours(failure: Failure) -> bool:
    """It says nothing of the vault: no request has left us."""
    return reason_of(failure) == "OWN_OVERLOAD"


def throttling(result: Answer | Failure) -> Failure | None:
    return refusal(result) if isinstance(result, Answer) and result.status in (429, 503) else None


def limits_rate(answer: Answer) -> bool:
    """Was the request turned away for coming too early?"""
    return answer.status == 429 or (answer.status == 503 and answer.asked_pause > 0)


def translated(error: aiohttp.ClientError | OSError | ValueError, stage: Stage) -> Failure:
    """The exception's kind and errno; never its text, which may quote the request."""
    facts = {"error": type(error).__name__, "stage": stage.value}
    number = getattr(getattr(error, "os_error", error), "errno", None)
    name = errno.errorcode.get(number, "") if isinstance(number, int) else ""
    if name in ("EMFILE", "ENFILE"):
        return fail("OWN_OVERLOAD", f"{NO_DESCRIPTOR} for a connection to the vault", errno=name, **facts)
    if (trouble := tls_trouble(error)) is not None:
        text, more = trouble
        return fail("VAULT_TLS", text, **facts, **more)
    if isinstance(error, aiohttp.InvalidURL) or (isinstance(error, ValueError) and stage is not Stage.SENT):
        return fail("VAULT_UNREACHABLE", "the vault's address, or that of its proxy, cannot be used", **facts)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return fail("VAULT_UNREACHABLE", "the vault's name does not resolve", **facts)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return fail("VAULT_UNREACHABLE", f"the proxy refuses the way to the vault: {error.status}", **facts)
    if isinstance(error, OSError | aiohttp.ClientConnectionError):
        if name:
            facts["errno"] = name
        if stage is Stage.SENT:
            return fail("VAULT_UNREACHABLE", "the vault closed the connection before its answer", **facts)
        return fail("VAULT_UNREACHABLE", name or hung_up(error), **facts)
    return fail("VAULT_BAD_RESPONSE", "the answer is no HTTP, or was cut short", **facts)
