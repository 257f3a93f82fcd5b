"""Secret Server's answers about its own record, as values: audit rows, the time, the user. No I/O, and total as
`answers` is: whatever bytes come, a value or a `Failure`.

Dates come as .NET writes them, without an offset. Which time they are, UTC or the server's own, no source says: they
are taken for UTC here, and the health page's two clocks tell how far apart both are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.contract import Failure, peer_text
from appliance.questions import AuditRow
from appliance.vault.answers import date_of, instant
from appliance.vault.failures import bad_response, refusal
from appliance.vault.messages import Answer, load_json
from appliance.vault.rest import PAGE

MOST_PERMISSIONS = 1000
"""A role has some hundred at most."""
FARTHEST_ZONE = 15 * 3600.0


@dataclass(frozen=True, slots=True)
class AuditPage:
    rows: tuple[AuditRow, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class VaultTime:
    """The vault's clock when it was asked."""

    utc: float
    """Unix seconds."""
    local: float = 0.0
    """Seconds by which its local time is ahead of UTC."""


@dataclass(frozen=True, slots=True)
class VaultUser:
    """Whom the vault takes us for."""

    name: str
    display_name: str
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Where a secret is, and whether its template keeps the password from those without a right of their own."""

    folder: str
    hides_password: bool | None
    """None where the vault does not say."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What we may do with a secret, and whether somebody has to approve it."""

    role: str
    """The vault's word."""
    approval: str = ""
    """`needed` or `approved`; empty where the vault asks for none now."""


def read_standing(answer: Answer) -> Standing | Failure:
    if answer.status != 200:
        return refusal(answer)
    body = _object(answer)
    if body is None or not isinstance(body.get("secretState"), str):
        return bad_response(answer, "a secretState with the user's role")
    approved = "approved" if date_of(body.get("approvalEnd")) is not None else ""
    return Standing(_text(body, "role"), "needed" if body["secretState"] == "RequiresApproval" else approved)


def read_place(answer: Answer) -> SecretPlace | Failure:
    if answer.status != 200:
        return refusal(answer)
    body = _object(answer)
    if body is None or not isinstance(body.get("id"), int):
        return bad_response(answer, "a secret's summary")
    hides = body.get("hidePassword")
    return SecretPlace(_text(body, "folderPath"), hides if isinstance(hides, bool) else None)


def read_audits(answer: Answer) -> AuditPage | Failure:
    if answer.status != 200:
        return refusal(answer)
    body = _object(answer)
    records = body.get("records") if body is not None else None
    if body is None or not isinstance(records, list):
        return bad_response(answer, "a page of audit rows")
    rows = [_row(record) for record in records[:PAGE]]
    whole = tuple(row for row in rows if row is not None)
    if len(whole) < len(rows):
        return bad_response(answer, "audit rows with id, date, action and user")
    # A full page may have a successor whatever `hasNext` says.
    return AuditPage(whole, more=bool(whole) and (body.get("hasNext") is True or len(records) >= PAGE))


def _row(record: Any) -> AuditRow | None:
    if not isinstance(record, dict):
        return None
    number, at = record.get("id"), instant(record.get("dateRecorded"))
    action = _first(record, "action", "actionForDisplay")
    user = _first(record, "username", "byUserDisplayName")
    if not isinstance(number, int) or isinstance(number, bool) or at is None or not action:
        return None
    notes, ticket = _text(record, "notes"), _text(record, "ticketNumber")
    return AuditRow(id=number, at=at, action=peer_text(action), user=peer_text(user), notes=notes, ticket=ticket)


def read_time(answer: Answer) -> VaultTime | None:
    """None where the health page does not tell the time, as older releases' does not."""
    body = _object(answer) if answer.status == 200 else None
    utc = instant(body.get("utcNow")) if body is not None else None
    if body is None or utc is None:
        return None
    local = instant(body.get("now"))
    # Zones are whole minutes apart; what the two clocks differ beyond that is the time between reading them.
    ahead = round((local - utc) / 60) * 60.0 if local is not None else 0.0
    return VaultTime(utc, ahead if abs(ahead) <= FARTHEST_ZONE else 0.0)


def read_user(answer: Answer) -> VaultUser | Failure:
    if answer.status != 200:
        return refusal(answer)
    body = _object(answer)
    listed = body.get("permissions") if body is not None else None
    if body is None or not _text(body, "userName") or not isinstance(listed, list):
        return bad_response(answer, "a user with name and permissions")
    names = [_text(one, "name") for one in listed[:MOST_PERMISSIONS] if isinstance(one, dict)]
    return VaultUser(_text(body, "userName"), _text(body, "displayName"), tuple(name for name in names if name))


def _object(answer: Answer) -> dict[str, Any] | None:
    body = load_json(answer.body)
    return body if isinstance(body, dict) else None


def _first(record: dict[str, Any], *keys: str) -> str:
    return next((text for key in keys if (text := _text(record, key))), "")


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return peer_text(value) if isinstance(value, str) else ""
