"""The vault's JSON: secrets, summaries, states, settings. Pure; see `records` too.

Dates are .NET style, without an offset; -1 stands for "none" among the ids.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from targets.secret_server.gate import SecretStanding, held_by, holder, minutes_left
from targets.secret_server.reading import Shown
from targets.secret_server.rights import Access
from targets.secret_server.secrets import StoredSecret
from targets.secret_server.templates import Field, Template
from targets.secret_server.users import Caller

Json = dict[str, Any]

NEVER = "0001-01-01T00:00:00"


def date(when: datetime | None) -> str:
    return NEVER if when is None else when.isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class Look:
    """Who looks at secrets, and when."""

    caller: Caller
    now: float
    no_id: int | None = -1
    """What is said for an id that there is not."""

    def minutes_left(self, secret: StoredSecret) -> int:
        return minutes_left(secret, self.now)


def secret_model(shown: Shown, look: Look) -> Json:
    secret = shown.secret
    held, asks = holder(secret, look.now), secret.security
    return {
        **_common(secret, look),
        "items": [_item(shown, field) for field in secret.template.fields],
        "isDoubleLock": bool(asks.double_lock),
        "doubleLockId": 1 if asks.double_lock else 0,
        "requiresApprovalForAccess": bool(asks.approvers),
        "checkOutChangePasswordEnabled": asks.change_on_checkin,
        "checkOutIntervalMinutes": int(asks.checkout_interval // 60) if asks.checkout else -1,
        "checkOutMinutesRemaining": look.minutes_left(secret),
        "checkOutUserDisplayName": held.user if held else "",
        "checkOutUserId": held.user_id if held else 0,
        "autoChangeEnabled": bool(asks.rotate_every),
        "autoChangeNextPassword": None,
        "enableInheritPermissions": True,
        "enableInheritSecretPolicy": False,
        "secretPolicyId": look.no_id,
        "launcherConnectAsSecretId": look.no_id,
        "passwordTypeWebScriptId": look.no_id,
        "accessRequestWorkflowMapId": look.no_id,
        "jumpboxRouteId": None,
        "proxyEnabled": False,
        "sessionRecordingEnabled": False,
        "restrictSshCommands": False,
        "allowOwnersUnrestrictedSshCommands": False,
        "webLauncherRequiresIncognitoMode": False,
        "failedPasswordChangeAttempts": 0,
        "lastHeartBeatCheck": date(secret.heartbeat_at),
    }


def password_status(secret: StoredSecret) -> Json:
    """UNSURE: only that there is such a status is public."""
    return {
        "secretId": secret.id,
        "passwordChangePending": secret.changing,
        "isExpired": secret.expired,
        "lastPasswordChangeAttempt": date(secret.changed_at),
    }


def heartbeat_status(secret: StoredSecret) -> Json:
    """UNSURE, as above."""
    return {
        "secretId": secret.id,
        "lastHeartBeatStatus": secret.heartbeat,
        "lastHeartBeatCheck": date(secret.heartbeat_at),
    }


def stub(template: Template, folder_id: int) -> Json:
    """A blank secret of a template."""
    blank = {"itemId": 0, "fileAttachmentId": None, "filename": None, "itemValue": ""}
    return {
        "id": 0,
        "name": "",
        "secretTemplateId": template.id,
        "secretTemplateName": template.name,
        "folderId": folder_id,
        "siteId": 1,
        "active": True,
        "items": [blank | _field_facts(field) for field in template.fields],
    }


def summary(secret: StoredSecret, look: Look, extended: Sequence[str] = (), exposed: Container[str] = ()) -> Json:
    """A row of a search: no field values, but those of the `extended` fields (names or slugs), as far as they are among
    the `exposed` ones (slugs).
    """
    held, asks = holder(secret, look.now), secret.security
    return {
        **_common(secret, look),
        "folderPath": secret.folder,
        "checkOutUserId": held.user_id if held else None,
        "checkOutUserName": held.user if held else None,
        "createDate": NEVER,
        "daysUntilExpiration": 0 if secret.expired else None,
        "doubleLockEnabled": bool(asks.double_lock),
        "extendedFields": _extended(secret, extended, exposed) if extended else None,
        "hasLauncher": True,
        "hidePassword": asks.hide_password,
        "inheritsPermissions": True,
        "lastAccessed": date(secret.audits[-1].recorded) if secret.audits else None,
        "requiresApproval": bool(asks.approvers),
    }


def lookup(secret: StoredSecret) -> Json:
    return {"id": secret.id, "value": f"{secret.folder_id} - {secret.template.id} - {secret.name}"}


def secret_state(secret: StoredSecret, standing: SecretStanding, look: Look, approval_end: datetime | None) -> Json:
    """Its check-out numbers are null while nobody has it."""
    held = holder(secret, look.now)
    own = held_by(secret, look.caller, look.now)
    left = look.minutes_left(secret) if held else None
    return {
        "id": secret.id,
        "secretName": secret.name,
        "folderId": secret.folder_id,
        "folderName": secret.folder.rsplit("\\", 1)[-1],
        "secretState": standing,
        "isActive": secret.shown_active,
        "isCheckedOut": held is not None,
        "isCheckedOutByCurrentUser": own,
        "checkedOutUserId": held.user_id if held else None,
        "checkedOutUserDisplayName": held.user if held else None,
        "checkOutMinutesRemaining": left,
        "checkOutIntervalMinutes": int(secret.security.checkout_interval // 60) if held else None,
        "passwordChangePending": secret.changing,
        "role": look.caller.user.access(secret).name.capitalize(),
        "actions": _actions(secret, look, own=own),
        "availableActions": {"extendCheckOut": own},
        "approvalEnd": date(approval_end) if approval_end else None,
        "warningMinutesRemaining": left,
        "remainingTimeWarningMinuteMarker": 5 if held else None,
    }


def settings(secret: StoredSecret) -> Json:
    asks = secret.security
    return {
        "id": secret.id,
        "checkOutEnabled": asks.checkout,
        "checkOutChangePasswordEnabled": asks.change_on_checkin,
        "checkOutIntervalMinutes": int(asks.checkout_interval // 60) if asks.checkout else None,
        "requiresComment": secret.needs_comment,
        "requiresApprovalForAccess": bool(asks.approvers),
        "isDoubleLock": bool(asks.double_lock),
        "hideLauncherPassword": asks.hide_password,
        "autoChangeEnabled": bool(asks.rotate_every),
        "proxyEnabled": False,
        "sessionRecordingEnabled": False,
    }


def _extended(secret: StoredSecret, slugs: Sequence[str], exposed: Container[str]) -> list[Json]:
    fields = [field for slug in slugs if (field := secret.template.field(slug))]
    return [{"name": f.slug, "value": secret.text(f)} for f in fields if f.may_be_exposed and f.slug in exposed]


def _actions(secret: StoredSecret, look: Look, *, own: bool) -> list[str]:
    access = look.caller.user.access(secret)
    found = ["View"] if access >= Access.VIEW else []
    if access >= Access.EDIT:
        found += ["Edit", "ChangePasswordNow"]
    return found + (["CheckIn"] if own else [])


def _common(secret: StoredSecret, look: Look) -> Json:
    return {
        "id": secret.id,
        "name": secret.name,
        "secretTemplateId": secret.template.id,
        "secretTemplateName": secret.template.name,
        "folderId": secret.folder_id,
        "siteId": 1,
        "active": secret.shown_active,
        "checkedOut": holder(secret, look.now) is not None,
        "checkOutEnabled": secret.security.checkout,
        "isRestricted": secret.restricted,
        "isOutOfSync": secret.heartbeat == "Failed",
        "outOfSyncReason": "Heartbeat failed" if secret.heartbeat == "Failed" else "",
        "requiresComment": secret.needs_comment,
        "lastHeartBeatStatus": secret.heartbeat,
        "lastPasswordChangeAttempt": date(secret.changed_at),
        "responseCodes": None,
    }


def _item(shown: Shown, field: Field) -> Json:
    attached = shown.secret.has_file(field)
    return {
        "itemId": shown.secret.item_id(field),
        "fileAttachmentId": shown.secret.id * 10 + field.id % 10 if attached else None,
        "filename": shown.secret.file_name(field),
        "itemValue": shown.value(field),
        **_field_facts(field),
    }


def _field_facts(field: Field) -> Json:
    return {
        "fieldId": field.id,
        "fieldName": field.name,
        "slug": field.slug,
        "fieldDescription": "",
        "isFile": field.is_file,
        "isNotes": field.is_notes,
        "isPassword": field.is_password,
        "isList": False,
        "listType": "None",
    }
