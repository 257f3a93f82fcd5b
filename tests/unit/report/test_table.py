"""The tables that people read."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from appliance.contract import Technology, View
from appliance.reasons import REASONS
from orchestrator.account_state import Budget
from orchestrator.gates import GateResult
from orchestrator.report.accounts import accounts_of
from orchestrator.report.summary import Summary, summarise
from orchestrator.report.table import SHOWN, table_report
from orchestrator.store import OutcomeRow, PastAttempt, RunRecord
from orchestrator.store.records import LogonCount
from tests.drawn import cells, is_whole
from tests.unit.report.report_rows import HOSTILE, RUN, finished, foreseen_run, outcome, rows, run_logons

PAST = PastAttempt(1, "VAULT_TIMEOUT", "unix", submitted=False, views=2)


def shown(summary: Summary, *, width: int = 160, terminal: bool = False) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=terminal, color_system="standard" if terminal else None).print(
        table_report(summary)
    )
    return out.getvalue()


async def report(*outcomes: OutcomeRow, run: RunRecord | None = None, gates: tuple[GateResult, ...] = ()) -> str:
    return shown(await summarise(run or finished(outcomes), rows(*outcomes), gates))


async def test_outcomes_by_technology_and_reason_with_their_qid() -> None:
    windows = [outcome("ACCOUNT_LOCKED", f"10.0.1.{i}", technology=Technology.WINDOWS) for i in range(2)]
    unix = [outcome("PORT_CLOSED"), outcome("BAD_CREDENTIALS"), *(outcome(address=f"10.0.2.{i}") for i in range(1200))]
    found = cells(await report(*windows, *unix))
    assert found[:5] == [
        ["unix", "Passed", "PASSED", "", "1,200"],
        ["", "Failed", "BAD_CREDENTIALS", "105053", "1"],
        ["", "Not Attempted", "PORT_CLOSED", "", "1"],
        ["windows", "Failed", "ACCOUNT_LOCKED", "105015 105052", "2"],
        ["all", "", "1,200 passed, 0 passed*, 3 failed, 1 not attempted", "", "1,204"],
    ]


async def test_causes_come_with_owner_and_advice() -> None:
    text = await report(*(outcome("SECRET_NOT_FOUND", f"10.0.0.{i}") for i in range(3)))
    assert "secret root in Vault" in text
    assert "Correct the record's secret, or share" in text
    assert [row for row in cells(text) if row[0] == "3" and "vault" in row]


async def test_what_was_predicted_stands_beside_what_was() -> None:
    view = {"vault": "Vault", "secret_id": 7, "asked": 1.0, "answered": 1.1}
    tried = [outcome("BAD_CREDENTIALS", "10.0.0.1"), outcome(address="10.0.0.2", attempts=2, earlier=(PAST,))]
    tried = [replace(o, evidence=o.evidence.model_copy(update={"submitted": True})) for o in tried]
    read = tried[0].evidence.model_copy(update={"views": (View.model_validate(view),)})
    tried[0] = replace(tried[0], evidence=read)
    text = await report(*tried, run=foreseen_run(tried))
    assert cells(text)[-4:] == [
        ["duration, s", "10.0", "20.0"],
        ["logins/s", "4.0", "0.1"],
        ["secret views", "50", "3"],
        ["failed logons", "1", "1"],
    ]
    assert "Predicted from earlier runs (r0); bound by vault" in text


@pytest.mark.parametrize("lacks", ["spent", "snapshot"])
async def test_without_a_prediction_or_a_whole_run_nothing_is_compared(lacks: str) -> None:
    run = replace(foreseen_run([outcome()]), **{lacks: None if lacks == "spent" else {}})  # type: ignore[arg-type]  # as named
    assert "Predicted" not in await report(outcome(), run=run)


async def test_many_causes_are_cut_and_the_rest_is_told() -> None:
    reasons = ["NOT_SSH", "NOT_SMB", "SMB1_ONLY", "KEX_NO_MATCH", "MFA_REQUIRED", "PRIV_NO_SUDO", "PRIV_NOT_ROOT"]
    reasons += ["SESSION_LIMIT", "KEX_TIMEOUT", "HOST_KEY_UNKNOWN", "HOST_KEY_CHANGED", "EXCLUDED"]
    text = await report(*(outcome(reason) for reason in reasons))
    assert f"(and {len(reasons) - SHOWN} more in the HTML and JSON reports)" in text


async def test_what_was_asked_of_accounts_stands_beside_what_they_allow() -> None:
    logons = [LogonCount("scan@dir:corp", 9, 7, 2), LogonCount("old@dir:corp", 1, 0, 1)]
    logons += [LogonCount(f"root@host:10.0.0.{n}", 1, 0, n % 2) for n in range(4)]
    budgets = {"dir:corp": Budget(3, 600.0)}
    asked = accounts_of(
        run_logons(*logons),
        lambda account: budgets.get(account.authority, Budget()) if account.user != "old" else None,
        {Budget()},
    )
    text = shown(await summarise(finished([outcome()]), rows(outcome()), accounts=asked))
    assert cells(text)[-3:] == [
        ["scan@corp", "9", "7", "2", "3 in 10 min"],
        ["old@corp", "1", "0", "1", ""],
        ["4 accounts of single hosts (at most 1 each)", "4", "0", "2", "2 in 30 min each"],
    ]
    few = accounts_of(run_logons(*logons[2:4]), lambda _: Budget())
    text = shown(await summarise(finished([outcome()]), rows(outcome()), accounts=few))
    assert cells(text)[-2:] == [
        ["root@10.0.0.1", "1", "0", "1", "2 in 30 min"],
        ["root@10.0.0.0", "1", "0", "0", "2 in 30 min"],
    ]
    two = accounts_of(run_logons(*logons), lambda _: Budget(), {Budget(), Budget(1)})
    text = shown(await summarise(finished([outcome()]), rows(outcome()), accounts=two))
    assert cells(text)[-1][-1] == "", "not one thing for all"
    assert "Logons" not in await report(outcome())


async def test_many_accounts_of_directories_are_cut_and_the_rest_is_told() -> None:
    logons = [LogonCount(f"s{n}@dir:corp", 1, 1, 0) for n in range(SHOWN + 5)]
    asked = accounts_of(run_logons(*logons), lambda _: Budget())
    text = shown(await summarise(finished([outcome()]), rows(outcome()), accounts=asked))
    assert cells(text)[-1][0] == "5 more of directories, in the HTML and JSON reports"


async def test_gates_and_the_run_are_named() -> None:
    gates = (GateResult("coverage>=0.98", "1.0000 (1 of 1)", ok=True), GateResult("reason.X==0", "1", ok=False))
    found = cells(await report(outcome(), gates=gates))
    assert found[-2:] == [["coverage>=0.98", "1.0000 (1 of 1)", "passed"], ["reason.X==0", "1", "failed"]]
    assert "Run r1 (finished) of campaign quarterly" in await report(outcome())
    assert "Gates" not in await report(outcome())


async def test_open_targets_and_false_totals_are_told() -> None:
    text = await report(outcome(), run=replace(RUN, planned=3))
    assert "2 open" in text
    assert "error: the totals do not add up: 1 outcomes for 3 planned targets" in text
    assert "error" not in await report(outcome())


async def test_a_hostile_name_is_neither_markup_nor_a_terminal_code() -> None:
    hostile = "\x1b]0;owned\x07[red]gone[/red][/nope]"
    outcomes = [outcome("SECRET_NOT_FOUND", f"10.0.0.{i}", secret=hostile) for i in range(2)]
    run = replace(finished(outcomes), campaign=HOSTILE)
    text = shown(await summarise(run, rows(*outcomes)), width=400, terminal=True)
    assert r"\x1b]0;owned\x07[red]gone[/red][/nope]" in text
    assert "\x1b]0" not in text
    assert "\x07" not in text
    assert "[bold]red[/bold]" in text


LONG = "svc_" + "x" * 300
"""A user, record or secret that somebody has given a very long name."""


@pytest.mark.parametrize("name", ["a-long-secret-name", LONG], ids=["usual", "endless"])
@pytest.mark.parametrize("width", [80, 120, 200])
async def test_no_reason_is_broken_over_two_lines_and_nothing_is_cut_off(width: int, name: str) -> None:
    codes = list(REASONS)
    changes = {"secret": name, "account": f"{name}@dir:corp", "technology": Technology.WINDOWS}
    outcomes = [outcome(code, f"10.0.0.{n}", **changes) for n, code in enumerate(codes)]  # type: ignore[arg-type]
    text = shown(await summarise(finished(outcomes), rows(*outcomes)), width=width)
    assert [code for code in codes if not re.search(rf"\b{code}\b", text)] == []
    is_whole(text, width)
    for longest in sorted(codes, key=len)[-SHOWN:]:  # each among the causes, beside its advice
        few = [outcome(longest, f"10.0.0.{n}", **changes) for n in range(3)]  # type: ignore[arg-type]
        text = shown(await summarise(finished(few), rows(*few)), width=width)
        is_whole(text, width)
        causes = cells(text.partition("Commonest causes")[2])
        assert causes[0][1].startswith(f"{longest}:")
        told = "".join(row[2] for row in causes)
        assert name in told or REASONS[longest].owner.value not in {"vault", "directory"}


async def test_no_colour_is_told_apart_by_red_and_green_alone() -> None:
    gates = (GateResult("coverage>=0.98", "1.0000 (1 of 1)", ok=True), GateResult("reason.X==0", "1", ok=False))
    outcomes = [outcome(reason, f"10.0.0.{n}") for n, reason in enumerate(REASONS)]
    text = shown(await summarise(finished(outcomes), rows(*outcomes), gates), terminal=True)
    assert set(re.findall(r"\x1b\[([0-9;]*)m", text)) <= {"0", "1", "3", "36", "33", "1;31", "90"}
