"""The HTML report as a text: valid, self-contained, and harmless whatever a peer has said."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import html5lib
import pytest

from appliance.contract import Account, Phase
from appliance.reasons import REASONS, Status
from orchestrator.account_state import Budget
from orchestrator.gates import GateResult
from orchestrator.report.html import html_report
from orchestrator.run_state import RunState
from orchestrator.store import OutcomeRow
from orchestrator.store.records import LogonCount
from tests.unit.report.report_rows import HOSTILE, finished, foreseen_run, joined, outcome, rows

SETTINGS = {"name": "quarterly", "records": [{"title": "unix", "failure_budget": 5}], "pace": {"deadline": 30.0}}
BREAKING = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)>" + HOSTILE


def allowed(account: Account) -> Budget | None:
    """Whatever records had rows."""
    return Budget(failures=2) if account.is_directory else None


async def page(
    outcomes: Sequence[OutcomeRow],
    logons: Sequence[LogonCount] = (),
    gates: Sequence[GateResult] = (),
    settings: dict[str, Any] | None = None,
    **run: Any,
) -> str:
    record = replace(finished(outcomes), **run)
    return await joined(html_report(record, lambda: rows(*outcomes), gates, logons, allowed, settings or SETTINGS))


def island(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def some() -> list[OutcomeRow]:
    """One outcome of every reason there is."""
    return [
        outcome(
            code, f"10.0.{number // 200}.{number % 200}", phase=Phase.AUTH, text=BREAKING, facts={"banner": BREAKING}
        )
        for number, code in enumerate(REASONS)
    ]


async def test_it_is_valid_html_with_every_reason_and_whatever_a_peer_says() -> None:
    logons = [LogonCount(f"{BREAKING}@dir:corp", 3, 1, 2)]
    text = await page(some(), logons, settings=SETTINGS | {"note": BREAKING}, campaign=BREAKING)
    html5lib.HTMLParser(strict=True).parse(text)
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RunState.FINISHED, " · took 90 s</p>"),
        (RunState.CANCELLED, " · took 90 s · <strong>cancelled</strong></p>"),
        (RunState.PAUSED, " · <strong>paused</strong></p>"),
        (RunState.ERROR, " · <strong>error</strong></p>"),
    ],
)
async def test_a_run_that_is_not_whole_is_not_shown_as_one_that_is(state: RunState, said: str) -> None:
    text = await page(some()[:3], state=state, finished_at=1_700_000_090.0)
    assert said in text
    assert (", ended " in text) is state.over


async def test_nothing_that_a_peer_says_becomes_an_element() -> None:
    text = await page(some(), campaign=BREAKING, settings={"note": BREAKING})
    tree = html5lib.parse(text, namespaceHTMLElements=False)
    assert len(tree.findall(".//script")) == 2
    assert not tree.findall(".//img")
    assert not tree.findall(".//b[@onerror]")


async def test_only_its_own_style_and_script_may_run_and_nothing_is_fetched() -> None:
    text = await page(some())
    tree = html5lib.parse(text, namespaceHTMLElements=False)
    [policy] = [meta.get("content") for meta in tree.findall(".//meta[@http-equiv]")]
    assert "default-src 'none'" in policy
    for element in (tree.find(".//style"), tree.findall(".//script")[-1]):
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    for node in tree.iter():
        assert not {"src", "style", "onclick"} & set(node.attrib), node.tag
        assert node.get("href", "#").startswith("#")


async def test_the_data_are_all_of_the_outcomes() -> None:
    text = await page([outcome("BAD_CREDENTIALS", "10.0.0.1", text="no <b>"), outcome("PASSED", "10.0.0.2")])
    data = island(text)
    assert [row[0] for row in data["rows"]] == ["10.0.0.1", "10.0.0.2"]
    first = data["rows"][0]
    assert data["tables"]["reason"][first[6]]["code"] == "BAD_CREDENTIALS"
    assert data["tables"]["status"][first[5]] == Status.FAILED.value
    assert data["tables"]["subnet"][first[9]] == "10.0.0.0/24"
    assert first[18] == "no <b>"
    assert "no <b>" not in text


async def test_each_outcome_says_in_which_zone_and_by_which_appliance() -> None:
    data = island(await page([outcome(zone="dmz"), outcome(address="10.0.0.2", zone="default", appliance="b1")]))
    where = [(data["tables"]["zone"][row[23]], data["tables"]["appliance"][row[13]]) for row in data["rows"]]
    assert where == [("dmz", "a1"), ("default", "b1")]


async def test_a_shared_cause_says_what_one_thing_to_fix() -> None:
    outcomes = [outcome("ACCOUNT_LOCKED", f"10.0.0.{n}") for n in range(212)]
    text = await page(outcomes)
    assert "account <code>scan@corp</code>" in text
    assert "Fix this one thing, and 212 hosts pass." in text


async def test_hosts_that_fail_alike_are_clustered_by_what_they_run() -> None:
    old = [outcome("KEX_NO_MATCH", f"10.0.{n}.1", facts={"banner": "SSH-2.0-OpenSSH_4.3"}) for n in range(3)]
    new = [outcome("PASSED", f"10.1.{n}.1", facts={"banner": "SSH-2.0-OpenSSH_9.2p1"}) for n in range(3)]
    text = await page(old + new)
    assert "host software <code>SSH-2.0-OpenSSH_4.3</code>" in text


async def test_sums_gates_phases_accounts_and_settings_are_there_without_a_script() -> None:
    logons = [LogonCount("scan@dir:corp", 5, 3, 1), LogonCount("root@host:10.0.0.1", 1, 0, 1)]
    gates = [GateResult("failed <= 0", "1", ok=False)]
    text = await page([outcome("PASSED"), outcome("BAD_CREDENTIALS", "10.0.0.2")], logons, gates)
    body = text.partition("<main>")[2].partition("</main>")[0]
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))
    assert "2 logins planned, 1 passed" in words
    assert "failed &lt;= 0 is broken (1)" in words
    assert "tcp 2 1.5 ms 1.5 ms 1.5 ms" in words
    assert "scan@corp directory 5 3 1 2 50 % 50 %" in words
    assert re.search(r"root@10\.0\.0\.1 1 0 1 \W \W", words)
    assert "pace.deadline 30.0" in words
    assert "needs JavaScript" in words


@pytest.mark.parametrize("number", [0, 1])
async def test_a_run_without_outcomes(number: int) -> None:
    text = await page([outcome("NO_RECORD")] * number, settings={"name": "x"})
    html5lib.HTMLParser(strict=True).parse(text)
    assert len(island(text)["rows"]) == number


async def test_what_was_predicted_is_on_the_page_and_no_peer_writes_it() -> None:
    run = foreseen_run(some())
    text = await page(some(), snapshot=run.snapshot, spent=run.spent)
    assert re.search(r"duration, s</th><td>10.0</td><td>20.0</td>", text)
    assert "bound by vault" in text
    assert HOSTILE not in text
    assert "Predicted and actual" not in await page(some(), snapshot=run.snapshot)
