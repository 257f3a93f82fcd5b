r"""A vault's audit rows beside our uses: whose rows they are, what kind, in which time, and what pairs. Pure.

The rules, stated here and nowhere else:

 J1 user     A row of ours is one by the vault's user as the vault names it, or as the campaign does; domains do not
             matter (`CORP\u`, `u@corp` and `u` are one). Rows by others are listed apart, and are no faults.
 J2 kind     Spellings of actions differ by release, so words decide: what is displayed or viewed is a view; what is
             about a check-out, a change, a comment or the like is not, and is listed apart; an action with no known
             word is taken for a view, so that none is missed.
 J3 since    Rows are judged from the run's beginning on, until now. What is older is not this run's.
 J4 clock    A row's time is put on the appliance's clock by the offset of both. Dates are UTC, or the server's local
             time: whichever leaves fewer drops in the whole vault, UTC where both leave as many. (Not fewer faults: a
             wrong reading would put forged rows before the run, and hide them.)
 J5 run      A drop is told of this run's uses only; another run's uses explain rows, and have an audit of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.contract import account_key
from appliance.questions import AuditRow
from orchestrator.audit.pairing import Pairing, Window, pair
from orchestrator.audit.uses import SecretKey, Use

SLACK_S = 1.0
"""Dates may be whole seconds."""
UNKNOWN_CLOCK_S = 2.0
"""How wrong our own clock is taken for a vault's that does not tell its time."""

_VIEWS = ("VIEW", "DISPLAY", "READ", "RETRIEV")
_OTHERS = (
    "ACTIVAT", "ADD", "APPROV", "ASSIGN", "CANCEL", "CHANG", "CHECK", "COMMENT", "CREAT", "DELET", "DENIED", "DENY",
    "DEPENDENC", "EDIT", "EXPIR", "EXTEND", "HEARTBEAT", "LAUNCH", "LOGIN", "MOV", "PERMISSION", "POLICY", "QUEUED",
    "REQUEST", "ROTAT", "SESSION", "SHAR", "STOP", "UNDELET", "UPDAT",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class VaultClock:
    """A vault's clock beside the appliance's, in seconds."""

    offset: float
    """The vault's is so far ahead."""
    error: float
    """At most so wrong."""
    local: float = 0.0
    """Its local time is so far ahead of its UTC."""
    known: bool = True

    @property
    def slack(self) -> float:
        return SLACK_S + self.error


@dataclass(frozen=True, slots=True)
class Paired:
    """A row and one of the uses that explain it."""

    row: AuditRow
    at: float
    """The row's time by the appliance's clock, Unix seconds."""
    use: Use
    own: bool
    """False: the row was another use's, within the view interval."""


@dataclass(frozen=True, slots=True)
class Loose:
    """A row that does not pair, or is not of those that must."""

    row: AuditRow
    at: float
    twin: Use | None = None
    """For a duplicate: the use that has its row already."""


@dataclass(frozen=True, slots=True)
class SecretAudit:
    secret: SecretKey
    pairs: tuple[Paired, ...]
    drops: tuple[Use, ...]
    duplicates: tuple[Loose, ...]
    forgeries: tuple[Loose, ...]
    others: tuple[Loose, ...]


@dataclass(frozen=True, slots=True)
class VaultAudit:
    secrets: tuple[SecretAudit, ...]
    local: bool
    """The dates were read as local time."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is judged: one run, from its beginning on, for one vault user."""

    run: str
    since: float
    users: frozenset[str]
    """All names of the vault's user, as `user_key` gives them."""
    clock: VaultClock
    interval: float
    """The vault's Secret View Interval in seconds; 0: it writes each view down."""


def user_key(name: str) -> str:
    return account_key("", name).user


def is_view(action: str) -> bool:
    """J2."""
    words = re.findall(r"[A-Z]+", action.upper())
    if any(word.startswith(_VIEWS) for word in words):
        return True
    return not any(word.startswith(_OTHERS) for word in words)


def judge(
    uses: Mapping[SecretKey, Sequence[Use]], rows: Mapping[SecretKey, Sequence[AuditRow]], question: Question
) -> VaultAudit:
    """All audited secrets of one vault user; `rows` has those whose audit could be had."""
    readings = dict.fromkeys((0.0, question.clock.local))
    audits = [
        VaultAudit(tuple(_judge(s, uses.get(s, ()), rows[s], question, ahead) for s in rows), local=ahead != 0.0)
        for ahead in readings
    ]
    return min(audits, key=lambda audit: sum(len(secret.drops) for secret in audit.secrets))


def _judge(
    secret: SecretKey, uses: Sequence[Use], rows: Sequence[AuditRow], question: Question, ahead: float
) -> SecretAudit:
    clock = question.clock
    placed = sorted(((row.at - ahead - clock.offset, row) for row in rows), key=lambda one: (one[0], one[1].id))
    recent = [(at, row) for at, row in placed if at >= question.since - clock.slack]
    mine = [(at, row) for at, row in recent if user_key(row.user) in question.users and is_view(row.action)]
    ours = {row.id for _, row in mine}
    others = tuple(Loose(row, at) for at, row in recent if row.id not in ours)
    ordered = sorted(uses, key=lambda use: (use.begin, use.end, use.run, use.job, use.attempt))
    windows = [Window(use.begin, use.end, use.sure) for use in ordered]
    paired = pair(windows, [at for at, _ in mine], slack=clock.slack, interval=question.interval)
    return SecretAudit(
        secret=secret,
        pairs=_pairs(paired, ordered, mine, question.run),
        drops=tuple(ordered[n] for n in paired.drops if ordered[n].run == question.run),
        duplicates=tuple(Loose(mine[row][1], mine[row][0], ordered[use]) for row, use in paired.duplicates.items()),
        forgeries=tuple(Loose(mine[row][1], mine[row][0]) for row in paired.forgeries),
        others=others,
    )


def _pairs(
    paired: Pairing, uses: Sequence[Use], rows: Sequence[tuple[float, AuditRow]], run: str
) -> tuple[Paired, ...]:
    """Of this run's uses, by time."""
    found = [(use, row, True) for use, row in paired.pairs.items()]
    found += [(use, row, False) for use, row in paired.covered.items()]
    shown = [Paired(rows[row][1], rows[row][0], uses[use], own) for use, row, own in found if uses[use].run == run]
    return tuple(sorted(shown, key=lambda one: (one.at, one.row.id)))
