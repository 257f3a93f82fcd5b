"""Log in, and ask who one is: the operations of a session."""

from __future__ import annotations

from targets.secret_server.service import VERSION, Vault
from targets.secret_server.soap.asking import DONE, Arguments, Handler, Open
from targets.secret_server.soap.errors import LOGIN_FAILED, failed
from targets.secret_server.soap.values import Values
from targets.secret_server.users import Caller

_LOCAL = "(local)"
"""UNSURE: a domain of this name stands for users of the vault's own, as an empty one does."""


def authenticate(service: Vault, asked: Arguments) -> Values:
    """By user, password and domain. The organization is one of the hosted edition of old, and means nothing here."""
    return _grant(service, asked, code="")


def authenticate_radius(service: Vault, asked: Arguments) -> Values:
    return _grant(service, asked, code=asked.text("radiusPassword"))


def version(_service: Vault, _asked: Arguments) -> Values:
    return DONE | {"Version": VERSION}


def token_is_valid(_service: Vault, _caller: Caller, _asked: Arguments) -> Values:
    return DONE | {"MaxOfflineSeconds": 0, "Version": VERSION}


def who_am_i(_service: Vault, caller: Caller, _asked: Arguments) -> Values:
    user = caller.user
    return DONE | {
        "DisplayName": user.name,
        "UserName": user.name,
        "KnownAs": f"{user.domain}\\{user.name}" if user.domain else user.name,
        "UserId": user.id,
        "DomainId": 1 if user.domain else -1,
        "DomainName": user.domain,
    }


def _grant(service: Vault, asked: Arguments, *, code: str) -> Values:
    name, password, domain = (asked.text(part) for part in ("username", "password", "domain"))
    domain = "" if domain.casefold() == _LOCAL else domain
    given = service.logins.login(name, password, domain, code=code, address=asked.address)
    if given is None:
        service.counters.failed_grants += 1
        return failed(LOGIN_FAILED)
    service.counters.grants += 1
    return DONE | {"Token": given.access_token}


OPEN: dict[str, Open] = {
    "Authenticate": authenticate,
    "AuthenticateRADIUS": authenticate_radius,
    "VersionGet": version,
}
HANDLERS: dict[str, Handler] = {"GetTokenIsValid": token_is_valid, "WhoAmI": who_am_i}
