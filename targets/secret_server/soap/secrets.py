"""Read a secret, its attachments and its audit; expire and deactivate it.

`GetSecret` checks out what must be checked out. What a secret asks for besides is answered by a repeated call whose
`codeResponses` name the code: a reason (and a ticket as the additional comment), or the second password.
"""

from __future__ import annotations

from targets.secret_server.gate import Ask
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.service import Vault
from targets.secret_server.soap import wire
from targets.secret_server.soap.asking import DONE, Arguments, Handler
from targets.secret_server.soap.errors import COMMENT, DOUBLE_LOCK, failed, secret_error, text
from targets.secret_server.soap.values import Values
from targets.secret_server.templates import Field
from targets.secret_server.users import Caller

_BARE = Ask()


def get(service: Vault, caller: Caller, asked: Arguments) -> Values | Refused:
    shown = service.reading.view(caller, asked.number("secretId"), ask(asked.values.get("codeResponses", [])))
    if isinstance(shown, Refused):
        hidden = service.spec.error_text
        more = secret_error(shown, hidden)
        return failed(text(shown, hidden)) | {"SecretError": more} if more else shown
    found = wire.secret(shown, service.clock.seconds())
    if asked.flag("loadSettingsAndPermissions"):
        found["SecretSettings"] = wire.settings(shown.secret, service.users)
        found["SecretPermissions"] = wire.permissions(shown.secret, caller.user, service.users)
    return DONE | {"Secret": found}


def ask(responses: list[Values]) -> Ask:
    """What code responses bring along to a view; of two with one code the first counts."""
    by_code = {(one["ErrorCode"] or "").strip().upper(): one for one in reversed(responses)}
    comment, second = by_code.get(COMMENT, {}), by_code.get(DOUBLE_LOCK, {})
    return Ask(
        comment=(comment.get("Comment") or "").strip(),
        ticket=(comment.get("AdditionalComment") or "").strip(),
        ticket_system=comment.get("TicketSystemId"),
        double_lock_password=second.get("Comment") or "",
    )


def download(service: Vault, caller: Caller, asked: Arguments) -> Values | Refused:
    """The first of its attachments."""
    return _file(service, caller, asked.number("secretId"), None)


def download_item(service: Vault, caller: Caller, asked: Arguments) -> Values | Refused:
    return _file(service, caller, asked.number("secretId"), asked.number("secretItemId"))


def audit(service: Vault, caller: Caller, asked: Arguments) -> Values | Refused:
    """Newest first, with the addresses that REST does not show."""
    place = asked.number("secretId")
    rows = service.reading.audits(caller, place)
    if isinstance(rows, Refused):
        return rows
    found = service.reading.find(place)
    return DONE | {"SecretAudits": [wire.audit(row, found.name if found else "") for row in rows]}


def expire(service: Vault, caller: Caller, asked: Arguments) -> Values | Refused:
    done = service.managing.expire(caller, asked.number("secretId"))
    return done if isinstance(done, Refused) else DONE


def deactivate(service: Vault, caller: Caller, asked: Arguments) -> Values | Refused:
    done = service.managing.set_active(caller, asked.number("secretId"), active=False)
    return done if isinstance(done, Refused) else DONE


def _file(service: Vault, caller: Caller, place: int, item: int | None) -> Values | Refused:
    found = service.reading.find(place)
    if found is None:
        return Refused(Why.ACCESS_DENIED)

    def wanted(field: Field) -> bool:
        return found.has_file(field) if item is None else found.item_id(field) == item

    field = next((field for field in found.template.fields if field.is_file and wanted(field)), None)
    # A field that there is not is no earlier told than to one who may look.
    content = service.reading.field(caller, place, field.slug if field else "", _BARE)
    if isinstance(content, Refused):
        return content
    if field is None or isinstance(content, str):
        return Refused(Why.NO_FIELD)
    return DONE | {"FileAttachment": content, "FileName": found.file_name(field)}


HANDLERS: dict[str, Handler] = {
    "GetSecret": get,
    "GetSecretLegacy": get,
    "DownloadFileAttachment": download,
    "DownloadFileAttachmentByItemId": download_item,
    "GetSecretAudit": audit,
    "ExpireSecret": expire,
    "DeactivateSecret": deactivate,
}
VIEWS = frozenset({"GetSecret", "GetSecretLegacy", "DownloadFileAttachment", "DownloadFileAttachmentByItemId"})
"""Those that hand out a secret's values, and are as late as the secret is slow."""
