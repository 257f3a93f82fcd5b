"""What a run in progress says of a vault that is away."""

from __future__ import annotations

from datetime import datetime

from appliance.reasons import Status
from orchestrator.approval_watch import Unapproved
from orchestrator.cli.progress import ProgressDisplay
from orchestrator.run_plan import Progress
from orchestrator.vault_watch import Away


def test_a_warning_stays_under_the_bar() -> None:
    with ProgressDisplay(enabled=False, warnings=["vault V is reached without TLS"]) as display:
        display.show(Progress(100, 7, {Status.PASSED: 3}))
        assert display._bar.lines[1:] == ("warning: vault V is reached without TLS",)


def test_a_vault_that_is_away_has_a_line_of_its_own() -> None:
    since = datetime(2026, 11, 25, 12, 3, 5).astimezone()
    away = Away("Vault [1]", since.timestamp(), 40)
    with ProgressDisplay(enabled=False) as display:
        display.show(Progress(100, 7, {Status.PASSED: 3}, (away,)))
        assert display._bar.lines[1:] == ("vault Vault [1]: away since 12:03:05, 40 jobs wait",)
        display.show(Progress(100, 7, {Status.PASSED: 3}))
        assert len(display._bar.lines) == 1


def test_secrets_whose_approval_is_waited_for_have_lines_of_their_own() -> None:
    since = datetime(2026, 11, 25, 12, 3, 5).astimezone().timestamp()
    secrets = tuple(Unapproved("Vault", f"s{n}", since, n) for n in range(1, 8))
    with ProgressDisplay(enabled=False) as display:
        display.show(Progress(100, 7, {}, (), secrets))
        lines = display._bar.lines[1:]
    assert lines[0] == "secret s7 in Vault: 7 jobs wait for approval since 12:03:05"
    assert lines[5:] == ("3 jobs wait for the approval of 2 more secrets",)
