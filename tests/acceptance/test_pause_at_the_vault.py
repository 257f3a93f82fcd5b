"""A run whose jobs wait for a vault that limits its rate is paused at once, not when they have had their turns."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.cli.estate_files import read_truth
from orchestrator.cli.lab import campaign_text
from tests.acceptance.chaos.processes import until
from tests.acceptance.lab import running_lab
from tests.acceptance.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HOSTS = 150
ESTATE = f"""
[vault.weather]
requests_per_second = 3
burst = 3
[[hosts]]
count = {HOSTS}
network = "127.92.0.0/24"
"""
AT_ONCE_S = 20.0
"""A few requests that are on their way, and what a loaded machine takes; the jobs' turns would take 30 s."""


def test_who_waits_for_the_rate_is_called_off(tmp_path: Path) -> None:
    with running_lab(tmp_path, ESTATE) as lab:
        file, keymuster = tmp_path / "campaign.toml", Product(tmp_path / "state")
        file.write_text(campaign_text(lab.ready, read_truth(Path(lab.ready["truth"]))), encoding="utf-8")
        with (tmp_path / "said").open("wb") as said:
            command = [*keymuster.command("run", file), "--format", "json"]
            with subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL) as process:
                try:
                    until(lambda: lab.vault_seen()["views"] >= 5, "views at the vault's rate")
                    (run,) = keymuster.planned_runs()
                    began = time.monotonic()
                    paused = keymuster("pause", run["id"])
                    assert paused.code == 0, paused.stderr
                    assert time.monotonic() - began < AT_ONCE_S
                    with closing(sqlite3.connect(tmp_path / "state" / "keymuster.db")) as store:
                        query = "SELECT count(*) FROM attempts WHERE reason = 'VAULT_RATE_LIMITED'"
                        (called_off,) = store.execute(query).fetchone()
                        kinds = dict(store.execute("SELECT kind, count(*) FROM permits GROUP BY kind").fetchall())
                    assert called_off > 0
                    assert kinds["granted"] == sum(number for kind, number in kinds.items() if kind != "granted")
                    assert "failure" not in kinds
                    assert keymuster("cancel", run["id"]).code == 0
                    assert process.wait(60) == 4
                finally:
                    process.terminate()
