"""The vault's side of an audit, page by page: whom it takes us for, its clock, and the rows of each secret.

Rules:
1. Pages come newest first, and none is asked for that can only hold rows from before the run. A vault that sorts
   otherwise is read to its end.
2. While we read, rows may come in front and push others to the next page: a row counts once, by its id. A page that
   brings nothing new is the last.
3. MOST_PAGES bounds what a vault can make us read; a secret with more is told as such, and not judged by halves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from appliance.contract import CredentialRef, SecretLookup
from appliance.questions import AuditRow, VaultAnswer, VaultQuery, VaultQueryKind
from orchestrator.audit.judging import UNKNOWN_CLOCK_S, VaultClock

MOST_PAGES = 1000

Put = Callable[[Sequence[VaultQuery]], Awaitable[Sequence[VaultAnswer]]]
"""Has an appliance put these queries, and gives the answers in their order. Raises what ends the command."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The vault has not said it; the answer says why."""

    answer: VaultAnswer


@dataclass(frozen=True, slots=True)
class Who:
    """Whom the vault takes us for, and its clock."""

    user: str
    display_name: str
    clock: VaultClock


@dataclass(slots=True)
class _Reading:
    """The pages of one secret so far."""

    rows: dict[int, AuditRow] = field(default_factory=dict)
    pages: int = 0
    skip: int = 0
    done: bool = False
    refused: Refused | None = None

    def take(self, answer: VaultAnswer, earliest: float) -> None:
        if not answer.ok:
            self.done, self.refused = True, Refused(answer)
            return
        known = len(self.rows)
        self.rows |= {row.id: row for row in answer.rows}
        self.skip += len(answer.rows)
        self.pages += 1
        newest_first = all(one.at >= two.at for one, two in pairwise(answer.rows))
        past = newest_first and bool(answer.rows) and answer.rows[-1].at < earliest
        self.done = past or not answer.more or len(self.rows) == known
        if not self.done and self.pages >= MOST_PAGES:
            text = f"more than {MOST_PAGES} pages of audit rows since the run began"
            self.done, self.refused = True, Refused(VaultAnswer(ok=False, reason="VAULT_BAD_RESPONSE", text=text))


async def pull_who(put: Put, title: str) -> Who | Refused:
    [answer] = await put([VaultQuery(run="", kind=VaultQueryKind.WHO, vault=title)])
    if not answer.ok:
        return Refused(answer)
    facts = answer.facts
    return Who(facts.get("user", ""), facts.get("display_name", ""), _clock(facts.get("offset"), facts))


def _clock(offset: str | None, facts: dict[str, str]) -> VaultClock:
    if offset is None:
        return VaultClock(0.0, UNKNOWN_CLOCK_S, known=False)
    return VaultClock(float(offset), float(facts["offset_error"]), float(facts["local"]))


async def pull_rows(
    put: Put, title: str, secret_ids: Sequence[int], clock: VaultClock, since: float
) -> dict[int, list[AuditRow] | Refused]:
    """Every secret's rows since then (and perhaps older ones), or why they cannot be had."""
    earliest = since + clock.offset + min(clock.local, 0.0) - clock.slack
    reading = {secret_id: _Reading() for secret_id in secret_ids}
    while pending := [secret_id for secret_id, pages in reading.items() if not pages.done]:
        answers = await put([_query(title, secret_id, reading[secret_id].skip) for secret_id in pending])
        for secret_id, answer in zip(pending, answers, strict=True):
            reading[secret_id].take(answer, earliest)
    return {secret_id: pages.refused or list(pages.rows.values()) for secret_id, pages in reading.items()}


def _query(title: str, secret_id: int, skip: int) -> VaultQuery:
    ref = CredentialRef(vault=title, by=SecretLookup.ID, key=str(secret_id))
    return VaultQuery(run="", kind=VaultQueryKind.AUDIT, vault=title, secret=ref, skip=skip)
