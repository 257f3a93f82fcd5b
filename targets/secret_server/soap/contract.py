"""The interface's structures and operations, each with its members in the order of the wire. Pure.

Names and order are the product's. UNSURE: the names of the results' types, which only the WSDL and the HTTP GET form
show. Left out are operations that need what this vault has not: adding secrets, impersonation.
"""

from __future__ import annotations

from targets.secret_server.soap.schema import Array, Operation, Simple, Structure, members

ERRORS = ("Errors", Array(Simple.STRING))

CODE_RESPONSE = Structure("CodeResponse", members("ErrorCode", "Comment", "AdditionalComment", "TicketSystemId:int?"))
SECRET_ERROR = Structure(
    "SecretError",
    members("ErrorCode", "ErrorMessage", "AllowsResponse:boolean", "CommentTitle", "AdditionalCommentTitle"),
)
SECRET_ITEM = Structure(
    "SecretItem",
    members(
        "Value",
        "Id:int?",
        "FieldId:int?",
        "FieldName",
        "IsFile:boolean",
        "IsNotes:boolean",
        "IsPassword:boolean",
        "FieldDisplayName",
    ),
)
WHO = Structure("GroupOrUserRecord", members("Name", "DomainName", "IsUser:boolean", "GroupId:int?", "UserId:int?"))
SETTINGS = Structure(
    "SecretSettings",
    members(
        "AutoChangeEnabled:boolean",
        "RequiresApprovalForAccess:boolean",
        "RequiresComment:boolean",
        "CheckOutEnabled:boolean",
        "CheckOutChangePasswordEnabled:boolean",
        "ProxyEnabled:boolean",
        "SessionRecordingEnabled:boolean",
        "RestrictSshCommands:boolean",
        "AllowOwnersUnrestrictedSshCommands:boolean",
        "PrivilegedSecretId:int?",
        ("AssociatedSecretIds", Array(Simple.INT)),
        ("Approvers", Array(WHO)),
        "SshCommandMenuAccessPermissions",
        "IsChangeToSettings:boolean",
    ),
)
PERMISSION = Structure(
    "Permission",
    members(
        ("UserOrGroup", WHO),
        "View:boolean",
        "Edit:boolean",
        "Owner:boolean",
        "SecretAccessRoleName",
        "SecretAccessRoleId:int?",
    ),
)
PERMISSIONS = Structure(
    "SecretPermissions",
    members(
        "CurrentUserHasView:boolean",
        "CurrentUserHasEdit:boolean",
        "CurrentUserHasOwner:boolean",
        "InheritPermissionsEnabled:boolean",
        "IsChangeToPermissions:boolean",
        ("Permissions", Array(PERMISSION)),
    ),
)
SECRET = Structure(
    "Secret",
    members(
        "Name",
        ("Items", Array(SECRET_ITEM)),
        "Id:int",
        "SecretTypeId:int",
        "FolderId:int",
        "IsWebLauncher:boolean",
        "CheckOutMinutesRemaining:int?",
        "IsCheckedOut:boolean?",
        "CheckOutUserDisplayName",
        "CheckOutUserId:int?",
        "IsOutOfSync:boolean?",
        "IsRestricted:boolean",
        "OutOfSyncReason",
        ("SecretSettings", SETTINGS),
        ("SecretPermissions", PERMISSIONS),
        "Active:boolean",
    ),
)
SUMMARY = Structure(
    "SecretSummary",
    members("SecretId:int", "SecretName", "SecretTypeName", "SecretTypeId:int", "FolderId:int", "IsRestricted:boolean"),
)
AUDIT = Structure(
    "AuditSecret",
    members(
        "AuditSecretId:int",
        "SecretId:int",
        "DateRecorded:dateTime",
        "Action",
        "Notes",
        "UserId:int",
        "SecretName",
        "IpAddress",
        "ReferenceId:int",
        "ByUserDisplayName",
        "TicketNumber",
    ),
)

_GRANT = Structure("AuthenticateResult", members(ERRORS, "Token"))
_DONE = Structure("WebServiceResult", members(ERRORS))
_SECRET = Structure("GetSecretResult", members(ERRORS, ("SecretError", SECRET_ERROR), ("Secret", SECRET)))
_FOUND = Structure("SearchSecretsResult", members(ERRORS, ("SecretSummaries", Array(SUMMARY))))
_FILE = Structure("FileDownloadResult", members(ERRORS, "FileAttachment:base64Binary", "FileName"))
_IN_FOLDER = ("token", "searchTerm", "folderId:int", "includeSubFolders:boolean")
_LOGIN = ("username", "password", "organization", "domain")
_WHICH = ("token", "secretId:int")

OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("Authenticate", members(*_LOGIN), _GRANT),
        Operation("AuthenticateRADIUS", members(*_LOGIN, "radiusPassword"), _GRANT),
        Operation(
            "GetTokenIsValid",
            members("token"),
            Structure("TokenIsValidResult", members(ERRORS, "MaxOfflineSeconds:int", "Version")),
        ),
        Operation("VersionGet", (), Structure("VersionGetResult", members(ERRORS, "Version"))),
        Operation(
            "WhoAmI",
            members("token"),
            Structure(
                "WhoAmIResult",
                members(ERRORS, "DisplayName", "UserName", "KnownAs", "UserId:int", "DomainId:int", "DomainName"),
            ),
        ),
        Operation(
            "GetSecret",
            members(*_WHICH, "loadSettingsAndPermissions:boolean", ("codeResponses", Array(CODE_RESPONSE))),
            _SECRET,
        ),
        Operation("GetSecretLegacy", members(*_WHICH), _SECRET),
        Operation(
            "SearchSecrets",
            members("token", "searchTerm", "includeDeleted:boolean", "includeRestricted:boolean"),
            _FOUND,
        ),
        Operation("SearchSecretsLegacy", members("token", "searchTerm"), _FOUND),
        Operation(
            "SearchSecretsByFolder",
            members(*_IN_FOLDER, "includeDeleted:boolean", "includeRestricted:boolean"),
            _FOUND,
        ),
        Operation("SearchSecretsByFolderLegacy", members(*_IN_FOLDER), _FOUND),
        Operation(
            "SearchSecretsByFieldValue",
            members("token", "fieldName", "searchTerm", "showDeleted:boolean", "showRestricted:boolean"),
            _FOUND,
        ),
        Operation(
            "SearchSecretsByExposedFieldValue",
            members(
                "token",
                "fieldName",
                "searchTerm",
                "showDeleted:boolean",
                "showRestricted:boolean",
                "showPartialMatches:boolean",
            ),
            _FOUND,
        ),
        Operation(
            "GetSecretsByFieldValue",
            members("token", "fieldName", "searchTerm", "showDeleted:boolean"),
            Structure("GetSecretsByFieldValueResult", members(ERRORS, ("Secrets", Array(SECRET)))),
        ),
        Operation(
            "GetCheckOutStatus",
            members(*_WHICH),
            Structure(
                "GetCheckOutStatusResult",
                members(
                    ERRORS,
                    ("Secret", SECRET),
                    "CheckOutMinutesRemaining:int?",
                    "IsCheckedOut:boolean?",
                    "CheckOutUserDisplayName",
                    "CheckOutUserId:int?",
                ),
            ),
        ),
        Operation("CheckIn", members(*_WHICH), _DONE),
        Operation(
            "SetCheckOutEnabled",
            members(*_WHICH, "setCheckOut:boolean", "setPasswordChangeOnCheckIn:boolean", "checkOutInterval:int?"),
            _DONE,
        ),
        Operation("ExpireSecret", members(*_WHICH), _DONE),
        Operation("DeactivateSecret", members(*_WHICH), _DONE),
        Operation("DownloadFileAttachment", members(*_WHICH), _FILE),
        Operation("DownloadFileAttachmentByItemId", members(*_WHICH, "secretItemId:int"), _FILE),
        Operation(
            "GetSecretAudit",
            members(*_WHICH),
            Structure("GetSecretAuditResult", members(ERRORS, ("SecretAudits", Array(AUDIT)))),
        ),
    )
}
GRANTS = frozenset({"Authenticate", "AuthenticateRADIUS"})
