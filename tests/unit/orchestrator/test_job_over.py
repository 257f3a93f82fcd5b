"""What the pacer keeps of a job that has its outcome: nothing that could make an account unsafe is forgotten."""

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
from orchestrator.pacing import LATE_S, Pacer

HOST, OWN = "host:10.0.0.1", Account(authority="host:10.0.0.1", user="scan")
SHARED = Account(authority="dir:corp", user="scan")
VALID_FOR = 40.0


def ask(
    pacer: Pacer, account: Account, job: str = "j", attempt: int = 1, now: float = 0.0, valid_for: float = VALID_FOR
) -> PermitVerdict:
    ids = {"run": "r", "job": job, "attempt": attempt, "lease": "l", "holder": f"{job}:{attempt}", "record": "Unix"}
    request = PermitRequest(**ids, account=account, valid_for=valid_for)
    return pacer.request(request, Budget(), run_began=0.0, now=now).answer.verdict


def tell(pacer: Pacer, account: Account, signal: Signal = OK, job: str = "j", now: float = 1.0) -> None:
    ids = {"run": "r", "job": job, "attempt": 1, "lease": "l", "holder": f"{job}:1"}
    verdict = {"phase": Phase.AUTH, "signal": signal, "submitted": True}
    pacer.release(PermitRelease(**ids, **verdict, technology=Technology.UNIX, account=account), now=now)


def kept(pacer: Pacer) -> tuple[int, int]:
    """Accounts, and jobs of the run."""
    return len(pacer._accounts), len(pacer._granted["r"])


def test_a_host_of_its_own_leaves_nothing_behind() -> None:
    pacer = Pacer()
    for number in range(1000):
        account = Account(authority=f"host:10.0.0.{number}", user="scan")
        assert ask(pacer, account, f"j{number}") is PermitVerdict.GRANTED
        tell(pacer, account, job=f"j{number}")
        pacer.job_over("r", f"j{number}", [account], account.authority, now=1.0)
    assert len(pacer._accounts) == 0
    pacer.expire(now=1.0 + LATE_S)
    assert kept(pacer) == (0, 0)


def test_failures_and_breakers_stay() -> None:
    pacer = Pacer()
    ask(pacer, OWN)
    tell(pacer, OWN, named("BAD_CREDENTIALS"))
    pacer.job_over("r", "j", [OWN], HOST, now=1.0)
    assert pacer.exposure(OWN, since=0.0) == 1
    assert ask(pacer, OWN, "another") is PermitVerdict.SKIP


def test_a_permit_that_is_out_is_still_its_holders_to_return() -> None:
    pacer = Pacer()
    ask(pacer, OWN)
    pacer.job_over("r", "j", [OWN], HOST, now=1.0)
    pacer.expire(now=VALID_FOR - 1.0)
    assert kept(pacer) == (1, 1)
    tell(pacer, OWN, named("BAD_CREDENTIALS"))
    assert pacer.exposure(OWN, since=0.0) == 1


def test_a_verdict_that_comes_after_expiry_and_outcome_counts_once() -> None:
    pacer = Pacer()
    ask(pacer, SHARED)
    pacer.expire(now=VALID_FOR + 1.0)
    pacer.job_over("r", "j", [SHARED], HOST, now=VALID_FOR + 1.0)
    pacer.expire(now=VALID_FOR + 1.0 + LATE_S)
    tell(pacer, SHARED, named("BAD_CREDENTIALS"), now=VALID_FOR + 2.0 + LATE_S)
    assert pacer.exposure(SHARED, since=0.0) == 1, "the expiry has been counted; this is the same logon"


def test_a_permit_that_is_out_for_longer_than_verdicts_come_late_stays_its_holders_too() -> None:
    pacer = Pacer()
    ask(pacer, OWN, valid_for=2 * LATE_S)
    pacer.job_over("r", "j", [OWN], HOST, now=1.0)
    pacer.expire(now=1.0 + LATE_S)
    assert kept(pacer) == (1, 1)


def test_a_verdict_that_is_told_twice_counts_once_though_its_job_is_over() -> None:
    """The first answer came late, so it was told again, when the report had been settled."""
    pacer = Pacer()
    ask(pacer, SHARED)
    tell(pacer, SHARED, DEADLINE)
    pacer.job_over("r", "j", [SHARED], HOST, now=1.0)
    tell(pacer, SHARED, DEADLINE, now=LATE_S)
    assert pacer.exposure(SHARED, since=0.0) == 1


def test_a_verdict_that_is_told_twice_counts_once_though_its_run_is_over() -> None:
    pacer = Pacer()
    ask(pacer, SHARED)
    tell(pacer, SHARED, DEADLINE)
    pacer.forget_run("r", now=1.0)
    tell(pacer, SHARED, DEADLINE, now=LATE_S)
    assert pacer.exposure(SHARED, since=0.0) == 1
    pacer.expire(now=1.0 + LATE_S)
    assert "r" not in pacer._granted


def test_a_run_that_goes_on_is_not_forgotten() -> None:
    pacer = Pacer()
    ask(pacer, SHARED)
    tell(pacer, SHARED)
    pacer.forget_run("r", now=1.0)
    assert list(pacer.runs()) == []
    assert ask(pacer, SHARED, "another", now=2.0) is PermitVerdict.GRANTED
    assert list(pacer.runs()) == ["r"]
    pacer.expire(now=1.0 + LATE_S)
    assert ask(pacer, SHARED, now=1.0 + LATE_S) is PermitVerdict.DUPLICATE


def test_a_run_that_goes_on_elsewhere_is_not_forgotten_with_what_was_inherited_of_it() -> None:
    pacer, there = Pacer(), Pacer()
    pacer.forget_run("r", now=0.0)
    request = {"run": "r", "job": "j", "attempt": 1, "lease": "l", "holder": "h", "record": "Unix"}
    granted = there.request(
        PermitRequest(**request, account=SHARED, valid_for=VALID_FOR), Budget(), run_began=0.0, now=1.0
    )
    pacer.inherit(granted.entries)
    pacer.expire(now=LATE_S)
    assert ask(pacer, SHARED, now=LATE_S) is PermitVerdict.DUPLICATE


def test_a_run_that_is_found_to_be_over_again_and_again_is_forgotten_all_the_same() -> None:
    pacer = Pacer()
    ask(pacer, SHARED)
    for now in (1.0, LATE_S, 1.0 + LATE_S):
        pacer.forget_run("r", now=now)
    assert "r" not in pacer._granted


def test_a_shared_account_stays_proven() -> None:
    pacer = Pacer()
    ask(pacer, SHARED)
    tell(pacer, SHARED)
    pacer.job_over("r", "j", [SHARED], HOST, now=1.0)
    pacer.expire(now=1.0 + LATE_S)
    assert [ask(pacer, SHARED, job) for job in "ab"] == [PermitVerdict.GRANTED] * 2, "no canary again"
    assert kept(pacer) == (1, 2)


def test_an_account_of_another_host_stays_proven() -> None:
    """A jump host's: the jobs behind it end one by one."""
    jump = Account(authority="host:10.9.9.9", user="jump")
    pacer = Pacer()
    ask(pacer, jump)
    tell(pacer, jump)
    pacer.job_over("r", "j", [OWN, jump], HOST, now=1.0)
    assert [ask(pacer, jump, job) for job in "ab"] == [PermitVerdict.GRANTED] * 2
