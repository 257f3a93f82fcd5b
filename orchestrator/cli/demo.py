"""`keymuster demo`: a simulated estate as a process of its own, a real campaign on it, its report and its score."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orchestrator.campaign import load_campaign
from orchestrator.cli.arguments import Format, Show, Where
from orchestrator.cli.errors import Exit
from orchestrator.cli.lab import campaign_text, read_truth, score_run, serving, write_score
from orchestrator.cli.running import find_run
from orchestrator.cli.starting import run
from orchestrator.cli.storing import stored

# Spreads of faults that all have different owners; of 20 hosts the Unix mix is dealt exactly, with 8 on Windows.
_UNIX = {"none": 4, "no_sudo": 2, "wrong_password": 1, "key_only": 1, "closed": 2, "silent": 1, "secret_missing": 1}
_WINDOWS = {"none": 3, "no_admin": 1, "wrong_password": 1, "disabled": 1, "locked": 1, "guest": 1}
_WINDOWS_SHARE = 0.4


async def demo(hosts: int, seed: int, directory: Path | None, show_progress: bool) -> Exit:
    """Everything lies in one directory: by default a temporary one that stays, so that the run can be looked at.

    Exit 1 when a reason is not the right one.
    """
    home = directory or Path(tempfile.mkdtemp(prefix="keymuster-demo-"))
    home.mkdir(parents=True, exist_ok=True)
    estate, campaign, state = home / "estate.toml", home / "campaign.toml", home / "state"
    estate.write_text(estate_text(hosts, seed), encoding="utf-8")
    async with serving(estate, home / "lab") as ready:
        truth = read_truth(Path(ready["truth"]))
        campaign.write_text(campaign_text(ready, truth, name="demo"), encoding="utf-8")
        sys.stderr.write(f"{len(truth)} simulated hosts and a Secret Server are up; campaign: {campaign}\n")
        code = await run(Where(state), load_campaign(campaign), "", Show(Format.TABLE, None, progress=show_progress))
    if code is Exit.OK:
        async with stored(state) as store:
            result = await score_run(store, (await find_run(store, None)).id, truth)
        write_score(result, sys.stdout)
        code = Exit.GATE_FAILED if result.wrong else Exit.OK
    sys.stderr.write(f"look closer: keymuster report --state {state} --format json\n")
    return code


def estate_text(hosts: int, seed: int) -> str:
    """An estate file of so many hosts, with the demo's mixes of faults."""
    windows = round(hosts * _WINDOWS_SHARE)
    groups = [
        _group("unix", hosts - windows, "127.20.0.0/16", _UNIX),
        _group("windows", windows, "127.21.0.0/16", _WINDOWS),
    ]
    return f"seed = {seed}\n" + "".join(groups)


def _group(technology: str, count: int, network: str, faults: Mapping[str, int]) -> str:
    if not count:
        return ""
    mix = ", ".join(f"{fault} = {weight}" for fault, weight in faults.items())
    return f"""
[[hosts]]
count = {count}
technology = "{technology}"
network = "{network}"
faults = {{ {mix} }}
user = "scan"
account = "local"
"""
