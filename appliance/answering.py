"""The credentials of one login, each had once the target asks for it, and none kept beyond its verdict."""

from __future__ import annotations

from appliance.contract import Candidate, Failure, Phase, Reread, named
from appliance.job_secrets import JobSecrets, Settled
from appliance.permit import Later
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential


class Answers:
    """Those of one record, in its order. `current` is the one that was had last."""

    def __init__(
        self,
        candidate: Candidate,
        secrets: JobSecrets,
        settled: Settled,
        ledger: PhaseLedger,
        facts: dict[str, str],
        first: int,
    ) -> None:
        """`first`: which of them the target asks for."""
        self._all = candidate.answers
        self._secrets = secrets
        self._settled = settled
        self._ledger = ledger
        self._facts = facts
        self._number = first
        self.credential: Credential | None = None
        self.later: Later | None = None
        """Why the attempt is to be told again, where an answer could not be had now."""

    @property
    def current(self) -> Candidate:
        return self._all[self._number]

    def unsettled(self) -> Failure | Later | None:
        """Why the secret of the current one is not known to the vault; None: it is."""
        handle = self._settled[self.current.secret]
        if not isinstance(handle, Failure):
            return None
        return self._secrets.later(handle, self.current.secret) or handle

    async def fetch(self) -> Credential | Failure | Later:
        """The current one, read now."""
        handle = self._settled[self.current.secret]
        if isinstance(handle, Failure):
            return self.unsettled() or handle
        self._ledger.enter(Phase.VAULT)
        had = await self._secrets.fetch(self.current, handle)
        if not isinstance(had, Credential):
            return had
        self.credential = had
        if had.user and had.user.lower() != self.current.user.lower():
            self._facts["warning"] = "the secret names another user than the record"
        if len(self._all) > 1:
            kind = "key" if self.current.private_key else "password"
            self._facts["answer"] = (
                f"{self._number + 1} of {len(self._all)}: {kind} of secret {self.current.secret.label}"
            )
        return had

    async def following(self, number: int) -> Credential | Failure:
        """A `NextAnswer`: what came before has been refused."""
        self.forget()
        self._number = number
        had = await self.fetch()
        if isinstance(had, Later):
            self.later = had
            return Failure(Phase.VAULT, named(had.reason), had.text)
        return had

    async def second_look(self) -> tuple[Reread, dict[str, str]]:
        """Has the secret of the current one, which was refused, been rotated under us? What was found, and facts."""
        handle = self._settled[self.current.secret]
        if self.credential is None or isinstance(handle, Failure):
            return Reread.NOT_DONE, {}
        return await self._secrets.second_look(self.current, handle, self.credential)

    def forget(self) -> None:
        if self.credential is not None:
            self.credential.forget()
