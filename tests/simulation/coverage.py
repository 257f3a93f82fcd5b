"""Which rules a set of schedules has reached: one row per rule of pacing, dispatch, collect and reconcile.

A row is counted where its effect can be seen from outside: an answer, an entry, a decision. No production code counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

RULES = {
    "R1": "a second request for an attempt is refused",
    "R2": "the breaker refuses the run that opened it",
    "R2 other run": "the breaker refuses another run that had begun by then",
    "R2 later run": "a later run gets a canary though the breaker is open",
    "R3 spent": "the budget is spent by failures: skip",
    "R3 held": "the budget is held by unanswered permits: wait",
    "R4": "an account that is not proven lets one in at a time",
    "R5": "a success clears and proves",
    "R5 stale": "a success that comes too late clears nothing",
    "R6 breaks": "a counted failure with an unchanged secret opens the breaker",
    "R6 changed": "a counted failure with a changed secret does not",
    "R6 word": "the directory's own word opens the breaker",
    "R7": "a neutral verdict frees the permit",
    "R8": "a permit that expires is a failure",
    "R8 restart": "a permit found unanswered at a restart becomes a failure",
    "R9": "a failure for a permit that nobody granted counts",
    "R10": "an admin's stop refuses a permit",
    "R10 late": "a permit that was being made durable when the stop came is withdrawn",
    "D1": "the window is full",
    "D2": "a repeat goes out before a new target",
    "D2 turns": "two cursors take turns",
    "D3": "an account's crowd holds a job back",
    "D3 stopped": "a crowd is no bar while the breaker is open",
    "D3 wider": "a crowd has been widened",
    "D3 narrower": "a crowd has been narrowed",
    "D4": "a subnet's cap holds a job back",
    "D5": "a new attempt has the next number and a fresh lease",
    "D6 parked": "jobs wait for a vault that is away",
    "D6 patience": "a job goes out though the patience with its vault has ended",
    "D7": "a target whose login is stopped is left out",
    "D7 again": "a job whose login is stopped gets no further attempt",
    "C1 attempt": "a report of an overtaken attempt is discarded",
    "C1 lease": "a report with another lease is discarded",
    "C2": "a rotated secret gets one more attempt",
    "C3": "a transient reason is retried",
    "C4": "a local record is tried after the service-selected one",
    "C5": "a deferral is dispatched again",
    "C5 queue": "an attempt whose deadline struck in the queue for permits is dispatched again",
    "C6": "an outcome is final",
    "C7 away": "a deferral says that a vault is away",
    "C7 back": "an attempt that came to its target lets those go on who wait for the vault",
    "L1": "an attempt that was never confirmed is lost",
    "L2": "an attempt on a wiped stream is lost",
    "L3": "an attempt that ended without a report is lost",
    "L3 quiet": "an attempt that the bus took for a dropped duplicate is lost",
    "lost job": "a job that was delivered twice in vain is lost",
    "waits": "the reconciler waits before it calls an attempt lost",
}
"""Every row, with what it means to have reached it."""


class Coverage:
    """Counts how often each rule was seen at work."""

    def __init__(self, rules: Mapping[str, str] = RULES) -> None:
        self.rules = rules
        self.seen: Counter[str] = Counter()

    def hit(self, rule: str) -> None:
        self.seen[rule] += 1

    def missing(self) -> list[str]:
        return [rule for rule in self.rules if not self.seen[rule]]

    def table(self) -> str:
        return "\n".join(f"  {rule:13} {self.seen[rule]:>9}  {meaning}" for rule, meaning in self.rules.items())
