"""A login by key proves its account for the run, and takes back nothing that passwords have cost it (R5)."""

from __future__ import annotations

from appliance.contract import (
    DEADLINE,
    OK,
    Account,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    Signal,
    Technology,
    named,
)
from orchestrator.account_state import Budget
from orchestrator.pacing import BY_KEY, Pacer
from orchestrator.permit_ledger import EntryKind, LedgerEntry

ACCOUNT = Account(authority="dir:corp", user="scan")
BUDGET = Budget(failures=3, window_s=1800.0)
GRANTED, WAIT, SKIP = PermitVerdict.GRANTED, PermitVerdict.WAIT, PermitVerdict.SKIP


class Paced:
    """A pacer, and what it has written."""

    def __init__(self) -> None:
        self.pacer = Pacer()
        self.ledger: list[LedgerEntry] = []
        self.now = 0.0

    def ask(self, job: str, run: str = "r", began: float = 0.0) -> PermitVerdict:
        self.now += 1.0
        ids = {"run": run, "job": job, "attempt": 1, "lease": "l", "holder": job, "record": "Unix"}
        request = PermitRequest(**ids, account=ACCOUNT, valid_for=40.0)
        decision = self.pacer.request(request, BUDGET, run_began=began, now=self.now)
        self.ledger += decision.entries
        return decision.answer.verdict

    def tell(self, job: str, signal: Signal = OK, method: str = "password", run: str = "r") -> None:
        self.now += 1.0
        ids = {"run": run, "job": job, "attempt": 1, "lease": "l", "holder": job, "technology": Technology.UNIX}
        verdict = {"phase": Phase.AUTH, "signal": signal, "submitted": True, "facts": {"auth_method": method}}
        self.ledger += self.pacer.release(PermitRelease(**ids, **verdict, account=ACCOUNT), now=self.now)

    def login(self, job: str, signal: Signal = OK, method: str = "password") -> PermitVerdict:
        verdict = self.ask(job)
        if verdict is GRANTED:
            self.tell(job, signal, method)
        return verdict

    def failures(self) -> int:
        return sum(entry.kind is EntryKind.FAILURE for entry in self.ledger)


def test_logins_by_key_in_between_do_not_renew_the_budget_of_passwords() -> None:
    paced = Paced()
    for n in range(20):
        paced.login(f"key {n}", method="publickey")
        paced.login(f"password {n}", DEADLINE)
    assert paced.failures() == BUDGET.failures


def test_a_password_that_is_taken_does() -> None:
    paced = Paced()
    for n in range(20):
        assert paced.login(f"right {n}") is GRANTED
        assert paced.login(f"wrong {n}", DEADLINE) is GRANTED
    assert paced.failures() == 20


def test_a_key_proves_the_account_for_its_run() -> None:
    paced = Paced()
    assert paced.ask("a") is GRANTED
    assert paced.ask("b") is WAIT
    paced.tell("a", method="publickey")
    assert [paced.ask(job) for job in "cde"] == [GRANTED] * 3


def test_a_key_closes_no_breaker() -> None:
    paced = Paced()
    paced.login("a", named("BAD_CREDENTIALS"))
    assert paced.ask("b") is SKIP
    assert paced.ask("c", run="later", began=100.0) is GRANTED
    paced.tell("c", method="publickey", run="later")
    assert paced.ask("d") is SKIP
    assert paced.pacer.breaker(ACCOUNT) is not None


def test_a_restart_remembers_which_success_was_by_key() -> None:
    paced = Paced()
    paced.login("a", DEADLINE)
    paced.login("b", method="publickey")
    assert [entry.cause for entry in paced.ledger if entry.kind is EntryKind.SUCCESS] == [BY_KEY]
    again = Pacer()
    assert not again.restore(paced.ledger)
    assert again.exposure(ACCOUNT, since=0.0) == 1
