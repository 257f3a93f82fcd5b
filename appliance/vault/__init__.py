"""The vault as a scan sees it: settle what is slow before dialling, fetch only when the target has asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from appliance.contract import AccessTerms, CredentialRef, Failure, View
from appliance.vault.credential import Credential

DEFAULT_TERMS = AccessTerms()


@dataclass(frozen=True, slots=True)
class SecretHandle:
    """A secret that has been found: its id, and the reference it was found by."""

    ref: CredentialRef
    secret_id: int


class CredentialSource(Protocol):
    """Where credentials come from. Expected failures are values (`Failure` in phase VAULT, a named signal)."""

    async def turn(self, ref: CredentialRef) -> Callable[[], None] | Failure:
        """Wait until a job that is going to ask for this secret may begin, where the vault limits its rate (`entry`):
        before its target is dialled. Returns what to call once the job asks for it, or ends without.

        Fails with VAULT_RATE_LIMITED where the job had better come again, with the fact `turns.PACED`, or with
        `breaker.AWAY` where the vault answers nobody.
        """
        ...

    async def settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        """Turn a reference into an id without viewing the secret.

        Asked once per run and reference, shared by all that wait for the same one; of secrets by name or machine, many
        may be answered from one listing (`listing`). Fails with SECRET_NOT_FOUND (no hit), SECRET_AMBIGUOUS_NAME
        (several exact hits), SECRET_INACTIVE, and every VAULT_* reason; with OWN_OVERLOAD where the wait was for our
        own limit on requests. A transient failure is not remembered. While the vault as a whole is left alone
        (`breaker`), every settle fails at once with the fact `vault_away`, a known one too: nobody should dial a target
        for a credential that cannot be had.
        """
        ...

    async def approval(self, handle: SecretHandle) -> Failure | None:
        """Does somebody have to approve that the secret is viewed now? SECRET_NEEDS_APPROVAL, or None where it can be
        viewed as far as that goes, or the vault does not tell before a view. No view, and nothing is asked for.

        Asked again only once a fetch has been refused for it. Fails as `settle` does, too.
        """
        ...

    async def fetch(
        self,
        handle: SecretHandle,
        *,
        private_key: bool,
        purpose: str,
        terms: AccessTerms = DEFAULT_TERMS,
        checked_out: bool = False,
        anew: bool = False,
        views: list[View] | None = None,
    ) -> Credential | Failure:
        """Read the secret now: a view in the vault's audit, and one more for each field that must be read by itself;
        with `purpose` where the vault asks for a comment, or with the comment and the ticket of the `terms`. What the
        audit should show is added to `views`, whatever the end, also while being cancelled.

        No view checks a secret out by the way: where one could, the answer is SECRET_NEEDS_CHECKOUT, unless the caller
        says that the run has it checked out, or was told that there is no need (`checked_out`).

        Kept nowhere, unless the vault's definition lets its views be shared (`shared`); `anew` is for those who know
        that what is kept may be out of date. Fails with the SECRET_* and VAULT_*
        reasons and OWN_OVERLOAD; the text is the vault's own error (documented error fields only, never body bytes).
        """
        ...
