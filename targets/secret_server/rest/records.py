"""The vault's JSON around secrets: audits, access requests, folders, templates, users. Pure; see `wire` too."""

from __future__ import annotations

from targets.secret_server.access_requests import AccessRequest
from targets.secret_server.folders import Folder
from targets.secret_server.gate import binds_checkout
from targets.secret_server.rest.wire import Json, Look, date
from targets.secret_server.secrets import AuditRow, StoredSecret
from targets.secret_server.templates import Template
from targets.secret_server.users import VaultUser


def audit_row(row: AuditRow) -> Json:
    """No address: only SOAP shows it."""
    return {
        "id": row.id,
        "secretId": row.secret_id,
        "action": row.action,
        "actionForDisplay": row.action,
        "byUserDisplayName": row.user,
        "username": row.user,
        "databaseName": "SecretServer",
        "dateRecorded": date(row.recorded),
        "hasProxySessionData": False,
        "notes": row.notes,
        "recordingMessage": None,
        "recordingSessionId": None,
        "recordingStatus": None,
        "status": None,
        "ticketNumber": row.ticket,
    }


def access_request(request: AccessRequest) -> Json:
    return {
        "secretAccessRequestId": request.id,
        "secretId": request.secret.id,
        "secretName": request.secret.name,
        "requestingUserId": request.user_id,
        "requestUsername": request.user,
        "requestComment": request.comment,
        "ticketNumber": request.ticket,
        "requestDate": date(request.requested),
        "startDate": date(request.start),
        "expirationDate": date(request.end),
        "status": request.status,
        "responseUsername": request.responder or None,
        "approverDisplayName": request.responder or None,
        "responseComment": request.response or None,
        "responseDate": date(request.responded) if request.responded else None,
    }


def access_options(secret: StoredSecret, look: Look) -> Json:
    asks = secret.security
    return {
        "secretId": secret.id,
        "requireCheckout": binds_checkout(secret, look.caller),
        "requireCommentTicketNumber": secret.needs_comment,
        "enableRequiresApprovalForAccess": bool(asks.approvers),
        "editorsAlsoRequireApproval": bool(asks.approvers),
        "ownersAndApproversAlsoRequireApproval": False,
        "enableDoubleLock": bool(asks.double_lock),
        "isDefaultCheckoutInterval": asks.checkout_interval == 1800.0,
        "customCheckoutIntervalDays": int(asks.checkout_interval // 86400),
        "customCheckoutIntervalHours": int(asks.checkout_interval // 3600 % 24),
        "customCheckoutIntervalMinutes": int(asks.checkout_interval // 60 % 60),
    }


def folder(what: Folder) -> Json:
    return {
        "id": what.id,
        "folderName": what.name,
        "folderPath": what.path,
        "parentFolderId": what.parent,
        "folderTypeId": 1,
        "secretPolicyId": -1,
        "inheritSecretPolicy": False,
        "inheritPermissions": True,
    }


def template_model(template: Template) -> Json:
    return {
        "id": template.id,
        "name": template.name,
        "passwordTypeId": 1,
        "fields": [
            {
                "secretTemplateFieldId": field.id,
                "fieldSlugName": field.slug,
                "name": field.name,
                "displayName": field.name,
                "description": "",
                "isFile": field.is_file,
                "isList": False,
                "listType": "None",
                "isNotes": field.is_notes,
                "isPassword": field.is_password,
                "isRequired": field.required,
                "isUrl": False,
                "historyLength": 2147483647,
                "isExpirationField": False,
                "isIndexable": not field.is_password and not field.is_file,
            }
            for field in template.fields
        ],
    }


def current_user(user: VaultUser) -> Json:
    return {
        "id": user.id,
        "userName": user.name,
        "displayName": user.name,
        "emailAddress": None,
        "permissions": [{"name": permission} for permission in sorted(user.permissions)],
        "adminLinks": [],
        "profileLinks": [],
        "dateOptionId": -1,
        "timeOptionId": -1,
        "userLcid": 1033,
        "userTheme": None,
    }
