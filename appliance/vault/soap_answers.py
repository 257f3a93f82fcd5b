"""Secret Server's SOAP interface as values, the reading half: every answer that we understand. No I/O.

Every parser is total: whatever bytes come, it returns a value or a `Failure` (a test feeds it anything). The values are
those of `answers`, where SOAP has as much to say; what its refusals mean, is said in `failures`.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

from appliance.contract import Failure, named
from appliance.vault.answers import LONGEST_CHECKOUT, Grant, Item, Page, Secret, Summary
from appliance.vault.definition import Hidden
from appliance.vault.failures import (
    bad_response,
    fail,
    login_refusal,
    refusal,
    soap_fault,
    soap_refusal,
    soap_secret_error,
)
from appliance.vault.messages import FILE_LIMIT, Answer
from appliance.vault.soap_envelope import array, fault, flag, member, number, text, unwrap
from appliance.vault.standing import Standing

SESSION_LIFE = 1200.0
"""Seconds. The answer does not say how long a token lives: this is the product's default."""

BY_FIELD = "SearchSecretsByExposedFieldValue"
"""The search by a field's value."""

LONGEST_REFUSAL = 64 * 1024
"""Bytes: a longer answer is none, and is not read in the loop to find out."""

_TOKEN = re.compile(r"[!-~]{4,}")


@dataclass(frozen=True, slots=True)
class Checkout:
    """Who has a secret checked out; `holder` and the numbers are empty while nobody has.

    Nobody has one that is no secret to check out: these two are alike here.
    """

    held: bool
    holder: str = ""
    holder_id: int | None = None
    minutes: int | None = None
    """Until it is checked in by itself; None too where the vault's number is nonsense."""


def read_grant(answer: Answer) -> Grant | Failure:
    """Any error of this operation is the verdict on the login (VAULT_LOGIN_REFUSED), which nobody may ask for twice."""
    if answer.status not in (200, 500):
        return login_refusal(answer)
    result = _result(answer, "Authenticate")
    if isinstance(result, Failure):
        return replace(result, signal=named("VAULT_LOGIN_REFUSED")) if _errors(answer, "Authenticate") else result
    token = text(result, "Token") or ""
    if not _TOKEN.fullmatch(token):
        return bad_response(answer, "a token")
    return Grant(Hidden(token), SESSION_LIFE)


def read_token_is_valid(answer: Answer) -> bool | Failure:
    """False: it is dead, whatever the words."""
    result = _result(answer, "GetTokenIsValid")
    if isinstance(result, Failure):
        return False if _errors(answer, "GetTokenIsValid") else result
    return True


def read_page(answer: Answer, operation: str = "SearchSecrets") -> Page | Failure:
    """All that a search found: there are no further pages. Folders have numbers here."""
    result = _result(answer, operation)
    if isinstance(result, Failure):
        return result
    if member(result, "SecretSummaries") is None:
        return bad_response(answer, "a search's summaries")
    found = [_summary(summary) for summary in array(result, "SecretSummaries", "SecretSummary")]
    whole = tuple(s for s in found if s is not None)
    if len(whole) < len(found):
        return bad_response(answer, "summaries with id and name")
    return Page(whole, more=False)


def read_checkout(answer: Answer) -> Checkout | Failure:
    result = _result(answer, "GetCheckOutStatus")
    if isinstance(result, Failure):
        return result
    if member(result, "IsCheckedOut") is None:
        return bad_response(answer, "a check-out's status")
    if not flag(result, "IsCheckedOut"):
        return Checkout(held=False)
    holder, minutes = number(result, "CheckOutUserId"), number(result, "CheckOutMinutesRemaining")
    if minutes is not None and not 0 <= minutes <= LONGEST_CHECKOUT:
        minutes = None
    return Checkout(True, text(result, "CheckOutUserDisplayName") or "", holder, minutes)


def read_version(answer: Answer) -> str | Failure:
    result = _result(answer, "VersionGet")
    return result if isinstance(result, Failure) else text(result, "Version") or ""


def read_user(answer: Answer) -> int | Failure:
    """The id of the token's user."""
    result = _result(answer, "WhoAmI")
    if isinstance(result, Failure):
        return result
    user = number(result, "UserId")
    return bad_response(answer, "a user with id") if user is None else user


def read_check_in(answer: Answer) -> Failure | None:
    result = _result(answer, "CheckIn")
    return result if isinstance(result, Failure) else None


def read_taken(answer: Answer) -> Failure | None:
    """A view for the sake of its check-out alone: its values are not looked at."""
    checked = _secret(answer)
    return checked if isinstance(checked, Failure) else None


def read_secret(answer: Answer) -> Secret | Failure:
    found = _secret(answer)
    if isinstance(found, Failure):
        return found
    secret_id = number(found, "Id")
    if secret_id is None or secret_id <= 0 or member(found, "Items") is None:
        return bad_response(answer, "a secret with id and items")
    if flag(found, "Active") is False:
        return fail("SECRET_INACTIVE")
    read = [_item(item) for item in array(found, "Items", "SecretItem")]
    whole = tuple(i for i in read if i is not None)
    if len(whole) < len(read):
        return bad_response(answer, "items with id and name")
    held = flag(found, "IsCheckedOut") is True
    why = (text(found, "OutOfSyncReason") or "out of sync") if flag(found, "IsOutOfSync") is True else ""
    template = f"type {number(found, 'SecretTypeId') or 0}"
    return Secret(secret_id, template, whole, Standing(out_of_sync=why), checked_out=held)


def _secret(answer: Answer) -> Element | Failure:
    """What the secret asks for, before the errors that may stand beside it."""
    result = unwrap(answer.body, "GetSecret") if answer.status == 200 else None
    error = None if result is None else member(result, "SecretError")
    if error is not None and (code := (text(error, "ErrorCode") or "").strip()):
        return soap_secret_error(answer, code, text(error, "ErrorMessage") or "")
    checked = _result(answer, "GetSecret")
    if isinstance(checked, Failure):
        return checked
    found = member(checked, "Secret")
    return bad_response(answer, "a secret") if found is None else found


def is_refusal(operation: str, answer: Answer) -> bool:
    """With 200: the vault has shown nothing, so its audit has no view."""
    short = answer.status == 200 and len(answer.body) <= LONGEST_REFUSAL
    result = unwrap(answer.body, operation) if short else None
    if result is None:
        return False
    error = member(result, "SecretError")
    return bool(_texts(result)) or (error is not None and bool((text(error, "ErrorCode") or "").strip()))


def read_file(answer: Answer) -> bytes | Failure:
    result = _result(answer, "DownloadFileAttachmentByItemId")
    if isinstance(result, Failure):
        return result
    said = text(result, "FileAttachment")
    if said is None:
        return bad_response(answer, "an attachment")
    try:
        content = base64.b64decode("".join(said.split()), validate=True)
    except (binascii.Error, ValueError):
        return bad_response(answer, "an attachment in base64")
    return (
        content if len(content) <= FILE_LIMIT else bad_response(answer, f"an attachment of at most {FILE_LIMIT} bytes")
    )


def _result(answer: Answer, operation: str) -> Element | Failure:
    """The operation's result, where it has no errors."""
    if answer.status != 200:
        said = fault(answer.body)
        return refusal(answer) if said is None else soap_fault(answer, said)
    result = unwrap(answer.body, operation)
    if result is None:
        return bad_response(answer, f"a result of {operation}")
    errors = _texts(result)
    return soap_refusal(answer, errors) if errors else result


def _errors(answer: Answer, operation: str) -> list[str]:
    result = unwrap(answer.body, operation) if answer.status == 200 else None
    return [] if result is None else _texts(result)


def _texts(result: Element) -> list[str]:
    return [(error.text or "").strip() or "an error without a text" for error in array(result, "Errors", "string")]


def _summary(summary: Element) -> Summary | None:
    secret_id, name, folder = number(summary, "SecretId"), text(summary, "SecretName"), number(summary, "FolderId")
    if secret_id is None or secret_id <= 0 or name is None:
        return None
    # One that does not say is taken for restricted: then nobody checks it out by looking.
    restricted = flag(summary, "IsRestricted") is not False
    return Summary(
        secret_id,
        name,
        f"folder {folder}" if folder else "",
        restricted=restricted,
        template=text(summary, "SecretTypeName") or "",
        template_id=number(summary, "SecretTypeId") or 0,
    )


def _item(item: Element) -> Item | None:
    """SOAP knows no slugs: they are made of the names, as the product makes them. A file that is there has a value."""
    item_id, name = number(item, "Id"), text(item, "FieldName")
    if item_id is None or name is None:
        return None
    value, is_file = text(item, "Value") or "", flag(item, "IsFile") is True
    return Item(
        slug=re.sub(r"[^0-9a-z]+", "-", name.lower()).strip("-"),
        value=value,
        is_file=is_file,
        is_password=flag(item, "IsPassword") is True,
        has_file=is_file and bool(value),
        id=item_id,
    )
