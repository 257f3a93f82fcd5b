"""Targets and the vault as a scan process meets them: the estate's truth behind the adapters' Protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from socket import socket
from typing import cast

import anyio
from anyio.abc import TaskGroup

from appliance.contract import AccessTerms, Candidate, CredentialRef, Failure, Job, Phase, Technology, View
from appliance.login import AskRoot, Authenticated, Elevation, Login, Negotiated, NextAnswer, Privileges
from appliance.phases import PhaseLedger
from appliance.vault import DEFAULT_TERMS, SecretHandle
from appliance.vault.breaker import AWAY
from appliance.vault.credential import Credential
from tests.simulation.coverage import Coverage
from tests.simulation.estate import DOMAIN, AccountTruth, Answer, Estate, HostTruth, Submission
from tests.simulation.kernel import Violation
from tests.simulation.model_appliance import CLOSED, DISABLED, LIMITED, MISSING, NO_ANSWER, REFUSED, RESET
from tests.simulation.oracle import Oracle

JUDGE_MAX_S = 1.0
"""A host decides about a password that it has received within this time, whatever becomes of the sender."""


class SimVault:
    """The vault itself. A password is its version number."""

    def __init__(self, estate: Estate, rng: Random) -> None:
        self.accounts = {str(account): truth for account, truth in estate.accounts.items()}
        self._rng = rng
        self.down_until = 0.0
        self.hangs = False
        """While it is down it does not refuse, it says nothing."""

    async def reach(self) -> Failure | None:
        if anyio.current_time() >= self.down_until:
            await anyio.sleep(self._rng.uniform(0.01, 2.0))
        elif self.hangs:
            await anyio.sleep(self.down_until - anyio.current_time())
        else:
            await anyio.sleep(0.01)
            return Failure(
                Phase.VAULT, NO_ANSWER, "the vault is down", {AWAY: "1.0"} if self._rng.random() < 0.7 else {}
            )
        return None


class SimSource:
    """Implements `CredentialSource` for one scan process, and keeps what it has given out."""

    def __init__(self, vault: SimVault) -> None:
        self._vault = vault
        self.issued: list[Credential] = []

    async def turn(self, ref: CredentialRef) -> Callable[[], None] | Failure:
        return lambda: None

    async def settle(self, ref: CredentialRef) -> SecretHandle | Failure:
        if down := await self._vault.reach():
            return down
        truth = self._vault.accounts[ref.key]
        return Failure(Phase.VAULT, MISSING) if truth.missing else SecretHandle(ref, 1)

    async def approval(self, handle: SecretHandle) -> Failure | None:
        return None

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
        assert not private_key
        assert purpose
        if down := await self._vault.reach():
            return down
        credential = Credential(password=str(self._vault.accounts[handle.ref.key].in_vault))
        self.issued.append(credential)
        return credential


class SimTargets:
    """Every host of the estate. `tasks` outlives the appliances: a host goes on when its client has died.

    A worker takes a bug in one scan for that job's outcome; so promises that a scan breaks are written down as well.
    """

    def __init__(self, estate: Estate, oracle: Oracle, coverage: Coverage, rng: Random, tasks: TaskGroup) -> None:
        self.estate, self.oracle, self.coverage, self.rng, self.tasks = estate, oracle, coverage, rng, tasks
        self.sessions = 0
        """Connections that are open."""
        self.broken: list[str] = []

    async def dial(
        self, address: str, port: int, ledger: PhaseLedger, /, *, allow: Callable[[str], bool], facts: dict[str, str]
    ) -> socket | Failure:
        assert allow(address)
        assert not facts
        ledger.enter(Phase.TCP)
        await anyio.sleep(self.rng.uniform(0.01, 0.5))
        host = self.estate.hosts[address]
        assert port == host.candidates[0].port
        return Failure(Phase.TCP, CLOSED) if host.fault == "closed" else cast("socket", host)

    @asynccontextmanager
    async def login(self, sock: socket, job: Job, ledger: PhaseLedger) -> AsyncIterator[Login]:
        host = cast("HostTruth", sock)
        self.sessions += 1
        try:
            yield SimLogin(self, host, job, ledger)
        finally:
            self.sessions -= 1

    async def judge(self, truth: AccountTruth, who: Submission, heard: anyio.Event, answer: list[Answer]) -> None:
        await anyio.sleep(self.rng.uniform(0.01, JUDGE_MAX_S))
        if who in truth.pending:
            answer.append(truth.judge(who, anyio.current_time()))
            heard.set()


class SimLogin:
    """Implements `Login`."""

    def __init__(self, targets: SimTargets, host: HostTruth, job: Job, ledger: PhaseLedger) -> None:
        self._targets, self._host, self._job, self._ledger = targets, host, job, ledger
        self.submitted = False
        self.proven = False

    async def _wait(self, longest: float) -> None:
        await anyio.sleep(self._targets.rng.uniform(0.01, longest))

    def _sometimes(self, fault: str) -> bool:
        return self._host.fault == fault and self._targets.rng.random() < 0.5

    async def greet(self) -> Failure | None:
        if self._host.fault == "silent":
            await anyio.sleep_forever()
        await self._wait(0.5)
        return None

    async def negotiate(self) -> Negotiated | Failure:
        self._ledger.enter(Phase.KEX)
        await self._wait(0.5)
        if self._sometimes("reset"):
            return Failure(Phase.KEX, RESET)
        return Negotiated(DOMAIN if self._host.technology is Technology.WINDOWS else "")

    async def prepare(self, candidate: Candidate) -> Failure | None:
        return None

    async def authenticate(
        self, candidate: Candidate, credential: Credential, following: NextAnswer | None = None
    ) -> Authenticated | Failure:
        targets, now = self._targets, anyio.current_time()
        who = (self._job.run, self._job.job, self._job.attempt)
        truth = targets.estate.accounts[candidate.account]
        self.submitted = True
        try:
            targets.oracle.submitted(who)
            truth.submit(who, int(credential.password), now)
        except Violation as violation:
            targets.broken.append(str(violation))
            raise
        heard, answer = anyio.Event(), list[Answer]()
        targets.tasks.start_soon(targets.judge, truth, who, heard, answer, name=f"host {self._host.target.address}")
        try:
            await heard.wait()
            await self._wait(40.0 if self._host.fault == "slow" else 0.5)
        finally:
            if who in truth.pending:  # hung up on: it has the password, and decides at once
                targets.coverage.hit("cut short")
                truth.judge(who, anyio.current_time())
        if self._sometimes("dropped"):
            return Failure(Phase.AUTH, RESET)
        match answer[0]:
            case Answer.WELCOME:
                return Authenticated()
            case Answer.DISABLED:
                return Failure(Phase.AUTH, DISABLED)
            case Answer.REFUSED:
                return Failure(Phase.AUTH, REFUSED[self._job.technology])

    elevation = Elevation.UNTRIED

    async def privileges(self, ask_root: AskRoot | None = None) -> Privileges | Failure:
        await self._wait(0.5)
        return Failure(Phase.PRIVILEGE, LIMITED) if self._host.fault == "limited" else Privileges()
