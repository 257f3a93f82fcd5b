"""`make bench`: the login engines beside their peers (`engines`); then logins per second and client CPU per login,
through the whole product beside the bare library.

Both log in to the same servers in the same run. The product's figures are the difference between a large and a small
campaign, so that start-up (a bus, a supervisor, scan processes) is not in them; its CPU is that of all its processes.
The servers share the machine with their clients: read the ratios, not the rates. The vault's client follows, alone
(`vault_clients`, whose options this command takes); its floors decide the exit code.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from targets import estate as simulated
from targets import spec
from tests.acceptance.lab import Lab, running_lab
from tests.bench import vault_clients
from tests.bench.engines import __main__ as engines
from tests.peers.smbd import running_smbd

KEYMUSTER = Path(sys.executable).parent / "keymuster"
SMALL = 40
SSH_HOSTS = 1000
SMB_HOSTS = 400
COMMAND_S = 300


@dataclass(frozen=True, slots=True)
class Figure:
    logins: int
    seconds: float
    cpu: float

    def __sub__(self, other: Figure) -> Figure:
        return Figure(self.logins - other.logins, self.seconds - other.seconds, self.cpu - other.cpu)

    def row(self, name: str, beside: Figure | None = None) -> str:
        rate, each = self.logins / self.seconds, self.cpu / self.logins * 1000
        text = f"{name:34} {rate:8.0f} logins/s {each:8.2f} ms CPU a login"
        if beside is None:
            return text
        faster = rate / (beside.logins / beside.seconds)
        dearer = each / (beside.cpu / beside.logins * 1000)
        return f"{text}   {faster:5.2f}x rate {dearer:5.2f}x CPU"


def bare(kind: str, port: int, hosts: Sequence[tuple[str, str, str]]) -> Figure:
    text = "".join(f"{' '.join(host)}\n" for host in hosts)
    command = [sys.executable, "-m", "tests.bench.bare", kind, str(port)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=COMMAND_S)
    logins, seconds, cpu = done.stdout.split()
    return Figure(int(logins), float(seconds), float(cpu))


def product(home: Path, name: str, campaign: str) -> Figure:
    file = home / f"{name}.toml"
    file.write_text(campaign, encoding="utf-8")
    command = [str(KEYMUSTER), "run", str(file), "--state", str(home / "state"), "--format", "json"]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=COMMAND_S)
    spent, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    totals = json.loads(done.stdout)["totals"]
    passed = totals["passed"] + totals["passed_limited"]
    assert passed == totals["planned"], done.stdout[:2000]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figure(passed, spent, cpu)


def campaign(vault: str, record: str, addresses: Sequence[str]) -> str:
    listed = json.dumps(list(addresses))
    return f'name = "bench"\n{vault}\n[[records]]\n{record}\nips = {listed}\n[targets]\ninclude = {listed}\n'


def ssh(home: Path) -> None:
    text = (
        "seed = 5\n[[hosts]]\n"
        f'count = {SSH_HOSTS + SMALL}\nnetwork = "127.50.0.0/16"\nuser = "scan"\n'
        'account = "local"\nsecret = "per-host"\n'
    )
    secrets = simulated.build(spec.parse(text)).secrets
    with running_lab(home, text) as running:
        hosts, port = running.hosts, running.ready["ssh_port"]
        record = (
            'title = "Unix"\ntechnology = "unix"\nuser = "scan"\nvault = "Vault"\nsecret = "unix-{address}"\n'
            f'accounts = "local"\nport = {port}'
        )

        def run(name: str, some: Sequence[dict[str, str]]) -> Figure:
            return product(home, name, campaign(running.vault_table(), record, [h["address"] for h in some]))

        small = run("ssh-small", hosts[:SMALL])
        ours = run("ssh", hosts[SMALL:]) - small
        keys = [(h["address"], "scan", secrets[h["secret"]].material.password) for h in hosts[SMALL:]]
        library = bare("ssh", port, keys)
    print(library.row("SSH, asyncssh alone"))
    print(ours.row("SSH, through Keymuster", library), flush=True)


def smb(home: Path) -> None:
    with running_smbd() as servers:
        server = servers["plain"]
        user = "smbadmin" if "smbadmin" in server.passwords else next(iter(server.passwords))
        password = server.passwords[user]
        secret = (
            f'seed = 6\n[[secrets]]\nname = "smb"\ntemplate = "windows"\nuser = "{user}"\npassword = "{password}"\n'
        )
        addresses = [f"127.60.{n // 250}.{n % 250 + 1}" for n in range(SMB_HOSTS + SMALL)]
        record = (
            f'title = "Windows"\ntechnology = "windows"\nuser = "{user}"\nvault = "Vault"\nsecret = "smb"\n'
            f'domain_type = "local"\nport = {server.port}'
        )
        with running_lab(home, secret) as running:
            ours = _smb_ours(home, running, record, addresses)
        library = bare("smb", server.port, [(a, user, password) for a in addresses[SMALL:]])
    print(library.row("SMB, impacket alone (threads)"))
    print(ours.row("SMB, through Keymuster", library), flush=True)


def _smb_ours(home: Path, running: Lab, record: str, addresses: Sequence[str]) -> Figure:
    small = product(home, "smb-small", campaign(running.vault_table(), record, addresses[:SMALL]))
    return product(home, "smb", campaign(running.vault_table(), record, addresses[SMALL:])) - small


def _made(home: str, name: str) -> Path:
    directory = Path(home, name)
    directory.mkdir()
    return directory


def main() -> int:
    print(f"{os.cpu_count()} cores; clients, servers and vault share them", flush=True)
    engines.main([])
    print("\nThe whole product beside the bare libraries")
    with tempfile.TemporaryDirectory(prefix="keymuster-bench-") as home:
        ssh(_made(home, "ssh"))
        if os.geteuid() == 0:
            smb(_made(home, "smb"))
        else:
            print("SMB: not measured; a real smbd is started as root only")
    print()
    return vault_clients.main()


if __name__ == "__main__":
    sys.exit(main())
