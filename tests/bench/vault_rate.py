"""`python -m tests.bench.vault_rate [--hosts 1000] [--per-s 50] [--burst 10] [--by machine] [--appliances 1]`: a vault
that limits its rate, shared by scan processes.

A simulated estate, a secret for each host, and campaigns at it by the command line, as many as there are to be
appliances, each with a part of the hosts and two scan processes. One row: what the targets ended as, the requests a
second that the vault answered in the middle four fifths of its views, the share that it turned away, and of several
appliances how far their shares lie apart. The estate is on the same cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.cli.estate_files import read_truth
from orchestrator.cli.lab import campaign_text
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import KEYMUSTER

COMMAND_S = 900
POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Seen:
    """The vault's counters at a moment."""

    at: float
    answered: int
    turned_away: int
    views: int


def look(lab: Lab) -> Seen:
    seen = lab.vault_seen()
    away = int(seen["answers"].get("429", 0))
    return Seen(time.monotonic(), sum(seen["answers"].values()) - away, away, seen["views"])


def campaigns(lab: Lab, home: Path, parts: int) -> list[list[str]]:
    """Their commands, each in a state directory of its own."""
    truth = read_truth(Path(lab.ready["truth"]))
    commands = []
    for part in range(parts):
        file = home / f"campaign-{part}.toml"
        file.write_text(campaign_text(lab.ready, truth[part::parts], name=f"part {part}"), encoding="utf-8")
        state = str(home / f"state-{part}")
        commands.append([str(KEYMUSTER), "run", str(file), "--state", state, "--format", "json", "--no-progress"])
    return commands


def watched(lab: Lab, commands: list[list[str]]) -> tuple[list[dict[str, Any]], list[Seen], list[float]]:
    """Reports, the vault's counters over time, and how long each command took."""
    began, seen, took = time.monotonic(), [look(lab)], [0.0] * len(commands)
    outs = [tempfile.TemporaryFile("w+") for _ in commands]  # noqa: SIM115 - closed below, with their processes
    processes = [
        subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        for command, out in zip(commands, outs, strict=True)
    ]
    while not all(took):
        time.sleep(POLL_S)
        seen.append(look(lab))
        for number, process in enumerate(processes):
            if not took[number] and process.poll() is not None:
                took[number] = time.monotonic() - began
        assert time.monotonic() - began < COMMAND_S
    reports = []
    for out in outs:
        with out:
            out.seek(0)
            reports.append(json.load(out))
    return reports, seen, took


def measure(lab: Lab, home: Path, parts: int) -> str:
    reports, seen, took = watched(lab, campaigns(lab, home, parts))
    reasons = Counter(row["reason"] for report in reports for row in report["targets"])
    attempts = sum(row["attempts"] for report in reports for row in report["targets"])
    first, last = seen[0], seen[-1]
    views = last.views - first.views
    middle = [one for one in seen if 0.1 * views <= one.views - first.views <= 0.9 * views]
    seconds = max(middle[-1].at - middle[0].at, POLL_S)
    turned_away = last.turned_away - first.turned_away
    asked = turned_away + last.answered - first.answered
    return (
        f"{sum(reasons.values())} targets: {dict(reasons)}, {attempts} attempts; took "
        f"{', '.join(f'{seconds:.1f}' for seconds in took)} s; in the middle "
        f"{(middle[-1].views - middle[0].views) / seconds:.1f} views/s, "
        f"{(middle[-1].answered - middle[0].answered) / seconds:.1f} requests/s answered; "
        f"{turned_away} of {asked} requests turned away ({turned_away / asked:.1%})"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--per-s", type=float, default=50.0, help="0: no limit")
    parser.add_argument("--burst", type=int, default=10)
    parser.add_argument("--by", choices=("machine", "name"), default="machine")
    parser.add_argument("--retry-after", choices=("seconds", "date"), default="seconds")
    parser.add_argument("--appliances", type=int, default=1)
    given = parser.parse_args()
    estate = f'[[hosts]]\ncount = {given.hosts}\nnetwork = "127.90.0.0/16"\nnamed_by = "{given.by}"\n'
    with tempfile.TemporaryDirectory(prefix="keymuster-rate-") as place, running_lab(Path(place), estate) as lab:
        weather = {"requests_per_second": given.per_s, "burst": given.burst, "retry_after": given.retry_after}
        lab.vault_weather(**weather)
        print(measure(lab, Path(place), given.appliances), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
