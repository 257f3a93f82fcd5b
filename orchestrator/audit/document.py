"""An audit as plain data: when, where and why each secret was viewed, and what does not pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.audit.judging import Loose, Paired, SecretAudit, VaultAudit
from orchestrator.audit.pulling import Who
from orchestrator.audit.uses import SecretKey, Use
from orchestrator.report.documents import SCHEMA_VERSION, Document, instant
from orchestrator.store.records import RunRecord


@dataclass(frozen=True, slots=True)
class Unread:
    """A secret whose audit the vault has not shown."""

    secret: SecretKey
    name: str
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class VaultPart:
    """One vault of the run."""

    title: str
    who: Who
    audit: VaultAudit
    uses: Mapping[SecretKey, Sequence[Use]]
    unread: tuple[Unread, ...]


def document_of(run: RunRecord, parts: Sequence[VaultPart], interval: float, unreadable: Sequence[str]) -> Document:
    faults = {
        "drops": [_use(part, use.secret, secret, use) for part, secret in _secrets(parts) for use in secret.drops],
        "duplicates": [_loose(part, secret, row) for part, secret in _secrets(parts) for row in secret.duplicates],
        "forgeries": [_loose(part, secret, row) for part, secret in _secrets(parts) for row in secret.forgeries],
        "unread": [_unread(part, one) for part in parts for one in part.unread],
    }
    pairs = [_pair(part, secret, pair) for part, secret in _secrets(parts) for pair in secret.pairs]
    mine = [use for part in parts for uses in part.uses.values() for use in uses if use.run == run.id]
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run.id,
        "campaign": run.campaign,
        "clean": not any(faults.values()),
        "view_interval_s": interval,
        "uses": sum(use.sure for use in mine),
        "secrets": sum(len(part.audit.secrets) for part in parts),
        "unheard_attempts": len({(use.job, use.attempt) for use in mine if not use.sure and not use.heard}),
        "unreadable_runs": list(unreadable),
        "vaults": [_vault(part) for part in parts],
        **{name: _by_time(rows) for name, rows in faults.items()},
        "pairs": _by_time(pairs),
        "others": _by_time(_loose(p, secret, row) for p, secret in _secrets(parts) for row in secret.others),
    }


def _secrets(parts: Iterable[VaultPart]) -> Iterator[tuple[VaultPart, SecretAudit]]:
    for part in parts:
        for secret in part.audit.secrets:
            yield part, secret


def _by_time(rows: Iterable[Document]) -> list[Document]:
    return sorted(rows, key=lambda row: row.get("time") or "")


def _vault(part: VaultPart) -> Document:
    clock = part.who.clock
    return {
        "vault": part.title,
        "user": part.who.user,
        "clock_offset_s": clock.offset if clock.known else None,
        "clock_error_s": clock.error,
        "dates": "local" if part.audit.local else "utc",
        "rows": sum(len({pair.row.id for pair in s.pairs}) + len(s.duplicates) + len(s.forgeries)
                    for s in part.audit.secrets),
    }  # fmt: skip


def _pair(part: VaultPart, secret: SecretAudit, pair: Paired) -> Document:
    return {
        **_use(part, pair.use.secret, secret, pair.use),
        "time": instant(pair.at),
        "row": pair.row.id,
        "user": pair.row.user,
        "action": pair.row.action,
        "comment": pair.row.notes or None,
        "ticket": pair.row.ticket or None,
        "sure": pair.use.sure,
        "own_row": pair.own,
    }


def _use(part: VaultPart, name: str, secret: SecretAudit, use: Use) -> Document:
    return {
        "time": instant(use.begin),
        "vault": part.title,
        "secret": name,
        "secret_id": secret.secret.secret_id,
        "run": use.run,
        "campaign": use.campaign,
        "job": use.job,
        "attempt": use.attempt,
        "target": use.target,
        "technology": use.technology,
        "appliance": use.appliance or None,
    }


def _loose(part: VaultPart, secret: SecretAudit, loose: Loose) -> Document:
    uses = part.uses[secret.secret]
    twin: dict[str, Any] = {}
    if loose.twin is not None:
        twin = {"use": _use(part, loose.twin.secret, secret, loose.twin)}
    return {
        "time": instant(loose.at),
        "vault": part.title,
        "secret": uses[0].secret,
        "secret_id": secret.secret.secret_id,
        "row": loose.row.id,
        "user": loose.row.user,
        "action": loose.row.action,
        "comment": loose.row.notes or None,
        "ticket": loose.row.ticket or None,
        **twin,
    }


def _unread(part: VaultPart, unread: Unread) -> Document:
    return {
        "vault": part.title,
        "secret": unread.name,
        "secret_id": unread.secret.secret_id,
        "reason": unread.reason,
        "text": unread.text,
    }
