"""The outcomes as the page's script wants them: an array each, words that come up often as numbers. Pure."""

from __future__ import annotations

from typing import Any

from appliance.reasons import Reason
from orchestrator.report.causes import subnet
from orchestrator.report.documents import instant
from orchestrator.report.rows import ReportRow

_FACTS_LEFT_OUT = frozenset(
    f"{whose}{fact}"
    for whose in ("", "jump_")
    for fact in (
        *("host_key", "host_key_refused"),
        *("kex_offered", "host_keys_offered", "ciphers_offered", "macs_offered"),
    )
)
"""Long, and no more than their fingerprints say; or, where it matters what a host offers, the evidence's text."""


class _Words:
    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, word: str) -> int:
        return self._places.setdefault(word, len(self._places))

    def all(self) -> list[str]:
        return list(self._places)


class Island:
    """Counts words as the rows pass by; `tables` is what the numbers mean."""

    def __init__(self) -> None:
        names = ("technology", "status", "record", "subnet", "vault", "appliance", "phase", "zone")
        self._words = {name: _Words() for name in names}
        self._reasons: dict[Reason, int] = {}

    def row(self, row: ReportRow) -> list[Any]:
        """In the order in which `report.js` unpacks it."""
        words, evidence = self._words, row.evidence
        return [
            row.host,
            row.dns if row.dns != row.host else "",
            row.netbios,
            words["technology"].place(row.technology.value),
            row.port,
            words["status"].place(row.status.value),
            self._reasons.setdefault(row.reason, len(self._reasons)),
            row.blocked_by,
            words["record"].place(row.record),
            words["subnet"].place(subnet(row.ip)),
            row.user,
            words["vault"].place(row.vault),
            row.secret,
            words["appliance"].place(row.appliance),
            row.attempts,
            round(evidence.total_ms, 1),
            instant(row.finished_at),
            words["phase"].place(evidence.phase.value),
            row.result.evidence,
            {name: value for name, value in evidence.facts.items() if name not in _FACTS_LEFT_OUT},
            [[words["phase"].place(time.phase.value), round(time.ms, 1)] for time in evidence.phases],
            [f"QID {qid.number}: {qid.title}" for qid in row.findings],
            [[past.attempt, past.reason, past.record, past.submitted] for past in row.earlier],
            words["zone"].place(row.zone),
        ]

    def tables(self) -> dict[str, Any]:
        words: dict[str, Any] = {name: table.all() for name, table in self._words.items()}
        reasons = [
            {"code": r.code, "meaning": r.meaning, "advice": r.advice, "owner": r.owner.value} for r in self._reasons
        ]
        return words | {"reason": reasons}
