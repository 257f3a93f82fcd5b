"""The password of root delegation, in the middle of one attempt: permit, fetch, one answer, verdict.

It is an answer of its own to an account of its own, so it has a permit of its own, in the attempt of the login: a host
that has not asked for it costs neither permit nor view. Nothing is deferred from here on, since the login itself has
been submitted: what stands in the way is the outcome's reason (PRIV_*), with its cause as a fact.
"""

from __future__ import annotations

from appliance.answering import Answers
from appliance.contract import (
    DEADLINE,
    OK,
    Candidate,
    Failure,
    Part,
    Phase,
    Reread,
    RootBy,
    RootPassword,
    named,
)
from appliance.job_secrets import JobSecrets, Settled
from appliance.login import Elevation
from appliance.permit import Later, Permit, Verdict
from appliance.phases import PhaseLedger
from appliance.vault.credential import Credential

ASKINGS = 3
"""Times that the pacer is asked, where others' logins of the account are under way; it holds each for a while."""
SUDO_LOGONS = 2
"""As so many failed logons a refusal by sudo counts: it begins a second try before anybody can hang up."""


class RootAnswer:
    """An `AskRoot`, for a record that has a root password. `login`: the answers that the login was made with."""

    def __init__(
        self, candidate: Candidate, secrets: JobSecrets, settled: Settled, ledger: PhaseLedger, login: Answers
    ) -> None:
        assert candidate.root is not None  # noqa: S101 - see above
        self._root: RootPassword = candidate.root
        self._candidate = candidate.as_root()
        self._secrets = secrets
        self._handle = settled[self._root.secret]
        self._ledger = ledger
        logons = SUDO_LOGONS if self._sudo else 1
        self._permit = Permit(secrets.job, self._candidate, secrets.desk, secrets.wall, Part.ROOT, logons)
        self.own = self._root.secret == login.current.secret and not login.current.private_key
        """The login's credential is the answer, and to be kept until the target has asked, or has not."""
        self._credential = login.credential if self.own else None
        self._lent: Credential | None = None
        self._looked: Credential | None = None
        self._reread = Reread.NOT_DONE

    @property
    def _sudo(self) -> bool:
        return self._root.by is RootBy.SUDO

    async def __call__(self) -> str | Failure:
        try:
            return await self._password()
        finally:
            self._ledger.enter(Phase.PRIVILEGE)

    async def _password(self) -> str | Failure:
        self._ledger.enter(Phase.PERMIT)
        refused = await self._permitted()
        if refused is not None:
            return refused
        self._ledger.enter(Phase.VAULT)
        credential = self._credential if self._credential is not None else await self._fetch()
        if isinstance(credential, Failure):
            code = credential.signal.name
            facts = {**credential.facts, "cause": code}
            return Failure(Phase.PRIVILEGE, named("PRIV_NO_SECRET"), f"{code}: {credential.text}", facts)
        self._lent = credential
        self._looked = credential.copy()
        if not credential.password:
            return Failure(Phase.PRIVILEGE, named("PRIV_NO_SECRET"), "the secret's password is empty")
        return credential.password

    async def _fetch(self) -> Credential | Failure:
        if isinstance(self._handle, Failure):
            return self._handle
        return await self._secrets.read(self._candidate, self._handle, anew=self._secrets.job.rotated, part=Part.ROOT)

    async def _permitted(self) -> Failure | None:
        refused: Failure | Later | None = None
        for _ in range(ASKINGS):
            refused = await self._permit.ask()
            if not isinstance(refused, Later) or refused.reason != "PERMIT_WAIT":
                break
        if refused is None:
            return None
        cause = refused.reason if isinstance(refused, Later) else refused.facts.get("cause") or refused.signal.name
        return Failure(Phase.PRIVILEGE, named("PRIV_NOT_TRIED"), f"{cause}: {refused.text}", {"cause": cause})

    def forget(self) -> None:
        """The answer has been given, or never will be. What a second look compares with goes with the verdict."""
        if self._lent is not None:
            self._lent.forget()

    async def second_look(self) -> None:
        """After a refusal: has the secret changed under us? Then no breaker opens."""
        tried = self._looked
        if tried is None or isinstance(self._handle, Failure):
            return
        self._ledger.enter(Phase.VAULT)
        self._reread = Reread.FAILED
        self._reread, _ = await self._secrets.second_look(self._candidate, self._handle, tried, Part.ROOT)

    async def give_back(self, state: Elevation) -> None:
        """Return the permit, if there is one."""
        if self._looked is not None:
            self._looked.forget()
        await self._permit.give_back(self._verdict(state))

    def _verdict(self, state: Elevation) -> Verdict:
        """As that of a login: what was sent and not answered counts. A conversation that was begun and left is counted
        by the host's own PAM (measured: pam_faillock), and never comes to a directory.
        """
        match state:
            case Elevation.ACCEPTED:
                return Verdict(Phase.AUTH, OK, submitted=True)
            case Elevation.REFUSED:
                code = "PRIV_SUDO_REFUSED" if self._sudo else "PRIV_SU_REFUSED"
                return Verdict(Phase.AUTH, named(code), submitted=True, reread=self._reread)
            case Elevation.SENT:
                return Verdict(Phase.AUTH, DEADLINE, submitted=True)
            case Elevation.BEGUN:
                counted = self._sudo and not self._root.account.is_directory
                return Verdict(Phase.AUTH, DEADLINE, submitted=counted, whole=False)
            case Elevation.UNTRIED:
                return Verdict(Phase.AUTH, DEADLINE, submitted=False)
