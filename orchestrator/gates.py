"""Gates: what a run must have reached, as one line each, judged on its totals.

    coverage>=0.98              (passed + passed*) / planned; a fraction or a percentage
    status.failed<=3            how many targets ended so: passed, passed_limited (Passed*), failed, not_attempted
    reason.ACCOUNT_LOCKED==0    how many targets ended for this reason (a code of the reason table)
    phase.auth.p95<3s           a percentile (p1 to p99) of the time that attempts spent in a phase; ms, s, m or h

`status` and `reason` compare a count when the value is a whole number, and the share of all planned targets when it is
a percentage or has a decimal point (`reason.TCP_TIMEOUT<=2%`, `status.failed<=0.02`). Fractions are compared exactly,
not as floats. A phase that no attempt has entered fails its gate: nothing was measured, so nothing was shown.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from appliance.contract import Phase
from appliance.reasons import REASONS, Status

_TEXT = re.compile(r"\s*([^\s<>=!]+)\s*(>=|<=|==|!=|<|>)\s*([^\s<>=!]+)\s*")
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h)")
_PERCENTILE = re.compile(r"p([1-9][0-9]?)")

_COMPARE: dict[str, Callable[[Fraction, Fraction], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600)}
_STATUSES = {status.name.lower(): status for status in Status}
_PHASES = {phase.value: phase for phase in Phase}
_FORMS = "coverage, status.NAME, reason.CODE and phase.NAME.pNN"


class GateError(ValueError):
    """A gate that cannot be read; the text says what to write instead."""


class Metric(StrEnum):
    COVERAGE = "coverage"
    STATUS = "status"
    REASON = "reason"
    PHASE = "phase"


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition. `limit` is a count, a fraction of planned (`share`), or seconds (metric PHASE)."""

    text: str
    metric: Metric
    name: str
    """A status value, a reason code or a phase value; empty for coverage."""
    compare: str
    limit: Fraction
    share: bool = False
    percentile: int = 0


@dataclass(frozen=True, slots=True)
class GateTotals:
    """What gates are judged on: the latest outcome of every planned target x technology, and phase percentiles."""

    planned: int
    statuses: Mapping[Status, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    phase_seconds: Mapping[tuple[Phase, int], float] = field(default_factory=dict)
    """(phase, percentile) -> seconds, for the pairs that `percentiles` asks for; a phase nobody entered is absent."""


@dataclass(frozen=True, slots=True)
class GateResult:
    text: str
    actual: str
    ok: bool


def parse_gate(text: str) -> Gate:
    """Raises GateError."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise GateError(f"{text!r} is no gate; write a metric, a comparison and a value, for example 'coverage>=0.98'")
    metric, compare, value = match.groups()
    text = f"{metric}{compare}{value}"
    kind, _, name = metric.partition(".")
    if metric == Metric.COVERAGE:
        limit, _ = _amount(text, value)
        if limit > 1:
            raise GateError(f"{text!r}: coverage is a fraction of the planned targets; write 0.98 or 98%")
        return Gate(text, Metric.COVERAGE, "", compare, limit, share=True)
    if kind == Metric.STATUS:
        status = _STATUSES[_known(text, "status", name, _STATUSES)]
        return Gate(text, Metric.STATUS, status.value, compare, *_amount(text, value))
    if kind == Metric.REASON:
        return Gate(text, Metric.REASON, _known(text, "reason", name, REASONS), compare, *_amount(text, value))
    if kind == Metric.PHASE:
        phase, _, percentile = name.partition(".")
        _known(text, "phase", phase, _PHASES)
        rank = _PERCENTILE.fullmatch(percentile)
        if rank is None:
            raise GateError(f"{text!r}: name a percentile from p1 to p99, for example phase.{phase}.p95")
        return Gate(text, Metric.PHASE, phase, compare, _duration(text, value), percentile=int(rank[1]))
    raise GateError(f"{text!r}: unknown metric {metric!r}; known ones are {_FORMS}")


def _known(text: str, what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if name in names:
        return name
    close = difflib.get_close_matches(name, names, n=1) or difflib.get_close_matches(name.upper(), names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise GateError(f"{text!r}: unknown {what} {name!r}; {hint}known ones are {', '.join(names)}")


def _amount(text: str, value: str) -> tuple[Fraction, bool]:
    """A count, or a share of all planned (percentage, or with a decimal point)."""
    digits = value.removesuffix("%")
    if not _NUMBER.fullmatch(digits):
        raise GateError(f"{text!r}: {value!r} is no number; write a count (3) or a share of all targets (0.02 or 2%)")
    share = value != digits or "." in digits
    amount = Fraction(digits) / (100 if value != digits else 1)
    if share and amount > 1:
        raise GateError(f"{text!r}: a share of all targets is at most 1 (100%)")
    return amount, share


def _duration(text: str, value: str) -> Fraction:
    match = _DURATION.fullmatch(value)
    if match is None:
        raise GateError(f"{text!r}: {value!r} is no duration; write for example 500ms, 3s or 2m")
    return Fraction(match[1]) * _SECONDS[match[2]]


def percentiles(gates: Iterable[Gate]) -> frozenset[tuple[Phase, int]]:
    """The (phase, percentile) pairs that the totals must hold for these gates."""
    return frozenset((Phase(g.name), g.percentile) for g in gates if g.metric is Metric.PHASE)


def evaluate(gates: Iterable[Gate], totals: GateTotals) -> tuple[GateResult, ...]:
    return tuple(_judge(gate, totals) for gate in gates)


def _judge(gate: Gate, totals: GateTotals) -> GateResult:
    if gate.metric is Metric.PHASE:
        seconds = totals.phase_seconds.get((Phase(gate.name), gate.percentile))
        if seconds is None:
            return GateResult(gate.text, "nothing was measured", ok=False)
        return GateResult(gate.text, f"{seconds:.3f}s", ok=_COMPARE[gate.compare](Fraction(seconds), gate.limit))
    count = _count(gate, totals)
    if not gate.share:
        return GateResult(gate.text, str(count), ok=_COMPARE[gate.compare](Fraction(count), gate.limit))
    if totals.planned == 0:
        return GateResult(gate.text, "nothing was planned", ok=False)
    share = Fraction(count, totals.planned)
    actual = f"{float(share):.4f} ({count} of {totals.planned})"
    return GateResult(gate.text, actual, ok=_COMPARE[gate.compare](share, gate.limit))


def _count(gate: Gate, totals: GateTotals) -> int:
    if gate.metric is Metric.COVERAGE:
        return totals.statuses.get(Status.PASSED, 0) + totals.statuses.get(Status.PASSED_LIMITED, 0)
    if gate.metric is Metric.STATUS:
        return totals.statuses.get(Status(gate.name), 0)
    return totals.reasons.get(gate.name, 0)
