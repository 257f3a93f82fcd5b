"""A load test when it is over, and one that was over before it began."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TextIO

import pytest

from orchestrator.cli import loading
from orchestrator.cli.errors import BadInput
from orchestrator.cli.loading import LoadOrder, What
from orchestrator.load.bottleneck import Name
from orchestrator.load.driving import load_test
from orchestrator.load.rate import Rate, Schedule
from orchestrator.load.result import result_of
from orchestrator.report.load import LoadFormat
from tests.unit.load.arrivals import BEGAN, a_plan
from tests.unit.load.results import driven


async def test_everything_that_was_due_is_accounted_for() -> None:
    result = await driven()
    assert (result.due, result.ended, result.unfinished, result.succeeded) == (40, 39, 1, 35)
    assert {one.reason: one.count for one in result.errors} == {"BAD_CREDENTIALS": 4, "UNFINISHED": 1}
    assert {one.reason: one.count for one in result.put_off} == {"VAULT_RATE_LIMITED": 4}
    assert result.latency.count == 40
    assert result.offered == 10.0
    assert result.achieved == pytest.approx(9.5, abs=0.3)
    assert [stage.name for stage in result.stages] == ["wait", "deferred", "bus", "auth", "report"]
    assert not result.held
    assert result.bottleneck.name is Name.VAULT
    assert result.cpu.by_kind == {"estate": 0.5, "scan": 0.5, "orchestrator": 0.25}


async def test_a_test_that_was_stopped_is_judged_by_what_there_was() -> None:
    result = await driven(stopped_after=2.5)
    assert (result.lasted, result.stopped) == (2.5, "it was interrupted")
    assert (result.due, result.unfinished, len(result.intervals)) == (25, 0, 3)
    assert result.held_rate == 10.0, "the second in which it was stopped says nothing"


def test_a_test_that_never_began_has_a_report_too() -> None:
    leases = count()
    test = load_test(a_plan(), Schedule(Rate(10, 10), 5.0), lambda: f"lease {next(leases)}", vault_only=True)
    test.over_at = BEGAN
    result = result_of(test, campaign="c", targets=3, cores=2, ended_at=BEGAN, stopped="it was interrupted")
    assert (result.due, result.ended, result.unfinished, result.lasted) == (0, 0, 0, 0.0)
    assert (result.began, result.offered, result.held_rate) == (BEGAN, 0.0, 0.0)


def test_nobody_retries_in_a_load_test() -> None:
    test = load_test(a_plan(), Schedule(Rate(10, 10), 5.0), lambda: "lease", vault_only=True)
    assert (test.plan.pace.retries, test.plan.pace.throttle_patience) == (0, 0.0)
    assert (test.plan.planned, test.plan.vault_only) == (50, True)


async def test_a_file_that_cannot_be_written_costs_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule = Schedule(Rate(10.0, 10.0), 4.0)
    nowhere = ((tmp_path / "none" / "l.html", LoadFormat.HTML),)
    order = LoadOrder(tmp_path, schedule, What.LOGINS, (), nowhere, json=True, progress=False)
    result = await driven()
    with pytest.raises(BadInput, match=r"cannot write .*l\.html"):
        await loading._report(result, order)
    assert json.loads(capsys.readouterr().out)["schema_version"]


@pytest.fixture
def full() -> Iterator[TextIO]:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        yield full


async def test_a_stdout_that_cannot_be_written_costs_no_file(
    tmp_path: Path, full: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "load.html"
    schedule = Schedule(Rate(10.0, 10.0), 4.0)
    order = LoadOrder(tmp_path, schedule, What.LOGINS, (), ((file, LoadFormat.HTML),), json=True, progress=False)
    result = await driven()
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(BadInput, match="cannot write to stdout"):
        await loading._report(result, order)
    assert "</html>" in file.read_text(encoding="utf-8")
