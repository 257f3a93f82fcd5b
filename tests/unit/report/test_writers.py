"""JSON, NDJSON and CSV: readable by others' parsers, safe with hostile texts, and in flat memory."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.contract import Technology
from appliance.reasons import REASONS
from orchestrator.gates import GateResult
from orchestrator.report.csv_report import HEADER, csv_report
from orchestrator.report.escape import csv_cell, plain
from orchestrator.report.json_report import json_report
from orchestrator.report.ndjson import ndjson_report
from orchestrator.report.rows import ReportRow, report_row
from orchestrator.report.summary import summarise
from orchestrator.store import RunRecord
from tests.unit.report.report_rows import HOSTILE, RUN, finished, joined, outcome, rows

GATES = (GateResult("coverage>=0.98", "0.5000 (1 of 2)", ok=False),)
SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
PAIR = (
    outcome(),
    outcome("BAD_CREDENTIALS", "10.0.0.2", technology=Technology.WINDOWS, text=HOSTILE, secret=HOSTILE),
)


Writer = Callable[[RunRecord, AsyncIterator[ReportRow]], AsyncIterator[str]]


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


async def test_the_json_report_is_one_document_whose_totals_add_up() -> None:
    document = json.loads(await joined(json_report(finished(PAIR), rows(*PAIR), GATES)))
    assert document["schema_version"] == 1
    assert document["run"]["id"] == "r1"
    assert document["run"]["created_at"] == "2023-11-14T22:13:20.000Z"
    totals = document["totals"]
    assert totals.pop("complaint") is None
    assert totals == {"planned": 2, "passed": 1, "passed_limited": 0, "failed": 1, "not_attempted": 0, "open": 0}
    assert [t["target"] for t in document["targets"]] == ["10.0.0.1", "10.0.0.2"]
    failed = document["targets"][1]
    assert failed["findings"][0]["qid"] == 105015
    assert failed["evidence"]["text"] == HOSTILE, "a machine gets it unchanged"
    assert (failed["duration_ms"], failed["started_at"]) == (21.5, "2023-11-14T22:13:20.250Z")
    assert document["causes"][0]["reason"] == "BAD_CREDENTIALS"
    assert document["gates"] == [{"gate": "coverage>=0.98", "actual": "0.5000 (1 of 2)", "ok": False}]


async def test_ndjson_has_an_event_a_line() -> None:
    text = await joined(ndjson_report(finished(PAIR), rows(*PAIR), GATES))
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["event"], line["seq"]) for line in lines] == [
        ("run", 0),
        ("target", 1),
        ("target", 2),
        ("summary", 3),
    ]
    whole = json.loads(await joined(json_report(finished(PAIR), rows(*PAIR), GATES)))
    assert [{k: v for k, v in line.items() if k not in {"event", "seq"}} for line in lines[1:3]] == whole["targets"]
    assert lines[3]["totals"] == whole["totals"]


async def test_every_format_for_machines_says_what_is_not_safe() -> None:
    vaults = [{"title": "Vault", "url": "http://vault.example"}, {"title": "Other", "url": "https://o.example"}]
    run = replace(finished(PAIR), snapshot={"campaign": {"vaults": vaults}})
    other = replace(PAIR[1], vault="Other")
    [text] = json.loads(await joined(json_report(run, rows(*PAIR))))["warnings"]
    assert text == "vault 'Vault' is reached without TLS: its login and every secret cross the network in clear"
    last = json.loads((await joined(ndjson_report(run, rows(*PAIR)))).splitlines()[-1])
    assert last["warnings"] == [text]
    table = cells(await joined(csv_report(run, rows(PAIR[0], other))))
    assert [row[table[0].index("Warnings")] for row in table[1:]] == [text, ""]


async def test_an_empty_run_is_valid_in_every_format() -> None:
    nothing = finished(())
    assert json.loads(await joined(json_report(nothing, rows())))["targets"] == []
    assert len((await joined(ndjson_report(nothing, rows()))).splitlines()) == 2
    assert cells(await joined(csv_report(nothing, rows()))) == [list(HEADER)]


@pytest.mark.parametrize("writer", [json_report, ndjson_report, csv_report])
async def test_no_writer_lets_a_control_character_through(writer: Writer) -> None:
    hostile = replace(PAIR[1], user=HOSTILE, vault=HOSTILE, vault_type=HOSTILE, record=HOSTILE, appliance=HOSTILE)
    text = await joined(writer(replace(RUN, campaign=HOSTILE), rows(hostile)))
    assert [c for c in text if not c.isprintable() and c not in "\r\n"] == []
    assert text.encode("utf-8")


def test_every_column_is_documented_in_its_place() -> None:
    text = (Path(__file__).parents[3] / "docs" / "reports.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE) == list(HEADER)


async def test_csv_has_the_fields_header_and_a_line_a_target() -> None:
    pair = (replace(PAIR[0], zone="dmz"), PAIR[1])
    [header, passed, failed] = cells(await joined(csv_report(finished(pair), rows(*pair))))
    assert header == list(HEADER)
    told = dict(zip(header, passed, strict=True))
    assert told == {
        "IP": "10.0.0.1", "DNS": "", "NetBIOS": "", "OS": "", "Host Technology": "Unix", "Instance": "port 22",
        "Status": "Passed", "Cause": REASONS["PASSED"].meaning, "QID": "", "Reason": "PASSED", "Phase": "logoff",
        "Record": "unix", "Vault": "Vault", "Secret Name": "root", "User": "scan", "Appliance": "a1", "Attempts": "1",
        "Duration": "0.021", "First Seen": "2023-11-14T22:13:20.250Z", "Last Seen": "2023-11-14T22:13:21.000Z",
        "Campaign": "quarterly", "Owner": "nobody", "Advice": REASONS["PASSED"].advice,
        "Warnings": "", "Zone": "dmz",
    }  # fmt: skip
    assert (failed[6], failed[8]) == ("Failed", "105015")


@pytest.mark.parametrize("start", [*SIGNS, "\t", "\r"])
@pytest.mark.parametrize("before", ["", " ", '"', "'", "a,", "a;", "a|", "a; ", 'a,"', "a\n", "\t", ";'\" "])
def test_nothing_that_begins_a_formula_begins_a_cell(before: str, start: str) -> None:
    guarded = csv_cell(f"{before}{start}cmd")
    assert not re.search(rf"""(^|[,;|\t\r\n])[\s"]*[{re.escape(SIGNS)}\t\r]""", guarded)
    assert "cmd" in guarded


@given(st.text(alphabet=st.one_of(st.sampled_from(SIGNS + "\t\r\n,;|'\" a\x00\x1b\u2028"), st.characters())))
def test_no_text_at_all_begins_a_formula_in_any_locale(text: str) -> None:
    guarded = csv_cell(text)
    assert all(c.isprintable() for c in guarded)
    for separator in ",;|":
        for cell in guarded.split(separator):
            assert not cell.lstrip(' "').startswith(tuple(SIGNS))


@given(st.text())
def test_plain_text_stays_as_it_is(text: str) -> None:
    safe = plain(text)
    assert all(c.isprintable() for c in safe)
    assert plain(safe) == safe
    if text.isprintable():
        assert safe == text


@pytest.mark.slow
@pytest.mark.parametrize("writer", [json_report, ndjson_report, csv_report])
async def test_the_memory_is_flat(writer: Writer) -> None:
    """Nothing is kept of a row that was written, but for the counters."""
    one = report_row(outcome("BAD_CREDENTIALS"))

    async def many() -> AsyncIterator[ReportRow]:
        for _ in range(4096):
            yield one

    tracemalloc.start()
    size = 0
    async for piece in writer(replace(RUN, planned=4096), many()):
        size += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size / 4


@given(
    st.lists(st.tuples(st.sampled_from(sorted(REASONS)), st.sampled_from(Technology)), max_size=40), st.integers(0, 3)
)
async def test_the_totals_of_any_run_add_up(ends: list[tuple[str, Technology]], pending: int) -> None:
    outcomes = [outcome(reason, f"10.0.0.{i}", technology=technology) for i, (reason, technology) in enumerate(ends)]
    run = replace(RUN, planned=len(outcomes) + pending)
    document = json.loads(await joined(json_report(run, rows(*outcomes))))
    totals = document["totals"]
    complaint = totals.pop("complaint")
    assert totals.pop("planned") == sum(totals.values())
    assert totals["open"] == pending
    assert bool(complaint) == bool(pending), "nothing may be open in a finished run"
    assert sum(line["targets"] for line in document["reasons"]) == len(document["targets"]) == len(outcomes)
    causes = sum(cause["targets"] for cause in document["causes"])
    assert causes == len(outcomes) - totals["passed"], "each one that did not pass is in exactly one cause"


async def test_more_outcomes_than_planned_are_told() -> None:
    summary = await summarise(replace(RUN, planned=1), rows(*PAIR))
    assert "2 outcomes for 1 planned targets" in summary.complaint
