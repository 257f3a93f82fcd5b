"""What earlier runs tell, rule by rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.contract import Phase, Technology
from orchestrator.capacity.accounts import account_pace
from orchestrator.capacity.costs import UNTRIED, VERDICT_S, Costs, PastRun, costs_of
from orchestrator.capacity.spent import BACKGROUND_AT_MOST, START_CPU_S, CpuSpent, Spent
from orchestrator.store.records import TimedAttempt, VerdictTime
from tests.unit.capacity.sizes import ACCOUNT

HOST = "scan@host:10.0.0.1"
PHASES = {Phase.TCP: 0.1, Phase.PERMIT: 5.0, Phase.VAULT: 0.2, Phase.AUTH: 0.3}


def attempt(job: int = 0, *, account: str = HOST, at: float = 100.0, **changes: object) -> TimedAttempt:
    made = TimedAttempt(
        job=f"{job:04}",
        technology=Technology.UNIX,
        account=account,
        reason="PASSED",
        dispatched=at,
        began=at + 1.0,
        ended=at + 6.7,
        phases=PHASES,
        views=((at + 1.1, at + 1.3),),
        submitted=True,
        cut_off=False,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the names and types are its own


def spent(cpu: CpuSpent | None = None, *, began: float = 100.0, ended: float = 110.0) -> Spent:
    return Spent(began, ended, processes=2, cores=2, cpu=cpu)


def past(*attempts: TimedAttempt, **changes: object) -> PastRun:
    jobs = len({one.job for one in attempts})
    made = PastRun("r1", spent=None, attempts=attempts, verdicts=(), jobs=jobs)
    return replace(made, **changes)  # type: ignore[arg-type]  # likewise


def test_nothing_is_known_of_nothing() -> None:
    assert costs_of([]) == costs_of([past()]) == Costs()
    assert Costs().of(Technology.UNIX) == (UNTRIED,)
    assert not Costs().knows(Technology.UNIX)


def test_an_attempt_has_its_place_but_for_the_wait_for_its_permit() -> None:
    (tried,) = costs_of([past(attempt())]).of(Technology.UNIX)
    assert tried.busy == pytest.approx(0.6)
    assert (tried.pauses, tried.cut_off) == (0.0, 0)
    assert (tried.logins, tried.views, tried.failed) == (1, 1, 0)


@pytest.mark.parametrize(("account", "held"), [(HOST, 5.7), (ACCOUNT, 6.7)])
def test_what_waits_for_a_place_is_held_by_its_account_alone(account: str, held: float) -> None:
    (tried,) = costs_of([past(attempt(account=account))]).of(Technology.UNIX, account)
    assert tried.held == pytest.approx(held)


def test_what_the_deadline_cut_off_is_counted_and_not_timed() -> None:
    cut_off = attempt(reason="BANNER_TIMEOUT", phases={Phase.NEGOTIATE: 5.7}, views=(), submitted=False, cut_off=True)
    again = replace(cut_off, account="", dispatched=109.7, began=110.7, ended=116.4)
    (tried,) = costs_of([past(cut_off, again)]).of(Technology.UNIX)
    assert (tried.busy, tried.cut_off, round(tried.pauses, 6), tried.logins) == (0.0, 2, 3.0, 0)
    assert tried.held == pytest.approx(0.0)


def test_a_refused_password_is_a_failed_logon_and_a_network_fault_is_none() -> None:
    refused, unreached = attempt(reason="BAD_CREDENTIALS"), attempt(1, reason="TCP_REFUSED", submitted=False, views=())
    assert [one.failed for one in costs_of([past(refused, unreached)]).of(Technology.UNIX)] == [1, 0]


def test_an_attempt_that_no_appliance_took_up_tells_nothing() -> None:
    assert costs_of([past(attempt(began=0.0))]) == Costs()


def test_targets_of_a_directory_account_are_kept_apart() -> None:
    slow = attempt(1, account=ACCOUNT, phases={Phase.AUTH: 9.0})
    known = costs_of([past(attempt(0), slow)])
    assert [one.busy for one in known.of(Technology.UNIX, ACCOUNT)] == [9.0]
    assert [one.busy for one in known.of(Technology.UNIX)] == [pytest.approx(0.6)]
    assert known.of(Technology.UNIX, "other@dir:corp") == known.of(Technology.UNIX)
    assert known.of(Technology.WINDOWS) == (UNTRIED,)


def test_the_first_wave_of_a_directory_account_is_left_out() -> None:
    """The run's first waited for its scan process; those dispatched behind it did not."""
    first, behind = attempt(0, account=ACCOUNT, ended=103.0), attempt(1, account=ACCOUNT, at=103.0, ended=103.5)
    assert [one.held for one in costs_of([past(first, behind)]).of(Technology.UNIX, ACCOUNT)] == [0.5]
    assert [one.held for one in costs_of([past(first)]).of(Technology.UNIX, ACCOUNT)] == [3.0]
    own = [replace(one, account=HOST) for one in (first, behind)]
    assert len(costs_of([past(*own)]).of(Technology.UNIX)) == 2


def test_verdicts_are_the_pacers_where_the_ledger_has_them_else_those_of_the_phases() -> None:
    by_phases = costs_of([past(attempt(account=ACCOUNT))])
    assert by_phases.verdicts == {ACCOUNT: pytest.approx(0.5)}
    by_ledger = costs_of([past(attempt(account=ACCOUNT), verdicts=(VerdictTime(ACCOUNT, 1, 0.08),))])
    assert by_ledger.verdicts == {ACCOUNT: 0.08}


def test_the_pace_of_an_account_is_assumed_until_it_was_measured() -> None:
    unknown = account_pace(Costs(), ACCOUNT, 2)
    assert (unknown.logins_per_s, unknown.measured) == (2 / VERDICT_S, False)
    known = costs_of([past(attempt(account=ACCOUNT), verdicts=(VerdictTime(ACCOUNT, 1, 0.08),))])
    paced = account_pace(known, ACCOUNT, 2)
    assert paced.measured
    assert paced.logins_per_s == pytest.approx(25.0)


def test_crowded_processors_make_attempts_and_views_look_slow() -> None:
    attempts = [attempt(n, at=100.0 + n / 100, phases={Phase.AUTH: 0.1 + n / 1000}) for n in range(100)]
    idle = past(*attempts, spent=spent(CpuSpent(0.01, 0.01, 1.2, 1.3)))
    crowded = past(*attempts, spent=spent(CpuSpent(0.2, 0.1, 2.9, 3.2)))
    assert max(one.busy for one in costs_of([idle]).of(Technology.UNIX)) == pytest.approx(0.199)
    assert max(one.busy for one in costs_of([crowded]).of(Technology.UNIX)) == pytest.approx(0.104)


def test_what_a_target_costs_the_processors() -> None:
    run = past(attempt(0), attempt(1), spent=spent(CpuSpent(1.0, 0.2, 2 * START_CPU_S + 4.0, 15.0)))
    cpu = costs_of([run]).cpu
    assert cpu is not None
    assert (cpu.orchestrator, cpu.bus) == (0.5, 0.1)
    assert cpu.appliance == pytest.approx(2.0)
    assert cpu.others == pytest.approx((15.0 - 1.2 - 4.0 - 2 * START_CPU_S) / 2)
    assert cpu.background == 0.0


def test_the_background_is_not_for_the_targets() -> None:
    """Two cores for ten seconds, of which half a core was taken by what has nothing to do with us."""
    run = past(attempt(0), attempt(1), spent=replace(spent(CpuSpent(1.0, 0.0, 1.0, 10.0)), background=0.25))
    cpu = costs_of([run]).cpu
    assert cpu is not None
    assert cpu.others == pytest.approx((10.0 - 2.0 - 0.25 * 2 * 10.0) / 2)
    assert cpu.background == 0.25


def test_the_background_never_has_the_whole_machine() -> None:
    run = past(attempt(), spent=replace(spent(CpuSpent(0.1, 0.1, 0.2, 20.0)), background=0.99))
    cpu = costs_of([run]).cpu
    assert cpu is not None
    assert cpu.background == BACKGROUND_AT_MOST


def test_a_vault_that_throttles_has_a_rate_and_another_has_none() -> None:
    """One view every 50 ms."""
    calm = [attempt(n, views=((100.0 + n / 20, 100.04 + n / 20),)) for n in range(200)]
    assert costs_of([past(*calm)]).vault_per_s is None
    throttled = costs_of([past(*(replace(one, paced=0.5) for one in calm))])
    assert throttled.vault_per_s == pytest.approx(20.0, rel=0.02)
    assert throttled.view_s == pytest.approx(0.04)
    assert {round(one.busy, 3) for one in throttled.of(Technology.UNIX)} == {0.44}  # without the wait for the vault


def test_a_rate_of_a_sample_is_that_of_the_whole() -> None:
    calm = [attempt(n, views=((100.0 + n / 20, 100.04 + n / 20),)) for n in range(200)]
    waited = [replace(one, paced=0.5) for one in calm]
    assert costs_of([past(*waited, jobs=1000)]).vault_per_s == pytest.approx(100.0, rel=0.02)


@pytest.mark.parametrize(("waited", "limits"), [(100, False), (101, True)])
def test_a_vault_limits_the_rate_where_most_have_waited_for_it(waited: int, limits: bool) -> None:
    views = [
        attempt(n, views=((100.0 + n / 20, 100.04 + n / 20),), paced=0.5 if n < waited else 0.01) for n in range(200)
    ]
    dead = [attempt(n, views=(), reason="TCP_TIMEOUT", submitted=False) for n in range(200, 500)]
    assert (costs_of([past(*views, *dead)]).vault_per_s is not None) == limits


def test_the_time_in_which_the_rate_is_found_is_not_the_rate() -> None:
    """Five a second at first, twenty from then on, and few at the end."""
    moments = [n / 5 for n in range(50)] + [10.0 + n / 20 for n in range(150)] + [20.0 + n for n in range(15)]
    found = [attempt(n, views=((100.0 + at, 100.01 + at),), paced=0.4) for n, at in enumerate(moments)]
    costs = costs_of([past(*found)])
    assert costs.vault_per_s == pytest.approx(20.0, rel=0.02)
    # 71 views behind 11 s, and the attempts began a second after they were sent.
    assert costs.vault_found_s == pytest.approx(10.0 + 21 / 20 - 1.0 - 71 / 20, abs=0.1)


def test_the_latest_run_has_the_word_but_the_largest_on_processors() -> None:
    small = past(attempt(phases={Phase.AUTH: 1.0}), spent=spent(CpuSpent(9.0, 9.0, 9.0, 27.0)))
    large = past(
        *(attempt(n, phases={Phase.AUTH: 2.0}) for n in range(3)),
        attempt(9, account=ACCOUNT),
        spent=spent(CpuSpent(4.0, 4.0, 4.0, 12.0)),
    )
    known = costs_of([small, replace(large, run="r0")])
    assert known.runs == ("r1", "r0")
    assert [one.busy for one in known.of(Technology.UNIX)] == [1.0]
    assert known.knows(Technology.UNIX, ACCOUNT)
    assert known.cpu is not None
    assert known.cpu.orchestrator == 1.0


def test_what_was_spent_is_stored_as_it_was() -> None:
    for one in (spent(), spent(CpuSpent(1.0, 2.0, 3.0, 4.0))):
        assert Spent.of(one.data()) == one
