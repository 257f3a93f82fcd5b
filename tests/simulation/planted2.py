"""Bugs on purpose in the coroutines, each put in by replacing one name for the time of a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import anyio
import anyio.lowlevel

from appliance.contract import DEADLINE, Failure, PermitAnswer, PermitRequest, Phase
from appliance.permit import Later, Permit, Verdict
from appliance.supervisor import Admission, Supervisor, _OpenRun
from appliance.vault.credential import Credential
from orchestrator import controller, course, service
from orchestrator.attempts import OpenAttempt
from orchestrator.controller import RunController
from orchestrator.dispatch import Batch
from orchestrator.pacer_desk import PacerDesk, Posed, _Ticket
from orchestrator.permit_ledger import LedgerEntry
from orchestrator.permits import PermitOffice
from orchestrator.run_state import Act, NotAllowed, Standing, step
from orchestrator.store.records import AttemptRow, JobRow
from tests.simulation import layer2
from tests.simulation.coverage import Coverage
from tests.simulation.layer1 import PATIENCE_S
from tests.simulation.layer2 import SEEN, simulate
from tests.simulation.planted import Amnesia, OneMore, any_report

SEEDS_MAX = 2000


async def _answers_before_the_commit(
    self: PacerDesk, entries: Sequence[LedgerEntry], _granted: Sequence[Posed] = ()
) -> None:
    await anyio.lowlevel.checkpoint()
    if entries:
        self._queue.append(_Ticket(entries, {}))
        self._wake.set()


_ask = Permit.ask


async def _gives_back_at_once(self: Permit) -> Failure | Later | None:
    refused = await _ask(self)
    await self.give_back(Verdict(Phase.AUTH, DEADLINE, submitted=False))
    return refused


async def _told_all_the_same(
    _self: PermitOffice, _request: PermitRequest, _attempt: OpenAttempt | None, granted: PermitAnswer
) -> PermitAnswer:
    return granted


async def _publishes_first(self: RunController, batch: Batch) -> None:
    jobs = [self._job(attempt, {}) for attempt in batch.attempts]
    now = self.clock()
    await self._insist(lambda: self._put(jobs))
    rows: list[tuple[JobRow, AttemptRow | None]] = [(JobRow.of(job), AttemptRow.of(job, now)) for job in jobs]
    rows += [(self._row(planned), None) for planned in batch.held]
    await self._write(batch, rows, now)


async def _one_process_and_no_more(self: Supervisor, run: _OpenRun, admission: Admission, first: float) -> None:
    async with self._scanner(run, admission, first) as scanner:
        await self._serve_scanner(scanner, admission)


async def _one_beat(self: Supervisor) -> None:
    await self._send_beat()


def _keeps(_self: Credential) -> None:
    """Forgets nothing."""


def _goes_on_whoever_held_it(run: str, now: Standing, act: Act, **how: Any) -> Standing | NotAllowed:
    return step(run, now, Act.RESUME if act is Act.GO_ON else act, **how)


@dataclass(frozen=True, slots=True)
class Planted:
    name: str
    where: object
    attribute: str
    bug: object
    found_at: int
    """A seed that finds it, so that a quick test needs no search."""
    patience: float = PATIENCE_S
    """Of a run that never ends, in virtual seconds: each costs real ones."""


PLANTED = (
    Planted("answered before the ledger is durable", PacerDesk, "_commit", _answers_before_the_commit, 11),
    Planted("permit released early", Permit, "ask", _gives_back_at_once, 11),
    Planted("published before it is stored", RunController, "_send", _publishes_first, 0),
    Planted("report of a superseded attempt accepted", controller, "decide", any_report, 37),
    Planted("a crashed scan process is not replaced", Supervisor, "_keep_scanner", _one_process_and_no_more, 43),
    Planted("a drain without end", controller, "DRAIN_GRACE_S", float("inf"), 21),
    Planted("a password is kept", Credential, "forget", _keeps, 0),
    Planted("the heart stops", Supervisor, "_beat", _one_beat, 0, patience=300.0),
    Planted("budget off by one", service, "Pacer", OneMore, 22),
    Planted("a permit outlives the stop that it met", PermitOffice, "_unless_stopped", _told_all_the_same, 217),
    Planted("a pause by hand ends with its holder", course, "step", _goes_on_whoever_held_it, 43),
    Planted("restore forgets unanswered permits", service, "Pacer", Amnesia, 9),
)


def find(planted: Planted, *, start: int = 0, seeds: int = SEEDS_MAX) -> int | None:
    """The first seed from `start` on that finds it."""
    coverage = Coverage(SEEN)
    with (
        patch.object(planted.where, planted.attribute, planted.bug),
        patch.object(layer2, "PATIENCE_S", planted.patience),
    ):
        return next((seed for seed in range(start, start + seeds) if simulate(seed, coverage).broken), None)
