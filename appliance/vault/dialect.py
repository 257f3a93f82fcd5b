"""What REST and SOAP say differently: the seam below session, grantor, source and check-outs, which exist once.

An implementation is values and pure functions: requests and what answers mean, and the dialogues of which a lookup, a
view or a check-out consists. `rest_dialect` and `soap_dialect` are the two; `of` finds them by name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from appliance.contract import Failure, named
from appliance.vault.answers import Grant, Item, Page, Secret, State, Summary
from appliance.vault.choice import Machine
from appliance.vault.definition import Api, VaultLogin
from appliance.vault.dialogue import Dialogue, Question
from appliance.vault.failures import fail, reason_of
from appliance.vault.messages import Answer, Request, Why

ALIVE = {"token": "valid"}
"""The fact of a refusal whose token was asked about, and lives."""


@dataclass(frozen=True, slots=True)
class Found:
    """A secret that was looked up."""

    id: int
    open: bool = False
    """Nothing but the right to view stands before it, says the vault; False where it has not said so."""
    ungated: bool = False
    """Nobody has to approve access to it, says the vault; False where it has not said so."""


class Dialect(Protocol):
    """Failures are values, with the reasons that `failures` gives them."""

    @property
    def api(self) -> Api: ...

    @property
    def bears(self) -> bool:
        """The token goes into a header that `exchange` adds; else into the request itself."""
        ...

    @property
    def views_check_out(self) -> bool:
        """A view checks out what wants to be checked out, and cannot be told not to."""
        ...

    @property
    def tells_unasked(self) -> bool:
        """A comment and a ticket may go with a view that has not been refused for lack of them."""
        ...

    # -- without a token -----------------------------------------------------------------------------------------------

    def health(self) -> Request:
        """A question that needs no login."""
        ...

    def ill(self, answer: Answer) -> Failure | None:
        """Why no password should go there now, by the answer to `health`."""
        ...

    def is_spoken(self, answer: Answer) -> bool:
        """Is it an answer to `health` that only this interface gives?"""
        ...

    def grant(self, login: VaultLogin) -> Request | Failure:
        """VAULT_LOGIN_REFUSED for a login that cannot be sent as it is."""
        ...

    def read_grant(self, answer: Answer) -> Grant | Failure: ...

    # -- with one ------------------------------------------------------------------------------------------------------

    def is_dead(self, answer: Answer, read: object) -> bool | Question[bool]:
        """Does this answer, read as that, mean that the token is dead? Or the question that tells whether it lives."""
        ...

    def by_name(self, name: str) -> Dialogue[list[Summary] | Failure]:
        """All secrets of exactly this name, inactive ones too; `choice.only` says which of them is meant. No view."""
        ...

    def names(self, skip: int) -> Dialogue[Page | Failure | None]:
        """All secrets from this one on, a page of them; None where they cannot be listed."""
        ...

    def by_id(self, secret_id: int) -> Dialogue[Found | Failure]: ...

    def by_path(self, path: str) -> Dialogue[Found | Failure]: ...

    def by_machine(self, wanted: Machine) -> Dialogue[list[Summary] | Failure]:
        """All secrets with this machine, inactive ones too; `choice.chosen` says which of them is meant. No view."""
        ...

    def machines(self, skip: int) -> Dialogue[Page | Failure | None]:
        """All secrets from this one on, a page of them with the machines that they show; None where none shows any."""
        ...

    def has_machine(self, template_id: int) -> Dialogue[bool | Failure]:
        """Have secrets of this template a Machine field?"""
        ...

    def free(self, found: Summary) -> Dialogue[Found | Failure]:
        """The secret, unless somebody else has it checked out: that is better waited for before a target is dialled."""
        ...

    def state(self, secret_id: int) -> Dialogue[State | Failure]:
        """No view."""
        ...

    def view(self, secret_id: int, why: Why, code: str) -> Dialogue[Secret | Failure]:
        """The secret, or as exactly as can be told why not. `code`: the `error_code` that the comment answers."""
        ...

    def text(self, secret_id: int, item: Item, why: Why) -> Dialogue[str | Failure]:
        """A field by itself, since its value is not among those of the secret."""
        ...

    def file(self, secret_id: int, item: Item, why: Why) -> Dialogue[bytes | Failure]:
        """An attachment of a secret that has just been viewed."""
        ...

    def check_out(self, secret_id: int, why: Why, before: State, *, told: bool) -> Dialogue[Failure | None]:
        """`told`: say why, asked or not."""
        ...

    def extend(self, secret_id: int, minutes: int, comment: str) -> Dialogue[Failure | None]:
        """Hold a check-out for so many minutes more. None too where the vault knows no such order."""
        ...

    def check_in(self, secret_id: int, why: Why) -> Dialogue[Failure | None]: ...


def held_by_another(state: State) -> Failure | None:
    """Why the secret cannot be had for now, and that it may be had later."""
    return standing(state) if state.reason in ("SECRET_CHECKED_OUT_BY", "SECRET_RPC_PENDING") else None


def standing(state: State) -> Failure:
    """What stands before a secret that is not ours to view."""
    reason = state.reason or "SECRET_NEEDS_CHECKOUT"
    said = f"checked out by {state.holder}" if state.holder else state.facts.get("untold", "")
    return fail(reason, said, **state.facts)


def not_there(failure: Failure) -> Failure:
    """Missing and forbidden look alike, and for one who looks for a secret both mean that there is none."""
    denied = reason_of(failure) == "SECRET_ACCESS_DENIED"
    return replace(failure, signal=named("SECRET_NOT_FOUND")) if denied else failure
