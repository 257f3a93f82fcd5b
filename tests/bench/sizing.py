"""`python -m tests.bench.sizing [--hosts 1000] [--preset enterprise] [--sample 250] [--vault-per-s N]`: predicted and
actual.

A simulated estate of a preset, and its campaign: a run of a sample, what `plan --capacity` says after it, and the run
of all. One row: how long it took beside what was predicted, which limit was named, and what the run needed (CPU of all
our processes per target, the largest sum of their resident memory, requests to the vault). The estate is on the same
cores.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestrator.cli.arguments import Preset
from orchestrator.cli.estate_files import read_truth
from orchestrator.cli.estates import estate_text
from orchestrator.cli.lab import campaign_text
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import KEYMUSTER
from tests.bench.processes import family, rss_of

COMMAND_S = 3600
POLL_S = 0.5
NEAR = 0.15


def command(state: Path, *arguments: str) -> list[str]:
    return [str(KEYMUSTER), *arguments, "--state", str(state), "--json"]


def document(state: Path, *arguments: str) -> dict[str, Any]:
    line = command(state, *arguments)
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=COMMAND_S, check=True)
    return dict(json.loads(done.stdout))


def watched(state: Path, *arguments: str) -> tuple[dict[str, Any], float, int]:
    """The command's document, its CPU seconds (all children included), and the most memory that it had, in KiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    most = 0
    with (
        tempfile.TemporaryFile("w+") as out,
        subprocess.Popen(command(state, *arguments), stdout=out, stderr=subprocess.DEVNULL) as process,
    ):
        while process.poll() is None:
            most = max(most, sum(map(rss_of, family(process.pid))))
            time.sleep(POLL_S)
        assert process.returncode == 0, process.returncode
        out.seek(0)
        told = json.load(out)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return dict(told), spent, most


def measure(lab: Lab, home: Path, sample: int, rest: str) -> str:
    campaign, state = home / "campaign.toml", home / "state"
    truth = read_truth(Path(lab.ready["truth"]))
    campaign.write_text(campaign_text(lab.ready, truth, name="sizing"), encoding="utf-8")
    document(state, "run", str(campaign), "--sample", str(sample), "--no-progress")
    plan = document(state, "plan", str(campaign), "--capacity")
    asked = lab.vault_seen()["requests"]
    run, cpu, memory = watched(state, "run", str(campaign), "--no-progress")
    requests = lab.vault_seen()["requests"] - asked
    told, targets = run["prediction"], run["totals"]["planned"]
    predicted, actual = told["predicted"], told["actual"]
    ratio = predicted["duration_s"] / actual["duration_s"]
    return (
        f"{rest}: {targets:,} targets; predicted {predicted['duration_s']:.1f} s, took {actual['duration_s']:.1f}: "
        f"x {ratio:.2f} ({'within' if abs(ratio - 1) <= NEAR else 'NOT within'} {NEAR:.0%}); "
        f"bound by {plan['bound_by']['limit']}; {actual['logins_per_s']:.0f} logins/s; "
        f"views {predicted['secret_views']} and {actual['secret_views']}, {requests / actual['duration_s']:.0f} vault "
        f"requests/s; failed logons {predicted['failed_logons']} and {actual['failed_logons']} of "
        f"{told['failed_logons_at_most']} at most; {1000 * cpu / targets:.1f} ms CPU a target, {memory / 1024:.0f} MiB"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--preset", type=Preset, choices=list(Preset), default=Preset.ENTERPRISE)
    parser.add_argument("--sample", type=int, default=250)
    parser.add_argument("--vault-per-s", type=float, default=0.0, help="The vault answers no more requests than these.")
    given = parser.parse_args()
    estate = estate_text(given.preset, given.hosts, 7)
    with tempfile.TemporaryDirectory(prefix="keymuster-sizing-") as place, running_lab(Path(place), estate) as lab:
        if given.vault_per_s:
            lab.vault_weather(requests_per_second=given.vault_per_s)
        print(measure(lab, Path(place), given.sample, given.preset.value), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
