"""Whose rows count, of which kind, since when and by which clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.questions import AuditRow
from orchestrator.audit.judging import Question, SecretAudit, VaultAudit, VaultClock, is_view, judge
from orchestrator.audit.uses import SecretKey, Use, VaultKey
from targets.secret_server.audit import Action

SECRET = SecretKey(VaultKey("https://vault", "svc", ""), 7)
SINCE = 1_000_000.0
VIEWS = {Action.VIEW, Action.PASSWORD_SHOWN}


def use(at: float, run: str = "r1", *, sure: bool = True) -> Use:
    return Use(run, "c", "job", 1, "10.0.0.1", "unix", "a", "s", SINCE + at, SINCE + at + 0.1, sure)


def row(number: int, at: float, user: str = "svc", action: str = "VIEW") -> AuditRow:
    return AuditRow(id=number, at=SINCE + at, action=action, user=user)


QUESTION = Question("r1", SINCE, frozenset({"svc"}), VaultClock(0.0, 0.1), 0.0)


def judged(uses: list[Use], rows: list[AuditRow], question: Question = QUESTION) -> tuple[VaultAudit, SecretAudit]:
    audit = judge({SECRET: uses}, {SECRET: rows}, question)
    [secret] = audit.secrets
    return audit, secret


def told(secret: SecretAudit) -> tuple[list[int], list[float], list[int], list[int], list[int]]:
    """Row ids of pairs, drops by their time, and row ids of duplicates, forgeries and others."""
    return (
        [pair.row.id for pair in secret.pairs],
        [use.begin - SINCE for use in secret.drops],
        [loose.row.id for loose in secret.duplicates],
        [loose.row.id for loose in secret.forgeries],
        [loose.row.id for loose in secret.others],
    )


@pytest.mark.parametrize("action", list(Action))
def test_what_the_simulated_vault_writes_is_told_by_its_words(action: Action) -> None:
    assert is_view(action) == (action in VIEWS)


@pytest.mark.parametrize("action", ["Viewed", "PASSWORD DISPLAYED", "Secret Retrieved", "SOMETHING NEW"])
def test_other_spellings_of_views_are_views_and_so_is_what_nobody_knows(action: str) -> None:
    assert is_view(action)


def test_rows_of_others_and_of_other_kinds_are_listed_apart() -> None:
    rows = [row(1, 5), row(2, 6, user="boss"), row(3, 7, action="CHECK OUT"), row(4, 8, user="System", action="UPDATE")]
    assert told(judged([use(5)], rows)[1]) == ([1], [], [], [], [2, 3, 4])


@pytest.mark.parametrize("name", ["svc", "SVC", "CORP\\svc", "svc@corp.example"])
def test_the_vaults_user_is_one_however_the_row_spells_it(name: str) -> None:
    assert told(judged([use(5)], [row(1, 5, user=name)])[1]) == ([1], [], [], [], [])


def test_each_kind_of_fault_by_its_name() -> None:
    rows = [row(1, 5), row(2, 5.01), row(3, 60)]
    secret = judged([use(5), use(30)], rows)[1]
    assert told(secret) == ([1], [30], [2], [3], [])
    assert secret.duplicates[0].twin == use(5)


def test_rows_from_before_the_run_are_not_judged() -> None:
    assert told(judged([use(5)], [row(1, -60), row(2, 5)])[1]) == ([2], [], [], [], [])


def test_another_run_explains_rows_and_its_own_drops_are_told_elsewhere() -> None:
    assert told(judged([use(5), use(60, "r2"), use(90, "r2")], [row(1, 5), row(2, 60)])[1]) == ([1], [], [], [], [])


def test_what_may_have_been_read_is_never_missed() -> None:
    uses = [use(5), replace(use(50, sure=False), end=SINCE + 70)]
    assert told(judged(uses, [row(1, 5)])[1]) == ([1], [], [], [], [])
    assert told(judged(uses, [row(1, 5), row(2, 65)])[1]) == ([1, 2], [], [], [], [])


@pytest.mark.parametrize("skew", [-7000.0, 3600.0])
def test_a_vaults_clock_is_put_right(skew: float) -> None:
    question = replace(QUESTION, clock=VaultClock(skew, 0.1))
    secret = judged([use(5)], [row(1, 5 + skew)], question)[1]
    assert told(secret) == ([1], [], [], [], [])
    assert secret.pairs[0].at == pytest.approx(SINCE + 5)


@pytest.mark.parametrize(("ahead", "local"), [(0.0, False), (7200.0, True)])
def test_dates_are_utc_or_local_whichever_pairs(ahead: float, local: bool) -> None:
    question = replace(QUESTION, clock=VaultClock(0.0, 0.1, local=7200.0))
    audit, secret = judged([use(5), use(6)], [row(1, 5 + ahead), row(2, 6 + ahead)], question)
    assert (audit.local, told(secret)) == (local, ([1, 2], [], [], [], []))


def test_no_reading_of_dates_hides_what_was_forged() -> None:
    """As local time, all rows but one drop would lie before the run."""
    question = replace(QUESTION, clock=VaultClock(0.0, 0.1, local=7200.0))
    audit, secret = judged([use(5)], [row(1, 5), row(2, 60), row(3, 70), row(4, 80)], question)
    assert (audit.local, told(secret)) == (False, ([1], [], [], [2, 3, 4], []))
