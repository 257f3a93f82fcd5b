"""Alert rules: promtool's judgement, their names in the table of metrics, and a section of the runbook for each."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from appliance import metric_names as names

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
CASES = yaml.safe_load((DEPLOY / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]


def promtool(*arguments: str) -> None:
    unpacked = ROOT / ".venv-peers" / "prometheus" / "promtool"
    program = shutil.which("promtool") or (str(unpacked) if unpacked.exists() else None)
    if program is None:
        pytest.skip("there is no promtool: tests/peers/install.sh unpacks it on Debian")
    done = subprocess.run([program, *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_promtool_takes_the_rules_and_each_does_what_it_says() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_each_rule_has_both_its_cases() -> None:
    tried = {case["name"] for case in CASES}
    assert tried == {f"{rule['alert']} {end}" for rule in RULES for end in ("fires", "is quiet")}


def test_each_rule_has_its_section_in_the_runbook() -> None:
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {rule["alert"] for rule in RULES} <= set(sections)
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_rules_and_runbook_name_metrics_that_exist() -> None:
    known = {metric.shown for metric in names.BOTH + names.ORCHESTRATOR + names.APPLIANCE}
    for file in (DEPLOY / "alerts.yml", DEPLOY / "alerts_test.yml", ROOT / "docs" / "runbook.md"):
        used = set(re.findall(r"\bkeymuster_[a-z_]+", file.read_text(encoding="utf-8")))
        unknown = {name for name in used if name not in known and name.rsplit("_", 1)[0] not in known}
        assert not unknown, f"{file.name} names {unknown}"
