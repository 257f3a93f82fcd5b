"""What the engines are held to, and what it would take where they fall short."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.engines.contest import Standing

TAKES = {
    "SSH engine, 64 in flight": "what is left is asyncssh's packet loop, tasks and system calls: a client of our own",
    "SSH engine, one at a time": "the failed `none` request, which tells us the methods before a password is sent",
    "OpenSSH in a loop": "what the SSH engine takes",
    "whole product, SSH": "fewer vault requests, and what the SSH engine takes",
}
"""A short text for rows that are not met."""


@dataclass(frozen=True, slots=True)
class Check:
    what: str
    unit: str
    bound: float
    figure: float | None
    """None: something in it was not measured."""
    at_most: bool
    stretch: float | None = None

    @property
    def met(self) -> bool:
        return self.figure is not None and (self.figure <= self.bound if self.at_most else self.figure >= self.bound)


def _figure(ours: Standing, beside: Standing | None, *, rate: bool) -> float | None:
    if not ours.figures or (beside is not None and not beside.figures):
        return None
    own = ours.rate if rate else ours.ms
    return own if beside is None else own / (beside.rate if rate else beside.ms)


def at_most(
    what: str, unit: str, bound: float, ours: Standing, beside: Standing | None = None, *, stretch: float | None = None
) -> Check:
    """CPU of a login, or its ratio to another's."""
    return Check(what, unit, bound, _figure(ours, beside, rate=False), at_most=True, stretch=stretch)


def at_least(what: str, unit: str, bound: float, one: Standing, other: Standing, *, rate: bool = False) -> Check:
    """The ratio of two: of their CPU, or of their rates."""
    return Check(what, unit, bound, _figure(one, other, rate=rate), at_most=False)


def judge(check: Check) -> str:
    sign = "<=" if check.at_most else ">="
    target = f"{sign} {check.bound:g} {check.unit}"
    if check.figure is None:
        return f"  {check.what:28} {'-':>7}  target {target:30} not measured"
    verdict = "met" if check.met else "NOT MET"
    if check.met and check.stretch is not None:
        verdict += f"; stretch {check.stretch:g}: {'met' if check.figure <= check.stretch else 'not met'}"
    takes = "" if check.met else f"; it would take: {TAKES.get(check.what, 'see docs/performance.md')}"
    return f"  {check.what:28} {check.figure:7.2f}  target {target:30} {verdict}{takes}"
