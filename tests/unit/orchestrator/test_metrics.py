"""Metrics: what is counted, what is shown of it, and that table, page and docs have one set of names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance import metric_names as names
from appliance import metrics as of_appliance
from appliance.bus import BusError, OrchestratorBus, RunView
from appliance.contract import OK, Account, Evidence, Heartbeat, Phase, PhaseTime, Target, Technology, View, named
from appliance.exposition import metrics_page
from appliance.histogram import Histogram
from appliance.reasons import Status
from appliance.supervisor import Seen, Supervisor
from appliance.vault.grantors import GrantorState
from orchestrator.appliance_clocks import Clock
from orchestrator.metrics import Metrics
from orchestrator.pacing import Standing
from orchestrator.permit_ledger import EntryKind, LedgerEntry
from orchestrator.run_plan import Progress
from orchestrator.service import Appliance, OpenRun, Service
from orchestrator.store.records import JobRow, Settled, Undispatched
from orchestrator.tally import TalliedBook, TalliedLedger, Tally
from orchestrator.vault_watch import Away

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
HIDDEN = ("10.1.2.3", "svc_scan", "secret-name", "corp")
"""A target, an account, a secret and a directory: no label has them."""


def settled(*, final: bool = True, reason: str = "PASSED") -> Settled:
    evidence = Evidence(
        phase=Phase.LOGOFF,
        signal=OK if final else named(reason),
        views=(View(vault="V", secret_id=1, asked=10.0, answered=10.2, secret="secret-name"),),
        started_at=100.0,
        phases=(PhaseTime(phase=Phase.TCP, ms=4.0), PhaseTime(phase=Phase.AUTH, ms=1500.0)),
    )
    status = Status.PASSED if final else Status.FAILED
    return Settled("r", "j", Technology.UNIX, 1, "l", "dmz-1", reason, status, evidence, 102.0, final)


class Book:
    def __init__(self, *verdicts: bool) -> None:
        self.verdicts = list(verdicts)

    async def dispatched(self, run: str, rows: Any, cursors: Any, ended: Sequence[Undispatched] = ()) -> list[bool]:
        return self.verdicts[: len(ended)]

    async def settle(self, rows: Sequence[Settled]) -> list[bool]:
        return self.verdicts[: len(rows)]

    async def finished(self, run: str, names: Sequence[str]) -> int:
        return len(names)


class Ledger:
    async def append(self, entries: Sequence[LedgerEntry]) -> None:
        pass

    async def append_fenced(
        self, entries: Sequence[LedgerEntry], held: Collection[tuple[str, str]]
    ) -> Sequence[tuple[str, str]]:
        return list(held)


async def tallied() -> Tally:
    tally = Tally()
    book = TalliedBook(Book(True, True, False), tally)
    assert await book.settle([settled(), settled(final=False, reason="TCP_TIMEOUT"), settled()]) == [True, True, False]
    assert await book.settle([]) == []
    assert await book.finished("r", ["a"]) == 1
    job = JobRow("r", "k", Technology.WINDOWS, Target(address="10.1.2.3"), ())
    left = Undispatched(job, "STOPPED", Status.NOT_ATTEMPTED, Evidence(phase=Phase.PLAN, signal=OK), 1.0)
    assert await book.dispatched("r", [], {}, [left]) == [True]
    account = Account(authority="dir:corp", user="svc_scan")
    host = Account(authority="host:10.1.2.3", user="svc_scan")
    kinds = [(EntryKind.GRANTED, account), (EntryKind.FAILURE, account), (EntryKind.FAILURE, host)]
    ledger = TalliedLedger(Ledger(), tally)
    await ledger.append([LedgerEntry(k, a, "r", "j", 1, at=1.0) for k, a in kinds])
    refused = [LedgerEntry(EntryKind.GRANTED, host, "r", "j", 1, at=1.0)]
    assert await ledger.append_fenced(refused, [("pacer 1", "t")]) == [("pacer 1", "t")], "not written, so not counted"
    return tally


class FakeBus:
    connected = True

    async def view(self, run: str, zone: str) -> RunView:
        if run == "gone":
            raise BusError("no such consumer")
        return RunView("e", 9, 3, waiting=4, leased=2, reports_waiting=1)


class FakeService:
    """The part of `Service` that metrics are made of."""

    def runs(self) -> Sequence[OpenRun]:
        away = (Away("V", 1.0, 3),)
        progress = Progress(10, 2, {Status.PASSED: 5, Status.PASSED_LIMITED: 1}, away, ())
        return [
            OpenRun("r", "quarterly", {"dmz": 2}, ("V", "W"), progress),
            OpenRun("gone", "other", {"dmz": 0}, ("W",), Progress(0, 0, {}, (), ())),
        ]

    def fleet(self) -> Sequence[Appliance]:
        beat = Heartbeat(appliance="a", zone="dmz", capacity=8, in_flight=2, sent_at=99.5, loop_lag_ms=20.0)
        clock = Clock()
        for sent, heard in ((90.0, 99.0), (93.0, 93.5), (96.0, 97.0)):
            clock.beat(sent, heard)
        return [
            Appliance(beat, 100.0, alive=True, clock=clock),
            Appliance(beat.model_copy(update={"appliance": "b"}), 50.0, alive=False),
        ]

    def accounts(self) -> Standing:
        return Standing(outstanding=3, broken=1)

    def held_check_outs(self) -> int:
        return 2


async def page() -> str:
    tally = await tallied()
    made = Metrics(cast("Service", FakeService()), cast("OrchestratorBus", FakeBus()), tally, lambda _: 0.25)
    return (await metrics_page(await made.families())).text


async def appliance_page() -> str:
    seen = Seen(2, 7, 1, 40.0, {"V": GrantorState(refused=True), "W": GrantorState(away=True)})
    draining = SimpleNamespace(is_set=lambda: False)
    fake = SimpleNamespace(
        seen=lambda: seen,
        identity=SimpleNamespace(capacity=64),
        draining=draining,
        drained=False,
        bus=SimpleNamespace(connected=False),
    )
    return (await metrics_page(of_appliance.families(cast("Supervisor", fake), lambda _: 0.0))).text


def values(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for found in text_string_to_metric_families(text)
        for sample in found.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return values(text)[f"keymuster_{name}", frozenset(labels.items())]


async def test_what_an_orchestrator_shows() -> None:
    text = await page()
    assert value(text, "attempts_total", technology="unix", status="Passed", reason="PASSED") == 1, (
        "a repeat counts once"
    )
    assert value(text, "attempts_total", technology="unix", status="Failed", reason="TCP_TIMEOUT") == 1
    assert value(text, "outcomes_total", technology="windows", status="Not Attempted", reason="STOPPED") == 1
    assert value(text, "phase_duration_seconds_count", technology="unix", phase="auth") == 2
    assert value(text, "phase_duration_seconds_sum", technology="unix", phase="auth") == 3.0
    assert value(text, "phase_duration_seconds_bucket", technology="unix", phase="auth", le="1.0") == 0
    assert value(text, "phase_duration_seconds_bucket", technology="unix", phase="auth", le="2.5") == 2
    assert value(text, "phase_duration_seconds_bucket", technology="unix", phase="tcp", le="+Inf") == 2
    assert value(text, "vault_view_duration_seconds_count", vault="V") == 2
    assert value(text, "outcome_delay_seconds_sum") == pytest.approx(2 * (2.0 - 1.504))
    assert value(text, "store_transaction_duration_seconds_count", work="settle") == 1
    assert value(text, "permits_total", kind="failure") == 2
    assert (
        value(text, "failed_logons_total", realm="directory") == value(text, "failed_logons_total", realm="host") == 1
    )
    assert value(text, "permits_outstanding") == 3
    assert value(text, "breaker_open", kind="account") == 1
    assert value(text, "vault_checkouts") == 2
    assert value(text, "runs_open") == 2
    states = {state: value(text, "targets", zone="dmz", state=state) for state in ("waiting", "in_flight", "passed")}
    assert states == {"waiting": 2, "in_flight": 2, "passed": 5}
    assert value(text, "campaign_progress_ratio", campaign="quarterly", run="r") == 0.6
    assert (value(text, "vault_away", vault="V"), value(text, "vault_away", vault="W")) == (1, 0)
    assert (value(text, "queue_depth", zone="dmz"), value(text, "leases", zone="dmz")) == (4, 2), "the other is gone"
    assert value(text, "appliance_up", appliance="a", zone="dmz") == 1
    assert value(text, "appliance_up", appliance="b", zone="dmz") == 0
    assert value(text, "appliance_clock_offset_seconds", appliance="a") == -0.5, "the beat that came soonest"
    assert value(text, "appliance_release", appliance="a", release="", contract="1") == 1
    assert value(text, "eventloop_lag_seconds") == 0.25
    assert not [word for word in HIDDEN if word in text]


async def test_what_an_appliance_shows() -> None:
    text = await appliance_page()
    assert value(text, "appliance_here_inflight") == 7
    assert value(text, "appliance_here_eventloop_lag_seconds") == 0.04
    assert (value(text, "vault_login_refused", vault="V"), value(text, "vault_left_alone", vault="V")) == (1, 0)
    assert value(text, "vault_left_alone", vault="W") == 1
    assert value(text, "bus_connected") == 0


async def test_page_table_and_docs_have_the_same_names() -> None:
    """Both ways: nothing is shown that is not in the table, and the other way round; each with its kind and labels."""
    for text, table in (
        (await page(), names.BOTH + names.ORCHESTRATOR),
        (await appliance_page(), names.BOTH + names.APPLIANCE),
    ):
        shown = {}
        for found in text_string_to_metric_families(text):
            if found.name.startswith(names.PREFIX):
                labels = {label for sample in found.samples for label in sample.labels} - {"le"}
                shown[found.name.removesuffix("_info")] = (found.type, found.documentation, labels)
        kinds = {names.Kind.INFO: "gauge"}  # the text format has no other word for it
        assert shown == {names.PREFIX + m.name: (kinds.get(m.kind, m.kind.value), m.help, set(m.labels)) for m in table}
        assert "process_open_fds" in text
        assert "process_max_fds" in text
    assert DOCS.read_text(encoding="utf-8") == names.markdown(), "run `make docs`"


def test_a_histogram_adds_up() -> None:
    histogram = Histogram((1.0, 2.0))
    for seconds in (0.5, 1.0, 1.5, 9.0):
        histogram.add(seconds)
    assert histogram.cumulative() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.total == 12.0
