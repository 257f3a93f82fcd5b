"""`keymuster lab score`: a run held against the truth of its estate, and against what the estate's hosts counted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from appliance.contract import Account
from orchestrator.campaign_model import Campaign, SnapshotError
from orchestrator.cli.arguments import Home
from orchestrator.cli.errors import BadInput, Exit
from orchestrator.cli.estate_files import Truths, read_counts, read_truth
from orchestrator.cli.output import written_to
from orchestrator.cli.storing import find_run, stored
from orchestrator.logons import HostCounts, Logons, compare, gap, runs_counted
from orchestrator.outcomes import outcomes_of
from orchestrator.records import RecordBook
from orchestrator.report.documents import dumps
from orchestrator.report.score_report import score_document, write_score
from orchestrator.score import Score, ScoreError, score
from orchestrator.store import RunRecord, Store


@dataclass(frozen=True, slots=True)
class Judgement:
    reasons: Score
    logons: Logons | str
    """Or why there are none: then the reasons alone decide."""

    @property
    def wrong(self) -> bool:
        return bool(self.reasons.wrong) or (isinstance(self.logons, Logons) and bool(self.logons.wrong))


async def lab_score(home: Home, run: str | None, truth: Path, json: bool) -> Exit:
    """Exit 1 for a reason or an account's logons that are not right."""
    # The hosts before the ledger: what the ledger does not know by then, it has not known when it happened.
    rows, counts = read_truth(truth), await read_counts(truth)
    async with stored(home) as store:
        record = await find_run(store, run)
        judgement = await judge(store, record, rows, counts)
    with written_to(None) as out:
        if json:
            print(dumps(score_document(record.id, judgement.reasons, judgement.logons)), file=out)
        else:
            write_score(judgement.reasons, judgement.logons, out)
    return Exit.GATE_FAILED if judgement.wrong else Exit.OK


async def judge(store: Store, run: RunRecord, truth: Truths, counts: HostCounts | str) -> Judgement:
    """Raises BadInput for a truth that is not this run's."""
    reasons = {(row.target.address, row.technology.value): row.reason async for row in outcomes_of(store, run)}
    try:
        judged = score(truth, reasons)
    except ScoreError as error:
        raise BadInput(str(error)) from None
    return Judgement(judged, counts if isinstance(counts, str) else await _logons(store, run, truth, counts))


async def _logons(store: Store, run: RunRecord, truth: Truths, counts: HostCounts) -> Logons | str:
    runs = runs_counted(counts, await store.runs.all())
    if why := gap(counts, run, runs, time.time()):
        return why
    if tests := await store.ledger.beside_runs(counts.since, counts.until):
        return (
            f"load test {tests[0]} has logged in to this lab too, and of a load test nothing is stored that the hosts' "
            "counters could be held against; start the lab anew, and run again"
        )
    ids = tuple(one.id for one in runs)
    try:
        campaign = Campaign.from_snapshot(dict(run.snapshot))
    except SnapshotError as error:
        raise BadInput(f"run {run.id}: {error}") from None
    book = RecordBook(campaign.records, campaign.vaults)

    def budget(account: Account) -> int | None:
        allowed = book.budget_for(account)
        return allowed.failures if allowed is not None else None

    lines = compare(counts, await store.ledger.by_target(ids), truth, run.id, budget)
    return Logons(counts.since, counts.until, ids, lines)
