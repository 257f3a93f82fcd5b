"""Secret Server's REST interface as values, the reading half: every answer that we understand. No I/O.

Every parser is total: whatever bytes come, it returns a value or a `Failure` (a test feeds it anything). What is not
200 is read by `failures`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any

from appliance.contract import Failure, peer_text
from appliance.vault.definition import Hidden
from appliance.vault.failures import STATES, bad_response, fail, login_refusal, refusal
from appliance.vault.messages import Answer, load_json
from appliance.vault.rest import PAGE
from appliance.vault.standing import Standing

NOT_FOR_DISPLAY = "*** Not Valid For Display ***"
"""What stands in place of a value that must be read by its own request, or may not be read at all."""

LONGEST_SESSION = 365 * 24 * 3600.0
"""Seconds; a longer `expires_in` is nonsense."""


LONGEST_CHECKOUT = 366 * 24 * 60
"""Minutes; a longer one is nonsense."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A session: an access token for `life` seconds, and perhaps a single-use refresh token."""

    access: Hidden
    life: float
    refresh: Hidden | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """A secret without its values."""

    id: int
    name: str
    folder_path: str = ""
    active: bool = True
    checked_out: bool = False
    """By whomever."""
    restricted: bool = False
    """It asks for more than a right to view: a check-out, a comment, an approval... SOAP alone says so."""
    template: str = ""
    """Its template's name."""
    template_id: int = 0
    machine: str | None = None
    """Its Machine field; None where it was not asked for, or the template has none or does not expose it."""
    approval: bool | None = None
    """Access has to be approved, of whomever; None where the vault does not say. REST alone says so."""


@dataclass(frozen=True, slots=True)
class Page:
    records: tuple[Summary, ...]
    more: bool
    total: int | None = None
    """All that the search finds, where the vault has counted them."""


@dataclass(frozen=True, slots=True)
class State:
    """Whether a secret could be read now; `reason` is empty when nothing stands in the way."""

    id: int
    reason: str
    holder: str = ""
    """Who has it checked out."""
    ours: bool = False
    """The vault's user has it checked out."""
    minutes: int = 0
    """How long whoever has it checked out has it still, as far as the vault says."""
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """One field of a secret."""

    slug: str
    value: str = field(repr=False)
    is_file: bool = False
    is_password: bool = False
    has_file: bool = False
    id: int = 0
    """SOAP asks for an attachment by it; 0 where the answer did not say."""


@dataclass(frozen=True, slots=True)
class Secret:
    id: int
    template: str
    items: tuple[Item, ...]
    standing: Standing = field(default_factory=Standing)
    checked_out: bool = False
    """By SOAP: this view may have done it."""


def read_grant(answer: Answer) -> Grant | Failure:
    if answer.status != 200:
        return login_refusal(answer)
    body = load_json(answer.body)
    if not isinstance(body, dict):
        return bad_response(answer, "a token as JSON")
    access, life, kind = _token(body.get("access_token")), body.get("expires_in"), body.get("token_type")
    if access is None or not isinstance(life, int | float) or isinstance(life, bool):
        return bad_response(answer, "an access token with its life")
    if not 0 < life <= LONGEST_SESSION or not (kind is None or (isinstance(kind, str) and kind.lower() == "bearer")):
        return bad_response(answer, "a bearer token for at most a year")
    return Grant(access, float(life), _token(body.get("refresh_token")))


def _token(value: Any) -> Hidden | None:
    """Fit for a header: printable ASCII without spaces, and long enough to be a token at all."""
    if isinstance(value, str) and len(value) >= 4 and all("!" <= c <= "~" for c in value):
        return Hidden(value)
    return None


def read_page(answer: Answer, take: int = PAGE) -> Page | Failure:
    """`take`: how many the page was to have."""
    body = _object(answer, "a page of secrets")
    if isinstance(body, Failure):
        return body
    records = body.get("records")
    if not isinstance(records, list):
        return bad_response(answer, "a page of secrets")
    found = [_summary(r) for r in records]
    whole = tuple(s for s in found if s is not None)
    if len(whole) < len(found):
        return bad_response(answer, "records with id and name")
    # The totals may be left out; a full page may have a successor whatever `hasNext` says.
    total = body.get("total")
    return Page(
        whole,
        more=bool(whole) and (body.get("hasNext") is True or len(whole) >= take),
        total=total if _is_id(total) else None,
    )


def _summary(record: Any) -> Summary | None:
    if not isinstance(record, dict) or not _is_id(record.get("id")) or not isinstance(record.get("name"), str):
        return None
    return Summary(
        record["id"],
        record["name"],
        _str(record, "folderPath"),
        record.get("active") is not False,
        record.get("checkedOut") is True,
        template=_str(record, "secretTemplateName"),
        template_id=record["secretTemplateId"] if _is_id(record.get("secretTemplateId")) else 0,
        machine=_machine(record.get("extendedFields")),
        approval=approval if isinstance(approval := record.get("requiresApproval"), bool) else None,
    )


def _machine(extended: Any) -> str | None:
    """The name that stands with the value may be the field's or its slug: for this field they are one but for case."""
    for field_ in extended if isinstance(extended, list) else ():
        if isinstance(field_, dict) and _str(field_, "name").casefold() == "machine":
            value = field_.get("value")
            return value if isinstance(value, str) else None
    return None


def read_slugs(answer: Answer) -> frozenset[str] | Failure:
    """The fields of a template."""
    body = _object(answer, "a template")
    if isinstance(body, Failure):
        return body
    fields = body.get("fields")
    if not isinstance(fields, list) or not all(isinstance(one, dict) for one in fields):
        return bad_response(answer, "a template with its fields")
    return frozenset(_str(one, "fieldSlugName").casefold() for one in fields)


def read_state(answer: Answer) -> State | Failure:
    body = _object(answer, "a secret's state")
    if isinstance(body, Failure):
        return body
    name = body.get("secretState")
    if not isinstance(name, str) or not _is_id(body.get("id")):
        return bad_response(answer, "a secretState with the secret's id")
    facts = {"secret_state": peer_text(name[:64])}
    reason = STATES.get(name, "" if name == "None" else "SECRET_ACCESS_DENIED")
    if body.get("isActive") is False:
        reason = "SECRET_INACTIVE"
    elif body.get("isCheckedOut") is True and body.get("isCheckedOutByCurrentUser") is not True:
        reason = "SECRET_CHECKED_OUT_BY" if reason in ("", "SECRET_NEEDS_CHECKOUT") else reason
    elif body.get("passwordChangePending") is True and reason == "SECRET_NEEDS_CHECKOUT":
        reason = "SECRET_RPC_PENDING"
    if reason != "SECRET_NEEDS_APPROVAL" and date_of(body.get("approvalEnd")) is not None:
        facts["approved_until"] = peer_text(body["approvalEnd"])
    minutes = body.get("checkOutMinutesRemaining")
    return State(
        body["id"],
        reason,
        _str(body, "checkedOutUserDisplayName"),
        ours=body.get("isCheckedOutByCurrentUser") is True,
        minutes=minutes if isinstance(minutes, int) and 0 < minutes <= LONGEST_CHECKOUT else 0,
        facts=facts,
    )


def read_secret(answer: Answer) -> Secret | Failure:
    body = _object(answer, "a secret")
    if isinstance(body, Failure):
        return body
    items = body.get("items")
    if not _is_id(body.get("id")) or not isinstance(items, list):
        return bad_response(answer, "a secret with id and items")
    if body.get("active") is False:
        return fail("SECRET_INACTIVE")
    if not items and body.get("responseCodes"):
        return fail("SECRET_ACCESS_DENIED", "the vault gave the secret without its items", status="403")
    read = [_item(i) for i in items]
    whole = tuple(i for i in read if i is not None)
    if len(whole) < len(read):
        return bad_response(answer, "items with slug and text value")
    standing = Standing(
        changed_at=instant(body.get("lastPasswordChangeAttempt")),
        heartbeat=_str(body, "lastHeartBeatStatus"),
        heartbeat_at=instant(body.get("lastHeartBeatCheck")),
        out_of_sync=(_str(body, "outOfSyncReason") or "out of sync") if body.get("isOutOfSync") is True else "",
    )
    return Secret(body["id"], _str(body, "secretTemplateName"), whole, standing)


def instant(text: Any) -> float | None:
    """A date as `date_of` reads it, in Unix seconds; None in year 9999 too, whose last moment is .NET's other never."""
    read = date_of(text)
    try:
        return read.timestamp() if read is not None and read.year < MAXYEAR else None
    except OverflowError:
        return None


def date_of(text: Any) -> datetime | None:
    """A date as .NET writes it, without an offset and taken for UTC; None for no date, and for year 1: never."""
    if not isinstance(text, str):
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read.replace(tzinfo=read.tzinfo or UTC) if read.year > MINYEAR else None


def _item(item: Any) -> Item | None:
    if not isinstance(item, dict) or not isinstance(item.get("slug"), str):
        return None
    value = item.get("itemValue")
    if value is not None and not isinstance(value, str):
        return None
    attachment = item.get("fileAttachmentId")
    return Item(
        slug=item["slug"].lower(),
        value=value or "",
        is_file=item.get("isFile") is True,
        is_password=item.get("isPassword") is True,
        has_file=_is_id(attachment),
    )


def read_done(answer: Answer) -> Failure | None:
    """An order whose answer's body says nothing that we need."""
    return None if answer.status == 200 else refusal(answer)


def read_text_field(answer: Answer) -> str | Failure:
    """A field on its own is a JSON string."""
    if answer.status != 200:
        return refusal(answer)
    value = load_json(answer.body)
    return value if isinstance(value, str) else bad_response(answer, "a field as a JSON string")


def read_file_field(answer: Answer) -> bytes | Failure:
    """An attachment comes as it is; a page comes from something in between."""
    if answer.status != 200:
        return refusal(answer)
    if "html" in answer.content_type.lower():
        return bad_response(answer, "an attachment")
    return answer.body


def _object(answer: Answer, expected: str) -> dict[str, Any] | Failure:
    if answer.status != 200:
        return refusal(answer)
    body = load_json(answer.body)
    return body if isinstance(body, dict) else bad_response(answer, expected)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _str(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""
