"""Search for secrets: by name, folder and field."""

from __future__ import annotations

from targets.secret_server.reading import Shown
from targets.secret_server.rights import Access
from targets.secret_server.searching import Wanted
from targets.secret_server.service import Vault
from targets.secret_server.soap import wire
from targets.secret_server.soap.asking import DONE, Arguments, Handler
from targets.secret_server.soap.values import Values
from targets.secret_server.users import Caller


def by_text(service: Vault, caller: Caller, asked: Arguments) -> Values:
    """By name or searchable field; the Legacy form leaves out what is inactive or restricted."""
    return _found(
        service,
        caller,
        Wanted(
            text=asked.text("searchTerm"),
            inactive=asked.flag("includeDeleted"),
            restricted=asked.flag("includeRestricted"),
        ),
    )


def in_folder(service: Vault, caller: Caller, asked: Arguments) -> Values:
    """A folder that is none (0, -1) is any."""
    return _found(
        service,
        caller,
        Wanted(
            text=asked.text("searchTerm"),
            folder=max(asked.number("folderId"), 0),
            subfolders=asked.flag("includeSubFolders"),
            inactive=asked.flag("includeDeleted"),
            restricted=asked.flag("includeRestricted"),
        ),
    )


def by_field(service: Vault, caller: Caller, asked: Arguments) -> Values:
    """The whole value (UNSURE: operations that take a part of it say so), of the field's name or slug."""
    return _found(
        service,
        caller,
        Wanted(
            text=asked.text("searchTerm"),
            exact=True,
            field=asked.text("fieldName"),
            inactive=asked.flag("showDeleted"),
            restricted=asked.flag("showRestricted"),
        ),
    )


def by_exposed_field(service: Vault, caller: Caller, asked: Arguments) -> Values:
    """The whole value or a part of it, as asked; of a field that is exposed for display, by its name or slug."""
    return _found(
        service,
        caller,
        Wanted(
            text=asked.text("searchTerm"),
            exact=not asked.flag("showPartialMatches"),
            field=asked.text("fieldName"),
            exposed=service.spec.exposed,
            inactive=asked.flag("showDeleted"),
            restricted=asked.flag("showRestricted"),
        ),
    )


def secrets_by_field(service: Vault, caller: Caller, asked: Arguments) -> Values:
    """Whole secrets, but only what is exposed for display: neither passwords nor files. So it is no view."""
    wanted = Wanted(
        text=asked.text("searchTerm"),
        exact=True,
        field=asked.text("fieldName"),
        inactive=asked.flag("showDeleted"),
        access=Access.VIEW,
    )
    now = service.clock.seconds()
    found = []
    for secret in service.search(caller, wanted):
        exposed = [f for f in secret.template.fields if f.may_be_exposed and f.slug in service.spec.exposed]
        found.append(wire.secret(Shown(secret), now, exposed))
    return DONE | {"Secrets": found}


def _found(service: Vault, caller: Caller, wanted: Wanted) -> Values:
    return DONE | {"SecretSummaries": [wire.summary(secret) for secret in service.search(caller, wanted)]}


HANDLERS: dict[str, Handler] = {
    "SearchSecrets": by_text,
    "SearchSecretsLegacy": by_text,
    "SearchSecretsByFolder": in_folder,
    "SearchSecretsByFolderLegacy": in_folder,
    "SearchSecretsByFieldValue": by_field,
    "SearchSecretsByExposedFieldValue": by_exposed_field,
    "GetSecretsByFieldValue": secrets_by_field,
}
