"""The report as one HTML file that needs nothing else: no network, no server, no library in the browser.

What can be said without scripts stands in the page (totals, causes, phases, accounts, settings); the outcomes are data
in it, which the page's own script sorts, searches, filters and shows. The policy in the page's head lets nothing else
run: what a host has said is text, whatever it says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import anyio.to_thread

from appliance.contract import Account
from orchestrator.account_state import Budget
from orchestrator.gates import GateResult
from orchestrator.report.documents import dumps
from orchestrator.report.html.island import Island
from orchestrator.report.html.page import render
from orchestrator.report.html.survey import Survey
from orchestrator.report.summary import ReportRows
from orchestrator.store.records import LogonCount, RunRecord


async def html_report(
    run: RunRecord,
    rows: Callable[[], ReportRows],
    gates: Sequence[GateResult],
    logons: Sequence[LogonCount],
    budget_of: Callable[[Account], Budget | None],
    settings: Mapping[str, Any],
) -> AsyncIterator[str]:
    """Pieces of one document. The rows are gone through twice: what stands above them is said of all of them."""
    survey = Survey(run, gates)
    async for row in rows():
        survey.add(row)
    before, after = await anyio.to_thread.run_sync(render, survey, logons, budget_of, settings)
    yield before
    island = Island()
    yield '{"rows":[\n'
    separator = ""
    async for row in rows():
        yield separator + harmless(dumps(island.row(row)))
        separator = ",\n"
    yield '],\n"tables":' + harmless(dumps(island.tables())) + "}"
    yield after


def harmless(json: str) -> str:
    """JSON that ends no script element and opens no comment in it (HTML 4.12.1.3), still the same JSON."""
    return json.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
