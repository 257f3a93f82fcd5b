"""`keymuster demo`: a simulated estate as a process of its own, a real campaign on it, its report and its score."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from orchestrator.campaign import load_campaign
from orchestrator.cli.arguments import Format, Home, Preset, Show, Where
from orchestrator.cli.errors import Exit
from orchestrator.cli.estate_files import read_counts, read_truth
from orchestrator.cli.estates import estate_text
from orchestrator.cli.lab import campaign_text, serving
from orchestrator.cli.reporting import write_report
from orchestrator.cli.scoring import judge
from orchestrator.cli.starting import run
from orchestrator.cli.storing import find_run, stored
from orchestrator.report.score_report import write_score


async def demo(preset: Preset, hosts: int, seed: int, directory: Path | None, show_progress: bool) -> Exit:
    """Everything lies in one directory: by default a temporary one that stays, so that the run can be looked at.

    Exit 1 when a reason or an account's logons are not right.
    """
    home = directory or Path(tempfile.mkdtemp(prefix="keymuster-demo-"))
    home.mkdir(parents=True, exist_ok=True)
    estate, campaign, state = home / "estate.toml", home / "campaign.toml", home / "state"
    place = Home(state)
    estate.write_text(estate_text(preset, hosts, seed), encoding="utf-8")
    async with serving(estate, home / "lab") as ready:
        truth = read_truth(Path(ready["truth"]))
        campaign.write_text(campaign_text(ready, truth, name="demo"), encoding="utf-8")
        sys.stderr.write(f"{len(truth)} simulated hosts and a Secret Server are up; campaign: {campaign}\n")
        code = await run(Where(place), load_campaign(campaign), "", Show(Format.TABLE, None, progress=show_progress))
        counts = await read_counts(Path(ready["truth"]))
    if code is not Exit.OK:
        return code
    page = home / "report.html"
    async with stored(place) as store:
        record = await find_run(store, None)
        judgement = await judge(store, record, truth, counts)
        await write_report(store, record, Format.HTML, page)
    write_score(judgement.reasons, judgement.logons, sys.stdout)
    sys.stderr.write(f"report: {page}\nlook closer: keymuster report --state {state} --json\n")
    return Exit.GATE_FAILED if judgement.wrong else Exit.OK
