"""The vault's JSON: secrets, summaries, pages, audits, states and errors. Pure.

Template and field ids are those of a product installation: Windows Account 6003, Unix Account (SSH) 6007. Dates are
.NET style, without an offset; -1 stands for "none" among the ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from targets.faults import SecretState
from targets.secret_server.store import AuditRow, StoredSecret

Json = dict[str, Any]

NEVER = "0001-01-01T00:00:00"
FILE_SHOWN_AS = "*** Not Valid For Display ***"
KEY_FILE_NAME = "id_ed25519"


@dataclass(frozen=True, slots=True)
class Field:
    id: int
    name: str
    slug: str
    is_password: bool = False
    is_notes: bool = False
    is_file: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    id: int
    name: str
    fields: tuple[Field, ...]


TEMPLATES = {
    "windows": Template(
        6003,
        "Windows Account",
        (
            Field(83, "Machine", "machine"),
            Field(86, "Username", "username"),
            Field(85, "Password", "password", is_password=True),
            Field(84, "Notes", "notes", is_notes=True),
        ),
    ),
    "unix": Template(
        6007,
        "Unix Account (SSH)",
        (
            Field(108, "Machine", "machine"),
            Field(111, "Username", "username"),
            Field(110, "Password", "password", is_password=True),
            Field(109, "Notes", "notes", is_notes=True),
            Field(189, "Private Key", "private-key", is_file=True),
            Field(190, "Private Key Passphrase", "private-key-passphrase", is_password=True),
        ),
    ),
}

_STATES = {
    SecretState.FORBIDDEN: "CannotView",
    SecretState.COMMENT: "RequiresComment",
    SecretState.INACTIVE: "RequiresUndelete",
}


def field_value(secret: StoredSecret, slug: str) -> str | bytes | None:
    """A field's value; bytes for an attachment, None where there is no such field or nothing is attached."""
    field = next((f for f in TEMPLATES[secret.template].fields if f.slug == slug.lower()), None)
    if field is None:
        return None
    if field.is_file:
        return secret.material.private_key_file() if secret.holds_key else None
    values = {
        "machine": secret.machine,
        "username": secret.user,
        "password": "" if secret.holds_key else secret.material.password,
        "private-key-passphrase": secret.material.passphrase if secret.holds_key else "",
    }
    return values.get(field.slug, "")


def secret_model(secret: StoredSecret) -> Json:
    template = TEMPLATES[secret.template]
    return {
        **_common(secret),
        "items": [_item(secret, field) for field in template.fields],
        "isDoubleLock": False,
        "doubleLockId": 0,
        "requiresApprovalForAccess": False,
        "checkOutChangePasswordEnabled": False,
        "checkOutIntervalMinutes": -1,
        "checkOutMinutesRemaining": 0,
        "checkOutUserDisplayName": "",
        "checkOutUserId": 0,
        "autoChangeEnabled": False,
        "autoChangeNextPassword": None,
        "enableInheritPermissions": True,
        "enableInheritSecretPolicy": False,
        "secretPolicyId": -1,
        "launcherConnectAsSecretId": -1,
        "accessRequestWorkflowMapId": -1,
        "proxyEnabled": False,
        "sessionRecordingEnabled": False,
        "failedPasswordChangeAttempts": 0,
        "lastHeartBeatCheck": NEVER,
    }


def summary(secret: StoredSecret) -> Json:
    """A row of a search: no field values."""
    return {
        **_common(secret),
        "folderPath": secret.folder,
        "checkOutUserId": None,
        "checkOutUserName": None,
        "createDate": NEVER,
        "daysUntilExpiration": None,
        "doubleLockEnabled": False,
        "extendedFields": None,
        "hasLauncher": True,
        "hidePassword": False,
        "inheritsPermissions": True,
        "lastAccessed": None,
        "requiresApproval": False,
    }


def secret_state(secret: StoredSecret) -> Json:
    return {
        "id": secret.id,
        "secretName": secret.name,
        "folderId": secret.folder_id,
        "folderName": secret.folder.rsplit("\\", 1)[-1],
        "secretState": _STATES.get(secret.state, "None"),
        "isActive": secret.active,
        "isCheckedOut": False,
        "isCheckedOutByCurrentUser": False,
        "checkedOutUserId": None,
        "checkedOutUserDisplayName": None,
        "checkOutMinutesRemaining": None,
        "checkOutIntervalMinutes": None,
        "passwordChangePending": False,
        "role": "View",
        "actions": [],
        "availableActions": {},
        "approvalEnd": None,
    }


def audit_row(secret: StoredSecret, row: AuditRow) -> Json:
    return {
        "id": row.id,
        "secretId": secret.id,
        "action": row.action,
        "actionForDisplay": row.action,
        "byUserDisplayName": row.user,
        "username": row.user,
        "databaseName": "SecretServer",
        "dateRecorded": row.recorded.replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "hasProxySessionData": False,
        "notes": row.notes,
        "ticketNumber": "",
    }


def page(records: Sequence[Json], *, skip: int, take: int) -> Json:
    """One page of all records, as every listing answers."""
    shown = list(records[skip : skip + take])
    total, has_next = len(records), skip + take < len(records)
    return {
        "skip": skip,
        "take": take,
        "total": total,
        "pageCount": -(-total // take) if take else 0,
        "currentPage": skip // take + 1 if take else 1,
        "batchCount": len(shown),
        "prevSkip": max(0, skip - take),
        "nextSkip": skip + take if has_next else 0,
        "hasPrev": skip > 0,
        "hasNext": has_next,
        "records": shown,
        "sortBy": [],
        "success": True,
        "severity": "None",
    }


def access_denied() -> Json:
    """One answer for what is missing, forbidden or inactive: they cannot be told apart from outside."""
    return {"errorCode": "API_AccessDenied", "message": "Access Denied"}


def comment_required() -> Json:
    return {
        "errorCode": "API_ValidateSecretAccessCommentRequired",
        "message": "The requested Secret requires a comment when viewed.",
    }


def no_field() -> Json:
    """UNSURE: the code has been seen, not for this case."""
    return {"errorCode": "API_GenericException", "message": "The field does not exist or has no file."}


def bad_request(*names: str) -> Json:
    return {
        "message": "The request is invalid.",
        "modelState": {name: ["The value is not valid."] for name in names},
    }


def not_found(uri: str) -> Json:
    return {"message": f"No HTTP resource was found that matches the request URI '{uri}'."}


def _common(secret: StoredSecret) -> Json:
    template = TEMPLATES[secret.template]
    needs_comment = secret.state is SecretState.COMMENT
    return {
        "id": secret.id,
        "name": secret.name,
        "secretTemplateId": template.id,
        "secretTemplateName": template.name,
        "folderId": secret.folder_id,
        "siteId": 1,
        "active": secret.active,
        "checkedOut": False,
        "checkOutEnabled": False,
        "isRestricted": needs_comment,
        "isOutOfSync": False,
        "outOfSyncReason": "",
        "requiresComment": needs_comment,
        "lastHeartBeatStatus": "Pending",
        "lastPasswordChangeAttempt": NEVER,
        "responseCodes": None,
    }


def _item(secret: StoredSecret, field: Field) -> Json:
    attached = field.is_file and secret.holds_key
    value = "" if field.is_file else field_value(secret, field.slug)
    return {
        "itemId": secret.id * 100 + field.id % 100,
        "fileAttachmentId": secret.id if attached else None,
        "filename": KEY_FILE_NAME if attached else None,
        "itemValue": FILE_SHOWN_AS if attached else value,
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
