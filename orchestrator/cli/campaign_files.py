"""`config check` and `config schema`: campaign files by themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from orchestrator.campaign import CampaignError, Fault, campaign_schema, load_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.cli.errors import Exit
from orchestrator.cli.output import written_to
from orchestrator.known_hosts import KnownHosts, KnownHostsError
from orchestrator.report.documents import SCHEMA_VERSION, Document, dumps


def check(file: Path, *, json: bool) -> Exit:
    """Raises CampaignError, unless its faults are asked for as JSON."""
    faults: tuple[Fault, ...] = ()
    try:
        _known_hosts(load_campaign(file))
    except CampaignError as error:
        if not json:
            raise
        faults = error.faults
    if json:
        with written_to(None) as out:
            print(dumps(_document(file, faults)), file=out)
    else:
        sys.stderr.write(f"{file}: no fault found\n")
    return Exit.BAD_INPUT if faults else Exit.OK


def _known_hosts(campaign: Campaign) -> None:
    """The known_hosts files that it names are part of it. Raises CampaignError."""
    faults: dict[Path, Fault] = {}
    for record in campaign.records:
        if record.technology == "unix" and record.known_hosts:
            try:
                KnownHosts.read(Path(record.known_hosts))
            except KnownHostsError as error:
                faults[error.file] = Fault(str(error.file), error.line or 1, "known_hosts", error.why)
    if faults:
        raise CampaignError(faults.values())


def _document(file: Path, faults: Iterable[Fault]) -> Document:
    problems = [
        {"file": fault.origin, "line": fault.line, "field": fault.key, "text": fault.message} for fault in faults
    ]
    return {"schema_version": SCHEMA_VERSION, "file": str(file), "ok": not problems, "problems": problems}


def schema() -> Exit:
    """The JSON Schema of campaign files."""
    with written_to(None) as out:
        print(dumps(campaign_schema()), file=out)
    return Exit.OK
