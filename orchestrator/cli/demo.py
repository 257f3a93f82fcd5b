"""`keymuster demo`: a simulated estate as a process of its own, a real campaign on it, its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from orchestrator.campaign import load_campaign
from orchestrator.cli.arguments import Format, Show, Where
from orchestrator.cli.errors import CommandError, Exit
from orchestrator.cli.starting import run

READY_S = 60.0
STOP_S = 5.0

# In 20 hosts: a spread of faults that all have different owners.
_MIX = {"none": 8, "no_sudo": 3, "wrong_password": 2, "key_only": 2, "closed": 2, "silent": 1, "secret_missing": 2}


async def demo(hosts: int, seed: int, directory: Path | None, show_progress: bool) -> Exit:
    """Everything lies in one directory: by default a temporary one that stays, so that the run can be looked at."""
    home = directory or Path(tempfile.mkdtemp(prefix="keymuster-demo-"))
    home.mkdir(parents=True, exist_ok=True)
    estate = home / "estate.toml"
    estate.write_text(estate_text(hosts, seed), encoding="utf-8")
    async with lab(estate, home / "lab") as ready:
        lines = await anyio.Path(ready["truth"]).read_text(encoding="utf-8")
        truth = [json.loads(line) for line in lines.splitlines()]
        campaign = home / "campaign.toml"
        campaign.write_text(campaign_text(ready, truth), encoding="utf-8")
        sys.stderr.write(f"{len(truth)} simulated hosts and a Secret Server are up; campaign: {campaign}\n")
        show = Show(Format.TABLE, None, progress=show_progress)
        code = await run(Where(home / "state"), load_campaign(campaign), "", show)
    sys.stderr.write(f"look closer: keymuster report --state {home / 'state'} --format json\n")
    return code


def estate_text(hosts: int, seed: int) -> str:
    """An estate file of so many hosts, with the demo's mix of faults."""
    mix = ", ".join(f"{fault} = {weight}" for fault, weight in _MIX.items())
    return f"""\
seed = {seed}

[[hosts]]
count = {hosts}
technology = "unix"
network = "127.20.0.0/16"
faults = {{ {mix} }}
user = "scan"
account = "local"
"""


def campaign_text(ready: Mapping[str, Any], truth: list[Mapping[str, Any]]) -> str:
    """The campaign for an estate: one record per port, since an address is in one Unix record only."""
    by_port: dict[int, list[str]] = {}
    for host in truth:
        by_port.setdefault(host["port"], []).append(host["address"])
    records = "".join(_record(port, addresses, truth[0]["user"]) for port, addresses in by_port.items())
    addresses = [host["address"] for host in truth]
    return f"""\
name = "demo"

[[vaults]]
title = "Secret Server Vault"
type = "Thycotic Secret Server"
url = "{ready["vault_url"]}"
user = "{ready["vault_user"]}"
password = {{ file = "{ready["vault_password_file"]}" }}
{records}
[targets]
include = {json.dumps(addresses)}

[pace]
deadline = "3s"
"""


def _record(port: int, addresses: list[str], user: str) -> str:
    return f"""
[[records]]
title = "Unix hosts on port {port}"
technology = "unix"
login_type = "Authentication Vault"
user = "{user}"
vault = "Secret Server Vault"
secret = "unix-{{address}}"
accounts = "local"
root_delegation = "sudo"
port = {port}
ips = {json.dumps(addresses)}
"""


@asynccontextmanager
async def lab(estate: Path, state: Path) -> AsyncIterator[Mapping[str, Any]]:
    """A lab process that serves an estate; its ready line. Raises CommandError when it does not come up."""
    # It must not outlive us, however we end.
    argv = [sys.executable, "-m", "appliance.launch", str(os.getpid()), "--"]
    argv += [sys.executable, "-m", "targets", str(estate), "--state", str(state)]
    process = await anyio.open_process(argv, stdin=subprocess.DEVNULL, stderr=None, start_new_session=True)
    assert process.stdout is not None  # noqa: S101 - it is a pipe by default
    try:
        with anyio.fail_after(READY_S):
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1 << 16)
        yield json.loads(line)
    except (TimeoutError, anyio.IncompleteRead) as error:
        raise CommandError("the simulated estate did not come up; its error is above") from error
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
            with anyio.move_on_after(STOP_S):
                await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()
