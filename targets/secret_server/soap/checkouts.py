"""See who has a secret checked out, check it in, and say whether it is one that is checked out."""

from __future__ import annotations

from targets.secret_server.gate import Ask
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.service import Vault
from targets.secret_server.soap import wire
from targets.secret_server.soap.asking import DONE, Arguments, Handler
from targets.secret_server.soap.values import Values
from targets.secret_server.users import Caller


def status(service: Vault, caller: Caller, asked: Arguments) -> Values | Refused:
    """No view: its `Secret` is left out."""
    found = service.reading.listed(caller, asked.number("secretId"))
    return found if isinstance(found, Refused) else DONE | wire.checkout(found, service.clock.seconds())


def check_in(service: Vault, caller: Caller, asked: Arguments) -> Values | Refused:
    """Another's too, with the permission to force it."""
    done = service.check_in(caller, asked.number("secretId"), Ask(force_check_in=True))
    return done if isinstance(done, Refused) else DONE


def configure(service: Vault, caller: Caller, asked: Arguments) -> Values | Refused:
    """The interval in minutes; nil leaves it."""
    found = service.reading.listed(caller, asked.number("secretId"))
    if isinstance(found, Refused):
        return found
    minutes = asked.values["checkOutInterval"]
    if minutes is not None and minutes < 1:
        return Refused(Why.INVALID, "checkOutInterval")
    enabled = asked.flag("setCheckOut")
    changed: Values = {"checkout": enabled, "change_on_checkin": enabled and asked.flag("setPasswordChangeOnCheckIn")}
    if minutes is not None:
        changed["checkout_interval"] = minutes * 60.0
    return service.checkouts.secure(found, caller, found.security.model_copy(update=changed)) or DONE


HANDLERS: dict[str, Handler] = {
    "GetCheckOutStatus": status,
    "CheckIn": check_in,
    "SetCheckOutEnabled": configure,
}
