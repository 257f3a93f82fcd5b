"""What a run asks of vault and directory, and how many appliances it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.contract import Technology
from orchestrator.capacity.bounds import Limit
from orchestrator.capacity.comparison import Foreseen, compared, foreseen
from orchestrator.capacity.costs import NOTHING_KNOWN
from orchestrator.capacity.model import appliances_for, predict
from orchestrator.capacity.spent import Cpu, Spent
from tests.unit.capacity.sizes import ACCOUNT, CHEAP, LOGIN, SILENT, SITE, costs, demand, own, shared, vault


def test_a_run_takes_its_start_and_its_longest_limit() -> None:
    told = predict(demand(), costs(start_s=2.0), SITE)
    assert told.binding.limit is Limit.IN_FLIGHT
    assert told.duration_s == pytest.approx(12.0)
    assert told.logins == 1000
    assert told.logins_per_s == pytest.approx(1000 / 12)
    assert told.in_flight == pytest.approx(1000 / 12)


def test_without_any_measurement_there_is_an_answer_too() -> None:
    told = predict(demand(shared(100), own(100)), NOTHING_KNOWN, SITE)
    assert told.binding.described == f"account {ACCOUNT!r}"
    assert not told.accounts[0].measured
    assert (told.views, told.failed) == (200, 0)


@pytest.mark.parametrize(
    ("asked", "views", "requests"),
    [
        (demand(), 1000, 1000),
        (demand(vaults=(vault(requests_per_view=2.0),)), 1000, 2000),
        (demand(vaults=(vault(shared=True),), shared_secrets=3), 6, 6),
        (demand(vaults=(vault(shared=True, max_age=4.0),), shared_secrets=3), 18, 18),
        (demand(vaults=(vault(share=0.25), vault(title="Other", share=0.75))), 1000, 1000),
    ],
)
def test_views_and_requests(asked: object, views: int, requests: int) -> None:
    told = predict(asked, costs(), SITE)  # type: ignore[arg-type]  # a demand
    assert (told.views, told.vault_requests) == (views, requests)


def test_silent_hosts_view_nothing_and_log_in_nowhere() -> None:
    told = predict(demand(), costs(tried={"unix": (LOGIN,) * 3 + (SILENT,)}), SITE)
    assert (told.logins, told.views) == (750, 750)


def test_risk_is_by_account_and_window() -> None:
    short = predict(demand(shared(100), own(50)), costs(), SITE)
    assert [(risk.account, risk.failed_at_most) for risk in short.accounts] == [(ACCOUNT, 2)]
    assert (short.failed_at_most, short.host_accounts) == (2 + 50 * 2, 50)
    long = predict(demand(shared(10_000)), costs(verdicts={ACCOUNT: 1.0}), SITE)
    assert long.duration_s == pytest.approx(5000, rel=0.01)
    assert long.failed_at_most == 2 * 3  # in the third window of half an hour


def test_an_account_of_both_technologies_is_one_risk() -> None:
    failing = replace(LOGIN, failed=1)
    known = costs(tried={"unix": (failing,), ACCOUNT: (failing,)})
    told = predict(demand(shared(100), replace(shared(50), technology=Technology.WINDOWS)), known, SITE)
    assert [(risk.account, risk.targets, risk.failed_at_most) for risk in told.accounts] == [(ACCOUNT, 150, 2)]
    assert (told.failed, told.failed_at_most) == (2, 2)


def test_failures_go_on_as_before_within_the_budget() -> None:
    failing = replace(LOGIN, failed=1)
    known = costs(tried={"unix": (LOGIN, failing), ACCOUNT: (LOGIN, failing)})
    assert predict(demand(own(100)), known, SITE).failed == 50
    assert predict(demand(shared(100)), known, SITE).failed == 2


def test_appliances_for_a_time() -> None:
    asked, known = demand(own(10_000)), costs(cpu=Cpu(0.0001, 0.0001, 0.001))
    assert predict(asked, known, SITE).duration_s == pytest.approx(100.0)
    assert [appliances_for(asked, known, SITE, within) for within in (200.0, 100.0, 50.0, 12.0)] == [1, 1, 2, 9]


def test_no_number_of_appliances_hurries_an_account() -> None:
    assert appliances_for(demand(shared()), costs(), SITE, 45.0) is None


@settings(deadline=None)  # a bisection over many predictions
@given(st.integers(1, 500), st.floats(1.5, 60.0))
def test_one_appliance_fewer_would_not_do(count: int, within: float) -> None:
    asked, known = demand(own(count)), costs(cpu=CHEAP)
    number = appliances_for(asked, known, SITE, within)
    apart = replace(SITE, together=False)
    if number is None:
        assert predict(asked, known, replace(apart, appliances=1024)).duration_s > within
        return
    assert predict(asked, known, replace(apart, appliances=number)).duration_s <= within
    if number > 1:
        assert predict(asked, known, replace(apart, appliances=number - 1)).duration_s > within


def test_a_prediction_is_stored_and_compared() -> None:
    told = foreseen(predict(demand(), costs(), SITE), costs())
    assert Foreseen.of(told.data()) == told
    assert (told.bound_by, told.runs) == ("in flight", ("r0",))
    beside = compared({"prediction": told.data()}, Spent(100.0, 120.0).data(), logins=900, views=950, failed=3)
    assert beside is not None
    assert list(beside.rows()) == [
        ("duration_s", pytest.approx(10.0), 20.0),
        ("logins_per_s", pytest.approx(100.0), 45.0),
        ("secret_views", 1000, 950),
        ("failed_logons", 0, 3),
    ]


def test_a_run_that_was_stopped_resumed_or_never_predicted_is_compared_with_nothing() -> None:
    told = foreseen(predict(demand(), costs(), SITE), costs()).data()
    assert compared({"prediction": told}, None, logins=1, views=1, failed=0) is None
    assert compared({}, Spent(1.0, 2.0).data(), logins=1, views=1, failed=0) is None
