"""A vault that limits its rate, in a campaign by the command line: it takes longer, and nobody fails for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.estate_files import read_truth
from orchestrator.cli.lab import campaign_text
from tests.acceptance.lab import running_lab
from tests.acceptance.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HOSTS, RATE = 150, 40
BUSY = ("scan processes", "orchestrator", "machine", "slowest hosts")
"""What bounds a plan by the run that it is measured by, where the machine had other work too."""
ESTATE = f"""
[vault.weather]
requests_per_second = {RATE}
burst = 10
[[hosts]]
count = {HOSTS}
network = "127.91.0.0/24"
"""


def test_all_targets_get_their_right_reason_and_the_plan_names_the_vault(tmp_path: Path) -> None:
    """Each has a secret of its own: two requests, the search and the view."""
    with running_lab(tmp_path, ESTATE) as lab:
        truth = read_truth(Path(lab.ready["truth"]))
        file = tmp_path / "campaign.toml"
        file.write_text(campaign_text(lab.ready, truth), encoding="utf-8")
        keymuster = Product(tmp_path / "state")
        ended = keymuster.run(file)
        assert ended.code == 0, ended.stderr
        assert set(ended.reasons.values()) == {"PASSED"}
        earlier = {past["reason"] for row in ended.targets for past in row["earlier_attempts"]}
        assert "VAULT_TIMEOUT" not in earlier
        seen = lab.vault_seen()
        assert seen["views"] == HOSTS
        assert seen["answers"].get("429", 0) <= 0.25 * seen["requests"], "most of them before the limit is known"
        plan = keymuster("plan", file, "--capacity", "--json")
        assert plan.code == 0, plan.stderr
        bounds = [one for one in plan.document["limits"] if one["limit"] not in BUSY]
        assert bounds[0]["limit"] == "vault"
        assert bounds[0]["seconds"] >= 0.5 * 2 * HOSTS / RATE
