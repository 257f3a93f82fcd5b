"""Gates: what each form means, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import Phase
from appliance.reasons import REASONS, Status
from orchestrator.gates import GateError, GateTotals, evaluate, parse_gate, percentiles

TOTALS = GateTotals(
    planned=100,
    statuses={Status.PASSED: 90, Status.PASSED_LIMITED: 8, Status.FAILED: 2},
    reasons={"PASSED": 90, "PRIV_NO_SUDO": 8, "BAD_CREDENTIALS": 2},
    phase_seconds={(Phase.AUTH, 95): 2.5},
)


@pytest.mark.parametrize(
    ("text", "actual", "ok"),
    [
        ("coverage>=0.98", "0.9800 (98 of 100)", True),
        ("coverage > 98%", "0.9800 (98 of 100)", False),
        ("coverage==1", "0.9800 (98 of 100)", False),
        ("status.passed>=90", "90", True),
        ("status.passed_limited<8", "8", False),
        ("status.failed<=3", "2", True),
        ("status.failed<=0.02", "0.0200 (2 of 100)", True),
        ("status.not_attempted!=0", "0", False),
        ("reason.ACCOUNT_LOCKED==0", "0", True),
        ("reason.BAD_CREDENTIALS==0", "2", False),
        ("reason.BAD_CREDENTIALS<2%", "0.0200 (2 of 100)", False),
        ("phase.auth.p95<3s", "2.500s", True),
        ("phase.auth.p95<=2400ms", "2.500s", False),
        ("phase.auth.p50<3s", "nothing was measured", False),
    ],
)
def test_what_a_gate_means(text: str, actual: str, ok: bool) -> None:
    (result,) = evaluate([parse_gate(text)], TOTALS)
    assert (result.actual, result.ok) == (actual, ok)
    assert result.text == text.replace(" ", "")


def test_a_share_of_nothing_is_not_reached() -> None:
    (result,) = evaluate([parse_gate("coverage>=0")], GateTotals(planned=0))
    assert not result.ok


def test_fractions_are_exact() -> None:
    # 0.07 * 100 is 7.000000000000001 in floats, and 7/100 < 0.07 there too.
    gates = [parse_gate(f"status.failed=={n / 100:.2f}") for n in range(101)]
    for n, gate in enumerate(gates):
        assert evaluate([gate], GateTotals(100, {Status.FAILED: n}))[0].ok, gate


def test_the_percentiles_that_totals_must_hold() -> None:
    gates = [parse_gate(t) for t in ("phase.auth.p95<3s", "phase.tcp.p50<1s", "coverage>=1")]
    assert percentiles(gates) == {(Phase.AUTH, 95), (Phase.TCP, 50)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("coverage", "write a metric, a comparison and a value"),
        ("coverage>=98", "write 0.98 or 98%"),
        ("coverage>=high", "is no number"),
        ("coverge>=0.9", "known ones are coverage, status.NAME, reason.CODE and phase.NAME.pNN"),
        ("status.passed*>=1", "did you mean passed? known ones are failed, not_attempted, passed, passed_limited"),
        ("status.failed<=1.5", "at most 1"),
        ("reason.account_lockd==0", "did you mean ACCOUNT_LOCKED?"),
        ("reason.LOCKED_OUT==0", ", ".join(sorted(REASONS))),
        ("phase.login.p95<3s", "known ones are auth, dispatch, dns"),
        ("phase.auth.p100<3s", "phase.auth.p95"),
        ("phase.auth.p95<3", "500ms, 3s or 2m"),
    ],
)
def test_what_is_said_of_a_gate_that_means_nothing(text: str, says: str) -> None:
    with pytest.raises(GateError) as refusal:
        parse_gate(text)
    assert says in str(refusal.value)
    assert repr(text) in str(refusal.value)


@given(st.text() | st.from_regex(r"(coverage|status\.\w+|reason\.\w+|phase\.\w+\.p\d+)(<|>=|==)[\d.]+(%|s|ms)?"))
def test_any_text_is_read_or_refused_as_a_gate(text: str) -> None:
    try:
        gate = parse_gate(text)
    except GateError:
        return
    assert parse_gate(gate.text) == gate
    evaluate([gate], TOTALS)
