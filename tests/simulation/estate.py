"""The truth that both layers are judged by: targets with their faults, accounts with their passwords, and what the
hosts themselves counted. Nothing here is told to the system under test; it finds out by logging in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from appliance.contract import Account, Candidate, CredentialRef, SecretLookup, Selection, Target, Technology
from orchestrator.attempts import Planned, Unplannable
from orchestrator.stops import Selector
from orchestrator.zones import DEFAULT_ZONE
from tests.simulation.kernel import Violation
from tests.simulation.options import Options

DIRECTORY = Account(authority="dir:corp", user="scan")
DOMAIN = "corp"
VAULT = "vault"
STOPPABLE = (
    Selector.of_account("scan@corp"),
    Selector.of_secret(str(DIRECTORY)),
    Selector.of_secret(str(DIRECTORY), VAULT),
    Selector.of_vault(VAULT),
)
"""What an admin may stop: the account that targets share, by each of the ways to it."""
UNIX, WINDOWS = "unix/default", "windows/default"
Submission = tuple[str, str, int]
"""(run, job, attempt)"""


class Answer(StrEnum):
    """What a host says to a password."""

    WELCOME = "welcome"
    REFUSED = "refused"
    DISABLED = "disabled"


@dataclass(slots=True)
class AccountTruth:
    """An account as its directory knows it; passwords are version numbers."""

    account: Account
    budget: int
    window: float
    at_directory: int = 1
    in_vault: int = 1
    disabled: bool = False
    missing: bool = False
    """The vault has no secret for it."""
    failures: list[float] = field(default_factory=list)
    """Failed logons that the hosts counted since the last success."""
    pending: dict[Submission, int] = field(default_factory=dict)
    """Submissions that no host has judged yet, with the password's version."""

    def submit(self, who: Submission, version: int, now: float) -> None:
        """A password leaves an appliance. The heart of the matter: nobody may be locked out."""
        if who in self.pending:
            raise Violation(f"{who} submits a second time while the first is being judged")
        self.pending[who] = version
        recent = sum(at > now - self.window for at in self.failures)
        if recent + len(self.pending) > self.budget:
            raise Violation(
                f"{self.account}: {recent} failed logons counted by the hosts and {len(self.pending)} under way, "
                f"with a budget of {self.budget} in {self.window:g} s"
            )

    def judge(self, who: Submission, now: float) -> Answer:
        """The host decides; the directory counts."""
        version = self.pending.pop(who)
        if self.disabled:
            return Answer.DISABLED
        if version == self.at_directory:
            self.failures.clear()
            return Answer.WELCOME
        self.failures.append(now)
        return Answer.REFUSED


@dataclass(frozen=True, slots=True)
class HostTruth:
    """A target: `fault` is one of `options.TRUTHS`, or empty."""

    target: Target
    technology: Technology
    fault: str
    candidates: tuple[Candidate, ...]


class Plan:
    """The dispatcher's `Source`: a run's view of the estate."""

    def __init__(self, run: str, units: Mapping[str, Sequence[Planned | Unplannable]]) -> None:
        self.run = run
        self._units = units
        self.by_job = {unit.job: unit for cursor in units.values() for unit in cursor}
        self.planned = len(self.by_job)

    def cursors(self) -> Sequence[str]:
        return tuple(self._units)

    def count(self, cursor: str) -> int:
        return len(self._units[cursor])

    def zone(self, cursor: str) -> str:
        return DEFAULT_ZONE

    def at(self, cursor: str, index: int) -> Planned | Unplannable:
        return self._units[cursor][index]


class Estate:
    """All targets and accounts of one world."""

    def __init__(self, options: Options, rng: Random) -> None:
        self.accounts: dict[Account, AccountTruth] = {}
        self.hosts: dict[str, HostTruth] = {}
        self._options = options
        self._rng = rng
        directory = self._account(DIRECTORY)
        self._corrupt(directory, 0.5)
        for number in range(options.targets):
            self._add(number)

    def _account(self, account: Account) -> AccountTruth:
        truth = AccountTruth(account, self._options.budget, self._options.window)
        self.accounts[account] = truth
        return truth

    def _corrupt(self, account: AccountTruth, share: float) -> None:
        if self._rng.random() >= share:
            return
        faults = [f for f in ("wrong", "disabled", "missing") if f in self._options.truths]
        fault = self._rng.choice(faults) if faults else ""
        account.at_directory += fault == "wrong"
        account.disabled = fault == "disabled"
        account.missing = fault == "missing"

    def _add(self, number: int) -> None:
        rng, truths = self._rng, self._options.truths
        address = f"10.0.{number % 2}.{number + 1}"
        faults = [t for t in truths if t in ("closed", "silent", "slow", "dropped", "reset", "limited")]
        fault = rng.choice(faults) if faults and rng.random() < 0.5 else ""
        shared = rng.random() < self._options.directory_share
        windows = "windows" in truths and rng.random() < 0.4
        local = Account(authority=f"host:{address}", user="root")
        candidates: tuple[Candidate, ...]
        if windows:
            candidates = (
                _candidate("service", DIRECTORY, Selection.SERVICE_SELECTED, 445),
                _candidate(f"local-{number}", local, Selection.LOCAL, 445),
            )
        elif shared:
            candidates = (_candidate("shared", DIRECTORY, Selection.IP, 22),)
        else:
            candidates = (_candidate(f"local-{number}", local, Selection.IP, 22),)
        if windows or not shared:
            self._corrupt(self._account(local), 0.3)
        technology = Technology.WINDOWS if windows else Technology.UNIX
        self.hosts[address] = HostTruth(Target(address=address), technology, fault, candidates)

    def plan(self, run: str) -> Plan:
        """Every target of the estate, and now and then one that no record serves."""
        units: dict[str, list[Planned | Unplannable]] = {UNIX: [], WINDOWS: []}
        for host in self.hosts.values():
            cursor = WINDOWS if host.technology is Technology.WINDOWS else UNIX
            units[cursor].append(Planned(f"{run}-{host.target.address}", host.technology, host.target, host.candidates))
        if self._rng.random() < 0.2:
            nobody = Target(address="10.0.9.9")
            units[UNIX].append(Unplannable(f"{run}-none", Technology.UNIX, nobody, "NO_RECORD", "nobody serves it"))
        return Plan(run, {name: cursor for name, cursor in units.items() if cursor})

    def rotate(self) -> None:
        """Somebody changes the shared password at the directory; the vault has it already, or hears of it later."""
        account = self.accounts[DIRECTORY]
        account.at_directory += 1

    def tell_vault(self) -> None:
        account = self.accounts[DIRECTORY]
        account.in_vault = account.at_directory


def secret_of(account: Account) -> CredentialRef:
    return CredentialRef(vault=VAULT, by=SecretLookup.NAME, key=str(account))


def _candidate(record: str, account: Account, selection: Selection, port: int) -> Candidate:
    return Candidate(
        record=record,
        user=account.user,
        domain=DOMAIN if selection is Selection.SERVICE_SELECTED else "",
        account=account,
        secret=secret_of(account),
        selection=selection,
        port=port,
    )
