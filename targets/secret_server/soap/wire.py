"""Secrets, their settings and permissions, audits as values of the contract. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from targets.secret_server.gate import holder, minutes_left
from targets.secret_server.reading import Shown
from targets.secret_server.rights import Access
from targets.secret_server.secrets import AuditRow, StoredSecret
from targets.secret_server.soap.values import Values
from targets.secret_server.templates import Field
from targets.secret_server.users import VaultUser, VaultUsers


def secret(shown: Shown, now: float, fields: Iterable[Field] | None = None) -> Values:
    """A secret with these of its fields, or all. Its check-out is nil where it is not one that is checked out."""
    what = shown.secret
    out_of_sync = what.heartbeat == "Failed"
    return {
        "Name": what.name,
        "Items": [_item(shown, field) for field in (what.template.fields if fields is None else fields)],
        "Id": what.id,
        "SecretTypeId": what.template.id,
        "FolderId": what.folder_id,
        "IsWebLauncher": False,
        **(checkout(what, now) if what.security.checkout else _NO_CHECKOUT),
        "IsOutOfSync": out_of_sync,
        "IsRestricted": what.restricted,
        "OutOfSyncReason": "Heartbeat failed" if out_of_sync else "",
        "Active": what.shown_active,
    }


def checkout(what: StoredSecret, now: float) -> Values:
    """Who has it, and for how long; nil while nobody has."""
    held = holder(what, now)
    return {
        "CheckOutMinutesRemaining": minutes_left(what, now) if held else None,
        "IsCheckedOut": held is not None,
        "CheckOutUserDisplayName": held.user if held else "",
        "CheckOutUserId": held.user_id if held else None,
    }


_NO_CHECKOUT: Values = {
    "CheckOutMinutesRemaining": None,
    "IsCheckedOut": None,
    "CheckOutUserDisplayName": "",
    "CheckOutUserId": None,
}


def summary(what: StoredSecret) -> Values:
    return {
        "SecretId": what.id,
        "SecretName": what.name,
        "SecretTypeName": what.template.name,
        "SecretTypeId": what.template.id,
        "FolderId": what.folder_id,
        "IsRestricted": what.restricted,
    }


def settings(what: StoredSecret, users: VaultUsers) -> Values:
    asks = what.security
    approvers = (users.named(name) for name in asks.approvers)
    return {
        "AutoChangeEnabled": bool(asks.rotate_every),
        "RequiresApprovalForAccess": bool(asks.approvers),
        "RequiresComment": what.needs_comment,
        "CheckOutEnabled": asks.checkout,
        "CheckOutChangePasswordEnabled": asks.change_on_checkin,
        "ProxyEnabled": False,
        "SessionRecordingEnabled": False,
        "RestrictSshCommands": False,
        "AllowOwnersUnrestrictedSshCommands": False,
        "PrivilegedSecretId": None,
        "AssociatedSecretIds": [],
        "Approvers": [_who(user) for user in approvers if user],
        "IsChangeToSettings": False,
    }


def permissions(what: StoredSecret, user: VaultUser, users: VaultUsers) -> Values:
    """What the user may do, and everybody who may do anything."""
    access = user.access(what)
    return {
        "CurrentUserHasView": access >= Access.VIEW,
        "CurrentUserHasEdit": access >= Access.EDIT,
        "CurrentUserHasOwner": access >= Access.OWNER,
        "InheritPermissionsEnabled": True,
        "IsChangeToPermissions": False,
        "Permissions": [_permission(one, one.access(what)) for one in users.all() if one.access(what)],
    }


def audit(row: AuditRow, name: str) -> Values:
    return {
        "AuditSecretId": row.id,
        "SecretId": row.secret_id,
        "DateRecorded": row.recorded,
        "Action": row.action,
        "Notes": row.notes,
        "UserId": row.user_id,
        "SecretName": name,
        "IpAddress": row.address,
        "ReferenceId": 0,
        "ByUserDisplayName": row.user,
        "TicketNumber": row.ticket,
    }


def _item(shown: Shown, field: Field) -> Values:
    return {
        "Value": shown.value(field),
        "Id": shown.secret.item_id(field),
        "FieldId": field.id,
        "FieldName": field.name,
        "IsFile": field.is_file,
        "IsNotes": field.is_notes,
        "IsPassword": field.is_password,
        "FieldDisplayName": field.name,
    }


def _permission(user: VaultUser, access: Access) -> Values:
    return {
        "UserOrGroup": _who(user),
        "View": access >= Access.VIEW,
        "Edit": access >= Access.EDIT,
        "Owner": access >= Access.OWNER,
        "SecretAccessRoleName": access.name.capitalize(),
        "SecretAccessRoleId": int(access),
    }


def _who(user: VaultUser) -> Values:
    return {"Name": user.name, "DomainName": user.domain, "IsUser": True, "GroupId": None, "UserId": user.id}
