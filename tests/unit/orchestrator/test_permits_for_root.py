"""The permit of root delegation, beside that of the login it follows, and the weight of its failures (R11)."""

from __future__ import annotations

from appliance.contract import (
    DEADLINE,
    OK,
    Account,
    PermitRelease,
    PermitRequest,
    PermitVerdict,
    Phase,
    Reread,
    Signal,
    Technology,
    named,
)
from orchestrator.account_state import Budget
from orchestrator.pacing import Pacer
from orchestrator.permit_ledger import EntryKind, LedgerEntry

LOGIN = Account(authority="dir:corp", user="scan")
ROOT = Account(authority="host:192.0.2.1", user="root")
BUDGET = Budget(failures=2, window_s=1800.0)
REFUSED = named("PRIV_SUDO_REFUSED")
GRANTED, WAIT, SKIP, DUPLICATE = PermitVerdict.GRANTED, PermitVerdict.WAIT, PermitVerdict.SKIP, PermitVerdict.DUPLICATE


def ask(
    pacer: Pacer,
    account: Account,
    *,
    root: bool = False,
    job: str = "1",
    now: float = 1.0,
    budget: Budget = BUDGET,
) -> PermitVerdict:
    return _asked(pacer, account, root=root, job=job, now=now, budget=budget)[0]


def _asked(
    pacer: Pacer, account: Account, *, root: bool, job: str, now: float, budget: Budget = BUDGET
) -> tuple[PermitVerdict, tuple[LedgerEntry, ...]]:
    request = PermitRequest(
        run="r",
        job=f"{job}/root" if root else job,
        attempt=1,
        lease="l",
        holder=f"{job}{root}",
        account=account,
        record="rec",
        valid_for=40.0,
        logons=2 if root else 1,
    )
    decision = pacer.request(request, budget, run_began=0.0, now=now)
    return decision.answer.verdict, decision.entries


def give_back(
    pacer: Pacer,
    account: Account,
    signal: Signal = OK,
    *,
    root: bool = False,
    job: str = "1",
    submitted: bool = True,
    logons: int = 1,
    reread: Reread = Reread.NOT_DONE,
) -> list[EntryKind]:
    release = PermitRelease(
        run="r",
        job=f"{job}/root" if root else job,
        attempt=1,
        lease="l",
        holder=f"{job}{root}",
        technology=Technology.UNIX,
        account=account,
        phase=Phase.AUTH,
        signal=signal,
        submitted=submitted,
        logons=logons,
        reread=reread,
    )
    return [entry.kind for entry in pacer.release(release, now=2.0)]


def logged_in(pacer: Pacer, job: str = "1") -> None:
    assert ask(pacer, LOGIN, job=job) is GRANTED
    give_back(pacer, LOGIN, job=job)


def test_one_more_permit_for_who_has_logged_in_and_only_one() -> None:
    pacer = Pacer()
    logged_in(pacer)
    assert ask(pacer, ROOT, root=True) is GRANTED
    assert give_back(pacer, ROOT, root=True) == [EntryKind.SUCCESS]
    assert ask(pacer, ROOT, root=True) is DUPLICATE
    assert ask(pacer, LOGIN) is DUPLICATE


def test_the_logins_own_account_has_its_verdict_first() -> None:
    pacer = Pacer()
    logged_in(pacer, "0")
    assert ask(pacer, LOGIN) is GRANTED
    assert ask(pacer, LOGIN, root=True) is WAIT
    give_back(pacer, LOGIN)
    assert ask(pacer, LOGIN, root=True) is GRANTED


def test_two_logons_are_risked_only_where_there_is_room_for_both() -> None:
    pacer = Pacer()
    logged_in(pacer)
    logged_in(pacer, "2")
    give_back(pacer, LOGIN, DEADLINE, job="3")  # one failure, of nobody's
    assert ask(pacer, LOGIN, root=True) is SKIP
    assert ask(pacer, LOGIN, root=True, budget=Budget(failures=3, window_s=1800.0)) is GRANTED
    assert ask(pacer, ROOT, root=True, job="2", budget=Budget(failures=1, window_s=1800.0)) is SKIP


def test_what_is_out_counts_as_the_logons_that_it_may_come_to() -> None:
    pacer = Pacer()
    logged_in(pacer)
    assert ask(pacer, LOGIN, root=True) is GRANTED
    assert ask(pacer, LOGIN, job="2") is WAIT, "a third logon, of two"
    assert give_back(pacer, LOGIN, REFUSED, root=True, logons=2)
    assert pacer.exposure(LOGIN, since=0.0) == BUDGET.failures


def test_sudos_of_one_account_at_once_stay_within_its_budget() -> None:
    pacer, five = Pacer(), Budget(failures=5, window_s=1800.0)
    logged_in(pacer)
    asked = [ask(pacer, LOGIN, root=True, job=str(n), budget=five) for n in range(2, 8)]
    assert asked == [GRANTED, GRANTED, WAIT, WAIT, WAIT, WAIT]
    assert ask(pacer, LOGIN, job="9", budget=five) is GRANTED, "there is room for one"
    assert pacer.exposure(LOGIN, since=0.0) == 5


def test_one_that_nobody_answers_counts_as_two() -> None:
    pacer = Pacer()
    logged_in(pacer)
    assert ask(pacer, LOGIN, root=True) is GRANTED
    assert [entry.kind for entry in pacer.expire(now=50.0)] == [EntryKind.FAILURE] * 2
    assert ask(pacer, LOGIN, job="2", now=51.0) is SKIP


def test_a_refused_password_of_sudo_counts_as_two_logons_and_opens_the_breaker() -> None:
    pacer = Pacer()
    logged_in(pacer)
    assert ask(pacer, LOGIN, root=True) is GRANTED
    kinds = give_back(pacer, LOGIN, REFUSED, root=True, logons=2)
    assert kinds == [EntryKind.FAILURE, EntryKind.FAILURE, EntryKind.BREAKER]
    assert pacer.exposure(LOGIN, since=0.0) == 2
    assert ask(pacer, LOGIN, job="2") is SKIP


def test_roots_account_has_a_breaker_of_its_own() -> None:
    pacer = Pacer()
    logged_in(pacer)
    assert ask(pacer, ROOT, root=True) is GRANTED
    give_back(pacer, ROOT, named("PRIV_SU_REFUSED"), root=True)
    assert pacer.breaker(ROOT) is not None
    assert pacer.breaker(LOGIN) is None
    assert ask(pacer, LOGIN, job="2") is GRANTED


def test_a_secret_that_has_changed_meanwhile_opens_none() -> None:
    pacer = Pacer()
    logged_in(pacer)
    assert ask(pacer, ROOT, root=True) is GRANTED
    kinds = give_back(pacer, ROOT, named("PRIV_SU_REFUSED"), root=True, reread=Reread.CHANGED)
    assert kinds == [EntryKind.FAILURE]


def test_what_was_sent_and_not_answered_counts_and_what_was_not_sent_does_not() -> None:
    for submitted, kinds in ((True, [EntryKind.FAILURE] * 2), (False, [EntryKind.NEUTRAL])):
        pacer = Pacer()
        logged_in(pacer)
        assert ask(pacer, ROOT, root=True) is GRANTED
        assert give_back(pacer, ROOT, DEADLINE, root=True, submitted=submitted, logons=2) == kinds


def test_the_ledger_remembers_it() -> None:
    pacer, entries = Pacer(), list[LedgerEntry]()
    for account, root in ((LOGIN, False), (ROOT, True)):
        verdict, made = _asked(pacer, account, root=root, job="1", now=1.0)
        assert verdict is GRANTED
        entries += made
    again = Pacer()
    lost = again.restore(entries)
    assert [(entry.kind, entry.account, entry.at) for entry in lost["r"]] == [
        (EntryKind.FAILURE, LOGIN, 41.0),
        (EntryKind.FAILURE, ROOT, 41.0),
        (EntryKind.FAILURE, ROOT, 41.0),  # as sudo, and so as two
    ]
    assert ask(again, ROOT, root=True, now=6.0) is DUPLICATE
    assert give_back(again, ROOT, REFUSED, root=True) == []  # it was counted when it was lost


def test_a_failure_that_nobody_granted_counts_all_the_same() -> None:
    pacer = Pacer()
    logged_in(pacer)
    assert EntryKind.FAILURE in give_back(pacer, ROOT, REFUSED, root=True)
