"""`config check` and `config schema`: campaign files by themselves."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from appliance.toml_faults import Fault
from appliance.toml_lines import key_lines, line_of
from orchestrator.campaign import Campaign, campaign_schema, load_campaign
from orchestrator.campaign_faults import CampaignError
from orchestrator.cli import client_certificates
from orchestrator.cli.errors import Exit
from orchestrator.cli.output import written_to
from orchestrator.report.documents import SCHEMA_VERSION, Document, dumps
from orchestrator.times_told import times_told


def check(file: Path, *, json: bool) -> Exit:
    """Raises CampaignError, unless its faults are asked for as JSON."""
    try:
        campaign = load_campaign(file)
        faults = (*_certificate_faults(file, campaign), *_known_hosts_faults(campaign))
        told = tuple(times_told(campaign, time.time()))
    except CampaignError as error:
        faults, told = error.faults, ()
    if faults and not json:
        raise CampaignError(faults)
    if json:
        with written_to(None) as out:
            print(dumps(_document(file, faults)), file=out)
    else:
        sys.stderr.write(f"{file}: no fault found\n" + "".join(f"{line}\n" for line in told))
    return Exit.BAD_INPUT if faults else Exit.OK


def _certificate_faults(file: Path, campaign: Campaign) -> Iterator[Fault]:
    """A client certificate is read when a run begins; that it will not do is better known before."""
    lines = key_lines(file.read_bytes().decode("utf-8-sig"))
    for index, vault in enumerate(campaign.vaults):
        for key, text in client_certificates.faults(vault, time.time()):
            line = line_of(lines, ("vaults", index, "tls", key))
            yield Fault(str(file), line, f"vaults[{index}].tls.{key}", text)


def _known_hosts_faults(campaign: Campaign) -> Iterable[Fault]:
    """The known_hosts files that it names are part of it."""
    unix = [record for record in campaign.records if record.technology == "unix"]
    named = [path for r in unix for path in (r.known_hosts, r.jump.known_hosts if r.jump else None) if path]
    if not named:
        return ()
    from orchestrator.known_hosts import KnownHosts, KnownHostsError  # noqa: PLC0415 - see there

    faults: dict[Path, Fault] = {}
    for path in named:
        try:
            KnownHosts.read(Path(path))
        except KnownHostsError as error:
            faults[error.file] = Fault(str(error.file), error.line or 1, "known_hosts", error.why)
    return faults.values()


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
