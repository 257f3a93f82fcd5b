"""What the writers for machines say is what `docs/schemas` publishes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from appliance.contract import Technology
from appliance.reasons import REASONS, Status
from orchestrator.account_state import Budget
from orchestrator.gates import GateResult
from orchestrator.report.accounts import LISTED, accounts_of
from orchestrator.report.json_report import json_report
from orchestrator.report.ndjson import ndjson_report
from orchestrator.store.records import LogonCount, PastAttempt
from tests.schemas import SCHEMAS, conforms
from tests.unit.report.report_rows import HOSTILE, finished, foreseen_run, joined, outcome, rows, run_logons

GATES = (GateResult("coverage>=0.98", "0.5000 (1 of 2)", ok=False),)
OUTCOMES = [
    outcome(reason, f"10.0.{number}.{side}", technology=technology, text=HOSTILE, facts={"banner": HOSTILE})
    for number, reason in enumerate(REASONS)
    for side, technology in enumerate(Technology)
] + [
    outcome("PASSED", "10.1.0.1", attempts=2, earlier=(PastAttempt(1, "TCP_TIMEOUT", "", submitted=False),)),
    outcome("SKIPPED_BREAKER", "host.example", record="", user="", vault="", secret="", port=0, appliance=""),
]


async def _report() -> Any:
    return json.loads(await joined(json_report(finished(OUTCOMES), rows(*OUTCOMES), GATES)))


async def test_a_report_of_every_reason_is_as_published() -> None:
    document = await _report()
    assert {target["status"] for target in document["targets"]} == {status.value for status in Status}
    conforms(document, "report")


async def test_a_prediction_is_as_published_in_both() -> None:
    run = foreseen_run(OUTCOMES)
    document = json.loads(await joined(json_report(run, rows(*OUTCOMES), GATES)))
    conforms(document, "report")
    lines = (await joined(ndjson_report(run, rows(*OUTCOMES), GATES))).splitlines()
    conforms(json.loads(lines[-1]), "ndjson")
    assert json.loads(lines[-1])["prediction"] == document["prediction"]
    assert document["prediction"]["predicted"] == {
        "duration_s": 10.0,
        "logins_per_s": 4.0,
        "secret_views": 50,
        "failed_logons": 1,
    }
    assert document["prediction"]["actual"]["duration_s"] == 20.0


async def test_logons_are_as_published_in_both_and_most_of_all_those_that_many_hosts_share() -> None:
    logons = [LogonCount(f"{HOSTILE}@host:10.0.{n // 250}.{n % 250}", 1, 0, 1) for n in range(LISTED)]
    asked = accounts_of(
        run_logons(*logons, LogonCount("scan@dir:corp", 9, 7, 2)), lambda one: Budget() if one.is_directory else None
    )
    document = json.loads(await joined(json_report(finished(OUTCOMES), rows(*OUTCOMES), GATES, asked)))
    conforms(document, "report")
    last = json.loads((await joined(ndjson_report(finished(OUTCOMES), rows(*OUTCOMES), GATES, asked))).splitlines()[-1])
    conforms(last, "ndjson")
    told = document["logons"]
    assert last["logons"] == told
    assert {name: told[name] for name in ("accounts", "granted", "succeeded", "failed")} == {
        "accounts": LISTED + 1, "granted": LISTED + 9, "succeeded": 7, "failed": LISTED + 2,
    }  # fmt: skip
    assert (len(told["listed"]), told["listed"][1]["failure_budget"]) == (LISTED + 1, None)
    assert told["listed"][0] == {
        "account": "scan@corp", "shared": True, "granted": 9, "succeeded": 7, "failed": 2,
        "failure_budget": 2, "failure_window_s": 1800.0,
    }  # fmt: skip


async def test_every_line_of_ndjson_is_as_published() -> None:
    lines = (await joined(ndjson_report(finished(OUTCOMES), rows(*OUTCOMES), GATES))).splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events[:2] + events[-1:]] == ["run", "target", "summary"]
    for event in events:
        conforms(event, "ndjson")


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("run", "created_at"), 1_700_000_000),
        (("targets", 0, "status"), "passed"),
        (("targets", 0, "evidence", "phase"), "login"),
        (("targets", 0, "new_field"), "nobody told the reader of"),
        (("totals", "new_field"), 0),
    ],
)
async def test_what_no_schema_tells_of_is_seen(where: tuple[str | int, ...], value: object) -> None:
    document = copy.deepcopy(await _report())
    inner: Any = document
    for step in where[:-1]:
        inner = inner[step]
    inner[where[-1]] = value
    with pytest.raises(AssertionError, match=str(where[-1])):
        conforms(document, "report")


def test_every_field_of_every_schema_is_described() -> None:
    def undescribed(schema: Any, path: str) -> list[str]:
        if not isinstance(schema, dict):
            return []
        found = [
            f"{path}.{name}"
            for name, part in schema.get("properties", {}).items()
            if not {"description", "$ref", "const"} & part.keys()
        ]
        parts = {**schema.get("properties", {}), **schema.get("$defs", {}), "[]": schema.get("items")}
        return found + [gap for name, part in parts.items() for gap in undescribed(part, f"{path}.{name}")]

    files = sorted(SCHEMAS.glob("*.schema.json"))
    assert len(files) == 18
    assert [gap for file in files for gap in undescribed(json.loads(file.read_text()), file.name)] == []
