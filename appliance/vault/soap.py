"""Secret Server's SOAP interface as values, the asking half: every request that we make. No I/O; see `soap_answers`.

Source: the product's WSDL. SOAP 1.1, since that is what all its clients speak. `GetSecret` checks out what must be
checked out, and nothing can be sent against that: a caller looks at `checkout_status` first.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from appliance.contract import Failure
from appliance.vault.definition import Hidden, VaultLogin
from appliance.vault.failures import fail
from appliance.vault.messages import FILE_LIMIT, JSON_LIMIT, UNTOLD, Request, Why
from appliance.vault.soap_answers import BY_FIELD, is_refusal
from appliance.vault.soap_envelope import NAMESPACE, Argument, sayable, wrap

PATH = "/webservices/SSWebService.asmx"
COMMENT = "COMMENT"
"""The code that a comment answers (UNSURE how the product spells it: the vault's own `error_code` is better)."""

_TEXT = "text/xml"
_FOUND_LIMIT = 4 * JSON_LIMIT
"""A search has no pages."""


def authenticate(login: VaultLogin) -> Request | Failure:
    """A grant. VAULT_LOGIN_REFUSED for a login that XML cannot carry: sent otherwise, it would be a failed one."""
    access, password = login.access, login.password
    if not all(map(sayable, (access.user, password.reveal(), login.domain))):
        said = "user, password or domain hold a character that SOAP cannot carry: use api: rest, or another password"
        return fail("VAULT_LOGIN_REFUSED", said)
    domain, user = login.domain, access.user
    return _call(
        "Authenticate",
        ("username", user),
        ("password", password.reveal()),
        ("organization", ""),
        ("domain", domain),
        secrets=(password,),
    )


def token_is_valid(token: Hidden) -> Request:
    """The one question whose refusal is about the token alone, whatever the words."""
    return _asked("GetTokenIsValid", token)


def version() -> Request:
    """The one question that needs no login."""
    return _call("VersionGet", secrets=(), question=True)


def who_am_i(token: Hidden) -> Request:
    return _asked("WhoAmI", token)


def search(name: str, token: Hidden, *, inactive: bool) -> Request:
    """Secrets that the name fits, restricted ones too. An answer does not tell the inactive ones from the others."""
    how: tuple[tuple[str, Argument], ...] = (("includeDeleted", inactive), ("includeRestricted", True))
    return _asked("SearchSecrets", token, ("searchTerm", name), *how, limit=_FOUND_LIMIT)


def search_machine(machine: str, token: Hidden, *, inactive: bool) -> Request:
    """Secrets with this machine. Of the searches by field this one alone can be told to take no part of a value for
    the whole: `SearchSecretsByFieldValue` is said to find what contains it, which would be another host's password. It
    looks into fields that are exposed for display, as those of the shipped templates are.
    """
    what: tuple[tuple[str, Argument], ...] = (("fieldName", "Machine"), ("searchTerm", machine))
    how: tuple[tuple[str, Argument], ...] = (("showDeleted", inactive), ("showRestricted", True))
    return _asked(BY_FIELD, token, *what, *how, ("showPartialMatches", False), limit=_FOUND_LIMIT)


def checkout_status(secret_id: int, token: Hidden) -> Request:
    """Who has it? No view."""
    return _asked("GetCheckOutStatus", token, ("secretId", secret_id))


def secret(secret_id: int, token: Hidden, why: Why = UNTOLD, code: str = COMMENT) -> Request:
    """View a secret; with a comment, and perhaps a ticket, that answers the `error_code` of a refusal."""
    said: list[tuple[str, Argument]] = [("ErrorCode", code), ("Comment", why.comment)]
    if why.ticket is not None:
        said.append(("AdditionalComment", why.ticket.number))
        if why.ticket.system is not None:
            said.append(("TicketSystemId", why.ticket.system))
    response: Argument = [("CodeResponse", tuple(said))]
    responses = (("codeResponses", response),) if why.comment else ()
    which: tuple[tuple[str, Argument], ...] = (("secretId", secret_id), ("loadSettingsAndPermissions", False))
    return _viewed(secret_id, "GetSecret", token, *which, *responses)


def file_item(secret_id: int, item_id: int, token: Hidden) -> Request:
    """An attachment. There is no comment with it: it passes on the one that a view of the secret gave before."""
    which: tuple[tuple[str, Argument], ...] = (("secretId", secret_id), ("secretItemId", item_id))
    return _viewed(secret_id, "DownloadFileAttachmentByItemId", token, *which, limit=FILE_LIMIT * 2)


def check_in(secret_id: int, token: Hidden) -> Request:
    """There is no comment with it."""
    return _call("CheckIn", ("token", token.reveal()), ("secretId", secret_id), secrets=(token,))


def _viewed(
    secret_id: int, operation: str, token: Hidden, *arguments: tuple[str, Argument], limit: int = JSON_LIMIT
) -> Request:
    request = _asked(operation, token, *arguments, limit=limit)
    return replace(request, viewed=secret_id, refused=partial(is_refusal, operation))


def _asked(operation: str, token: Hidden, *arguments: tuple[str, Argument], limit: int = JSON_LIMIT) -> Request:
    return _call(operation, ("token", token.reveal()), *arguments, secrets=(token,), limit=limit, question=True)


def _call(
    operation: str,
    *arguments: tuple[str, Argument],
    secrets: tuple[Hidden, ...],
    limit: int = JSON_LIMIT,
    question: bool = False,
) -> Request:
    return Request(
        "POST",
        PATH,
        body=wrap(operation, arguments),
        content_type=f"{_TEXT}; charset=utf-8",
        headers=(("Accept", _TEXT), ("SOAPAction", f'"{NAMESPACE}/{operation}"')),
        limit=limit,
        secrets=secrets,
        question=question,
    )
