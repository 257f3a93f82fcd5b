"""`keymuster lab up` and `lab vault`: a simulated estate or vault in the foreground, and the campaign for an estate."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import ceil
from pathlib import Path
from typing import Any, TextIO

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from appliance.launch import launch_argv
from orchestrator.cli.errors import BadInput, CommandError, Exit
from orchestrator.cli.estate_files import read_truth

READY_S = 60.0
STOP_S = 5.0
DEADLINE_S = 3
IN_FLIGHT_A_CORE, IN_FLIGHT_MAX = 24, 256
"""Targets in flight in a lab's campaign: hosts, vault and scanner share this machine's cores, and with more of them in
flight a host that is well is as late as one that is not: with 48 on two slow cores, which do 38 logins a second, a good
login takes 1.3 s of its 3."""

# What each technology's record says of accounts of the hosts' own, and of those of a directory.
_ACCOUNTS = {
    "unix": 'accounts = "{account}"',
    "windows": 'domain_type = "netbios-user-selected"\ndomain = "{account}"',
}
_LOCAL = {"unix": _ACCOUNTS["unix"], "windows": 'domain_type = "local"'}


# -- an estate ---------------------------------------------------------------------------------------------------------


async def up(estate: Path, state: Path, campaign: Path | None, shards: int | None) -> Exit:
    """Serve an estate until Ctrl-C or SIGTERM; optionally write the campaign for it."""
    given = estate if str(estate) != "-" else await anyio.to_thread.run_sync(_received, state, sys.stdin)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with serving(given, state, shards) as ready:
            if given != estate:  # till now the directory may have been another lab's, with an estate of its own there
                await anyio.to_thread.run_sync(given.replace, state / "estate.toml")
            print(json.dumps(dict(ready)), flush=True)
            if campaign is not None:
                await anyio.to_thread.run_sync(_write, campaign, campaign_text(ready, read_truth(Path(ready["truth"]))))
                sys.stderr.write(f"{campaign} written: `keymuster run {campaign}`, then `keymuster lab score`\n")
            async for _ in signals:
                return Exit.OK
    return Exit.OK


async def vault(
    estate: Path | None, state: Path, seed: int | None, port: int, tls: bool, client_certificates: bool
) -> Exit:
    """Serve a simulated vault alone until Ctrl-C or SIGTERM."""
    options = ["--vault-only", "--port", str(port), *(["--tls"] if tls else [])]
    options += ["--client-certificates"] if client_certificates else []
    options += [] if seed is None else ["--seed", str(seed)]
    options += [] if estate is None else [str(estate)]
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with _lab(state, *options) as ready:
            print(json.dumps(dict(ready)), flush=True)
            given = {"--cacert": ready["ca"], "--cert": ready["client_cert"], "--key": ready["client_key"]}
            shown = "".join(f"{option} {shlex.quote(path)} " for option, path in given.items() if path)
            sys.stderr.write(
                f"{ready['secrets']:,} secrets at {ready['url']}; users and their passwords: {ready['users_file']}\n"
                f"Try: curl {shown}-d grant_type=password -d username={ready['user']}"
                f" --data-urlencode password@{shlex.quote(ready['password_file'])} {ready['url']}/oauth2/token\n"
            )
            async for _ in signals:
                return Exit.OK
    return Exit.OK


@asynccontextmanager
async def serving(estate: Path, state: Path, shards: int | None = None) -> AsyncIterator[Mapping[str, Any]]:
    """A lab process that serves an estate; its ready line. Raises BadInput when it does not come up."""
    async with _lab(state, str(estate), *([] if shards is None else ["--shards", str(shards)])) as ready:
        yield ready


@asynccontextmanager
async def _lab(state: Path, *options: str) -> AsyncIterator[Mapping[str, Any]]:
    # It must not outlive us, however we end.
    argv = launch_argv([sys.executable, "-m", "targets", "--state", str(state), *options])
    process = await anyio.open_process(argv, stdin=subprocess.DEVNULL, stderr=None, start_new_session=True)
    assert process.stdout is not None  # noqa: S101 - it is a pipe by default
    try:
        with anyio.fail_after(READY_S):
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1 << 16)
        needed = True
        async with anyio.create_task_group() as group:
            group.start_soon(_until_it_ends, process, group.cancel_scope, name="the lab, that it does not end")
            yield json.loads(line)
            needed = False
            group.cancel_scope.cancel()
        if needed:
            raise CommandError(f"the simulated estate has ended with exit code {process.returncode}; see above")
    except anyio.IncompleteRead:
        raise BadInput("the simulated estate did not come up; its error is above") from None
    except TimeoutError:
        raise CommandError(f"the simulated estate was not ready in {READY_S:g} s") from None
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
            with anyio.move_on_after(STOP_S):
                await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def _until_it_ends(process: Process, then: anyio.CancelScope) -> None:
    """Who needs the lab is cancelled with it."""
    await process.wait()
    then.cancel()


def _received(state: Path, source: TextIO) -> Path:
    """The estate that is read from here, as a file beside what the lab writes."""
    file, text = state / "estate.toml.new", source.read()
    if not text.strip():
        raise BadInput("no estate has come on stdin: `keymuster lab preset small | keymuster lab up -`")
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make the directory {state}: {error.strerror}") from None
    _write(file, text)
    return file


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {file}: {error.strerror}") from None


# -- the campaign for it -----------------------------------------------------------------------------------------------


def campaign_text(ready: Mapping[str, Any], truth: Sequence[Mapping[str, Any]], *, name: str = "lab") -> str:
    """The campaign for an estate: one record for all hosts that are logged in to alike."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for host in truth:
        alike = (
            host["technology"],
            host["port"],
            host["user"],
            host["account"],
            host["login"],
            _root(host),
            _secret(host),
        )
        groups.setdefault(alike, []).append(host)
    known_hosts = ready.get("known_hosts", "")
    records = "".join(_record(number, hosts, known_hosts) for number, hosts in enumerate(groups.values(), 1))
    return f"""\
name = "{name}"

[[vaults]]
title = "Secret Server Vault"
type = "Thycotic Secret Server"
url = "{ready["vault_url"]}"
user = "{ready["vault_user"]}"
password = {{ file = {json.dumps(ready["vault_password_file"])} }}
{_tls(ready)}{records}
[targets]
include = {json.dumps(_ranges(truth))}

[pace]
deadline = "{_deadline(truth)}s"
capacity = {_in_flight()}
vault_patience = "5s"
throttle_patience = "8s"
"""


def _in_flight() -> int:
    return min(IN_FLIGHT_A_CORE * (os.cpu_count() or 1), IN_FLIGHT_MAX)


def _deadline(truth: Iterable[Mapping[str, Any]]) -> int:
    """Seconds: as much as hosts at once need, and what the slowest takes longer."""
    return DEADLINE_S + ceil(max((float(host.get("latency", 0)) for host in truth), default=0.0))


def _tls(ready: Mapping[str, Any]) -> str:
    """What a client must know of the vault's https, and show it; empty by http."""
    given = {
        "ca": json.dumps(ready["vault_ca"]) if ready.get("vault_ca") else "",
        "client_cert": json.dumps(ready["vault_client_cert"]) if ready.get("vault_client_cert") else "",
        "client_key": f"{{ file = {json.dumps(ready['vault_client_key'])} }}" if ready.get("vault_client_key") else "",
    }
    keys = ", ".join(f"{key} = {value}" for key, value in given.items() if value)
    return f"tls = {{ {keys} }}\n" if keys else ""


def _secret(host: Mapping[str, Any]) -> str:
    """The secret as a record gives it, in TOML."""
    if host.get("named_by") == "machine":
        return '{ machine = "{address}" }'
    return json.dumps(str(host["secret"]).replace(str(host["address"]), "{address}"))


def _root(host: Mapping[str, Any]) -> str:
    """How the record becomes root, in TOML."""
    if host["technology"] != "unix":
        return ""
    by_su = str(host.get("root_secret", "")).replace(str(host["address"]), "{address}")
    ways = {
        "own": '{ type = "sudo", password = "login" }',
        "su": f'{{ type = "su", secret = {json.dumps(by_su)} }}',
    }
    return f"root_delegation = {ways.get(host.get('root', 'free'), json.dumps('sudo'))}\n"


def _record(number: int, hosts: Sequence[Mapping[str, Any]], known_hosts: str) -> str:
    first = hosts[0]
    technology = first["technology"]
    accounts = (_LOCAL if first["account"] == "local" else _ACCOUNTS)[technology].format(account=first["account"])
    key = {"key": "private_key = true\n", "nt-hash": "nt_hash = true\n"}.get(first["login"], "")
    known = f"known_hosts = {json.dumps(known_hosts)}\n" if technology == "unix" else ""
    return f"""
[[records]]
title = "{technology.capitalize()} hosts {number}"
technology = "{technology}"
login_type = "Authentication Vault"
user = {json.dumps(first["user"])}
vault = "Secret Server Vault"
secret = {_secret(first)}
{accounts}
{_root(first)}{key}{known}port = {first["port"]}
ips = {json.dumps(_ranges(hosts))}
"""


def _ranges(hosts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Their addresses in order, consecutive ones as a range: an estate may have 65,536."""
    runs: list[tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]] = []
    for address in sorted({ip_address(host["address"]) for host in hosts}, key=lambda one: (one.version, int(one))):
        if runs and runs[-1][1].version == address.version and int(runs[-1][1]) + 1 == int(address):
            runs[-1] = runs[-1][0], address
        else:
            runs.append((address, address))
    return [str(first) if first == last else f"{first}-{last}" for first, last in runs]
