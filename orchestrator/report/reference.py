"""The reason table as others read it: a page for the repository, an answer for the terminal, JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from appliance.contract import Technology
from appliance.reasons import REASONS, Lockout, Owner, Reason, Status, qids
from orchestrator.report.documents import SCHEMA_VERSION, Document

_OWNERS = {
    Owner.NETWORK: "Network",
    Owner.HOST: "The host",
    Owner.DIRECTORY: "The directory (or whoever keeps the account)",
    Owner.VAULT: "The vault",
    Owner.US: "Keymuster and its operators",
}
_LOCKOUT = {
    Lockout.NO: "no",
    Lockout.YES: "yes",
    Lockout.IF_SUBMITTED: "if a password was sent",
}

_HEAD = ("| reason | what it means | what to do | status, QID | counts | again |", "|---|---|---|---|---|---|")


def page() -> str:
    """Markdown: every reason but success, by who can settle it."""
    lines = [
        "# Reasons",
        "",
        "Why a login did not work, who can settle it, and how. Made from the table in `appliance/reasons.py` by",
        "`make docs`; `keymuster reasons CODE` says the same in a terminal.",
        "",
        "*Counts*: the directory has counted a failed logon. *Again*: Keymuster tries once more by itself.",
    ]
    for owner, title in _OWNERS.items():
        rows = [reason for reason in REASONS.values() if reason.owner is owner]
        lines += ["", f"## {title}", "", *_HEAD]
        lines += [_row(reason) for reason in rows]
    return "\n".join(lines) + "\n"


def _row(reason: Reason) -> str:
    cells = (
        f"`{reason.code}`",
        reason.meaning,
        reason.advice,
        _status(reason),
        _LOCKOUT[reason.lockout],
        "yes" if reason.transient else "no",
    )
    return f"| {' | '.join(cells)} |"


def _status(reason: Reason) -> str:
    numbers = dict.fromkeys(q.number for technology in Technology for q in qids(reason, technology))
    status = "Passed\\*" if reason.status is Status.PASSED_LIMITED else reason.status.value
    return ", ".join([status, *map(str, numbers)])


def described(reason: Reason) -> Iterator[tuple[str, str]]:
    """Label and text, line by line."""
    numbers = {t: " ".join(str(q.number) for q in qids(reason, t)) for t in Technology}
    yield "reason", reason.code
    yield "means", reason.meaning
    yield "do", reason.advice
    yield "owner", reason.owner.value
    yield "status", reason.status.value
    if any(numbers.values()):
        yield "QID", ", ".join(f"{number} ({technology.value})" for technology, number in numbers.items())
    yield "counts towards lock-out", _LOCKOUT[reason.lockout]
    yield "is tried again", "yes" if reason.transient else "no"
    if reason.breaks:
        yield "breaker", "opens at once: no other host is tried with the account"


def reasons_document(reasons: Iterable[Reason]) -> Document:
    rows = [
        {
            "reason": reason.code,
            "means": reason.meaning,
            "advice": reason.advice,
            "owner": reason.owner.value,
            "status": reason.status.value,
            "qids": {technology.value: [q.number for q in qids(reason, technology)] for technology in Technology},
            "counts_towards_lockout": reason.lockout.value,
            "tried_again": reason.transient,
            "opens_breaker": reason.breaks,
        }
        for reason in reasons
    ]
    return {"schema_version": SCHEMA_VERSION, "reasons": rows}
