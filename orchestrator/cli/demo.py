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

# Spreads of faults that all have different owners; of 20 hosts the Unix mix is dealt exactly, with 8 on Windows.
_UNIX = {"none": 4, "no_sudo": 2, "wrong_password": 1, "key_only": 1, "closed": 2, "silent": 1, "secret_missing": 1}
_WINDOWS = {"none": 3, "no_admin": 1, "wrong_password": 1, "disabled": 1, "locked": 1, "guest": 1}
_WINDOWS_SHARE = 0.4


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


def campaign_text(ready: Mapping[str, Any], truth: list[Mapping[str, Any]]) -> str:
    """The campaign for an estate: one record per technology and port."""
    groups: dict[tuple[str, int], list[str]] = {}
    for host in truth:
        groups.setdefault((host["technology"], host["port"]), []).append(host["address"])
    records = "".join(_record(*group, addresses, truth[0]["user"]) for group, addresses in groups.items())
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


_OWN = {
    "unix": 'accounts = "local"\nroot_delegation = "sudo"',
    "windows": 'domain_type = "local"',
}
"""What each technology's record says of accounts of the hosts' own."""


def _record(technology: str, port: int, addresses: list[str], user: str) -> str:
    return f"""
[[records]]
title = "{technology.capitalize()} hosts on port {port}"
technology = "{technology}"
login_type = "Authentication Vault"
user = "{user}"
vault = "Secret Server Vault"
secret = "{technology}-{{address}}"
{_OWN[technology]}
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
