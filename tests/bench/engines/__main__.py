"""The login engines beside their peers: `python -m tests.bench.engines [--rounds 5]`, a part of `make bench`.

Each table is one contest: all its clients log in to the same hosts by turns, and the figures are medians over the
rounds. CPU is a client's own, user and system; the servers are processes of their own, and share the machine: compare
within a table. Python clients are measured from their warmed-up loop on, programs with their start.

With `--profile` (`make bench-profile`): CPU per phase of a login, and what each measure of the fast paths is worth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

from targets import estate as simulated
from targets import spec
from tests.acceptance.lab import running_lab
from tests.bench.engines import programs
from tests.bench.engines.ablation import SMB as SMB_MEASURES
from tests.bench.engines.ablation import SSH as SSH_MEASURES
from tests.bench.engines.contest import Client, PythonClient, Standing, contest
from tests.bench.engines.measure import WARM, Host
from tests.bench.engines.targets import Check, at_least, at_most, judge
from tests.peers.environments import PLACE
from tests.peers.private import ADDRESSES
from tests.peers.smbd import running_smbd
from tests.peers.sshd import running_sshd

ROUNDS = 3
SSH_HOSTS, SMB_HOSTS, REAL_SMB, REAL_SSH = 600, 600, 300, 40
PROFILED = 400
FEW, LONELY = 60, 12
"""What slow programs log in to: they come to seconds of CPU even so."""
OURS, PLAIN = "Keymuster", "Keymuster --no-fast-path"
NETEXEC = Standing((), "on no package index")


def python_of(environment: str) -> str:
    return str(PLACE / environment / "bin" / "python")


def ours(kind: str, port: int, in_flight: int, hosts: int, name: str = OURS) -> Sequence[Client]:
    given = (kind, port, in_flight)
    return (
        PythonClient(name, "client", given, hosts),
        PythonClient(f"{name} --no-fast-path", "client", (*given, "--no-fast-path"), hosts),
    )


@contextmanager
def simulated_hosts(technology: str, network: str, count: int) -> Iterator[tuple[int, list[Host]]]:
    """Their port, and that many hosts that share one secret."""
    text = (
        f'seed = 5\n[[hosts]]\ntechnology = "{technology}"\ncount = {count}\nnetwork = "{network}"\n'
        'user = "scan"\naccount = "local"\nsecret = "shared"\n'
    )
    secrets = simulated.build(spec.parse(text)).secrets
    with tempfile.TemporaryDirectory(prefix="keymuster-bench-") as home, running_lab(Path(home), text) as lab:
        port = lab.ready["ssh_port" if technology == "unix" else "smb_port"]
        yield port, [Host(h["address"], "scan", secrets[h["secret"]].material.password) for h in lab.hosts]


def table(title: str, standings: dict[str, Standing]) -> None:
    print(f"\n{title}")
    for name, standing in standings.items():
        if standing.figures:
            why = f"; then {standing.why}" if standing.why else ""
            runs = f"n={len(standing.figures)}{why}"
            print(f"  {name:36} {standing.ms:9.2f} ms CPU {standing.rate:8.1f} logins/s   {runs}")
        else:
            print(f"  {name:36} not measured: {standing.why}")
    sys.stdout.flush()


def ssh(rounds: int) -> list[Check]:
    with simulated_hosts("unix", "127.50.0.0/16", SSH_HOSTS + WARM) as (port, hosts):
        password = hosts[0].password
        fast = python_of("bench_ssh")
        found = contest(
            [
                *ours("ssh", port, 64, SSH_HOSTS),
                PythonClient("asyncssh, default", "library_ssh", (port, 64), SSH_HOSTS),
                PythonClient("parallel-ssh", "peers.parallel_ssh", (port, 64), SSH_HOSTS, fast),
                PythonClient("ssh2-python, 16 threads", "peers.ssh2_python", (port, 16), SSH_HOSTS, fast),
                programs.medusa(port, 64, SSH_HOSTS),
                programs.ncrack(port, FEW),
                programs.hydra(port, 64, FEW),
                programs.openssh_loop(port, 64, FEW, password),
                PythonClient("pyinfra", "peers.pyinfra_api", (port, 64), FEW, python_of("bench_pyinfra")),
                programs.ansible(port, 64, LONELY, password),
            ],
            hosts,
            rounds,
        )
    table("SSH: dial, password, a command, close; simulated hosts, 64 in flight", found | {"NetExec": NETEXEC})
    engine = "SSH engine, 64 in flight"
    return [
        at_most(engine, "ms CPU", 0.9, found[OURS], stretch=0.75),
        at_most(engine, "x asyncssh's CPU", 0.62, found[OURS], found["asyncssh, default"]),
        at_most(engine, "x ssh2-python's CPU", 2.0, found[OURS], found["ssh2-python, 16 threads"]),
        at_least("OpenSSH in a loop", "x our CPU", 10.0, found["OpenSSH, sshpass in a loop"], found[OURS]),
        at_least("Ansible", "x our CPU", 10.0, found["Ansible, raw"], found[OURS]),
    ]


def ssh_one_by_one(rounds: int) -> list[Check]:
    with running_sshd() as sshd:
        hosts = [Host(a, "good", sshd.passwords["good"]) for a in islice(cycle(ADDRESSES), REAL_SSH + WARM)]
        found = contest(
            [
                *ours("ssh", sshd.port, 1, REAL_SSH),
                PythonClient("asyncssh, default", "library_ssh", (sshd.port, 1), REAL_SSH),
                programs.medusa(sshd.port, 1, len(ADDRESSES)),
            ],
            hosts,
            rounds,
        )
    table("SSH: the same at a real OpenSSH, one at a time", found)
    what = "SSH engine, one at a time"
    return [at_least(what, "x asyncssh's logins/s", 2.5, found[OURS], found["asyncssh, default"], rate=True)]


def smb(rounds: int) -> list[Check]:
    addresses = [f"127.60.{n // 250}.{n % 250 + 1}" for n in range(REAL_SMB + WARM)]
    with running_smbd() as servers:
        server = servers["plain"]
        hosts = [Host(address, "smbadmin", server.passwords["smbadmin"]) for address in addresses]
        port, environment = server.port, python_of("bench_smb")
        found = contest(
            [
                *ours("smb", port, 16, REAL_SMB),
                PythonClient("impacket, 16 threads", "library_smb", (port, 16), REAL_SMB),
                PythonClient("smbprotocol, 16 threads", "peers.smbprotocol_threads", (port, 16), REAL_SMB, environment),
                PythonClient("aiosmb (SMB 2.1)", "peers.aiosmb_tasks", (port, 16), REAL_SMB, environment),
            ],
            hosts,
            rounds,
        )
        rights = contest(ours("smb-rights", port, 16, REAL_SMB), hosts, rounds)
    table("SMB: negotiate, NTLMv2, IPC$ and ADMIN$, log-off; real Samba, 16 in flight", found)
    table("SMB: the same with C$, svcctl and winreg (no target)", rights)
    engine = "SMB engine, 16 in flight"
    return [
        at_most(engine, "ms CPU", 3.5, found[OURS], stretch=1.9),
        at_most(engine, "x impacket's CPU", 0.55, found[OURS], found["impacket, 16 threads"]),
    ]


def smb_flat(rounds: int) -> list[Check]:
    with simulated_hosts("windows", "127.51.0.0/16", SMB_HOSTS + WARM) as (port, hosts):
        counts = (16, 64, 512)
        clients = [PythonClient(f"{n} in flight", "client", ("smb", port, n), SMB_HOSTS) for n in counts]
        found = contest(clients, hosts, rounds)
    table("SMB: the same, by how many are in flight; simulated hosts", found)
    what = "SMB engine, 512 in flight"
    return [at_most(what, "x the CPU of 16 in flight", 1.1, found["512 in flight"], found["16 in flight"])]


def profile(rounds: int) -> None:
    """CPU per phase, one login at a time, which costs more than when they come in crowds; and what each measure of the
    fast paths saves, 64 in flight.
    """
    for kind, technology, network, measures in (
        ("ssh", "unix", "127.50.0.0/16", SSH_MEASURES),
        ("smb-rights", "windows", "127.51.0.0/16", SMB_MEASURES),
    ):
        with simulated_hosts(technology, network, PROFILED + WARM) as (port, hosts):
            phases(kind, port, hosts)
            whole, without = "all of them", {f"without: {name}": name for name in measures}
            clients = [PythonClient(whole, "client", (kind, port, 64), PROFILED)]
            clients += [
                PythonClient(shown, "ablation", (kind, port, name), PROFILED) for shown, name in without.items()
            ]
            clients.append(PythonClient("without any", "client", (kind, port, 64, "--no-fast-path"), PROFILED))
            table(
                f"{kind}: what the measures of the fast path are worth, 64 in flight", contest(clients, hosts, rounds)
            )


def phases(kind: str, port: int, hosts: Sequence[Host]) -> None:
    given = "".join(f"{h.address} {h.user} {h.password}\n" for h in hosts)
    command = [sys.executable, "-m", "tests.bench.engines.client", kind, str(port), "1", "--phases"]
    told = []
    for way in ([], ["--no-fast-path"]):
        done = subprocess.run([*command, *way], input=given, capture_output=True, text=True, check=True)
        told.append(json.loads(done.stdout))
    print(f"\n{kind}: ms CPU a login by phase, one at a time, with the fast path and without")
    for phase, ms in told[0].items():
        print(f"  {phase:12} {ms:7.3f} {told[1][phase]:7.3f}")
    print(f"  {'all':12} {sum(told[0].values()):7.3f} {sum(told[1].values()):7.3f}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--only", choices=["ssh", "ssh-one", "smb", "smb-flat"], default=None)
    given = parser.parse_args(arguments)
    if given.profile:
        profile(given.rounds)
        return 0
    parts = {"ssh": ssh, "ssh-one": ssh_one_by_one, "smb": smb, "smb-flat": smb_flat}
    of_root = ("ssh-one", "smb")
    checks: list[Check] = []
    for name, part in parts.items():
        if given.only not in (None, name):
            continue
        if name in of_root and os.geteuid() != 0:
            print(f"\n{name}: not measured; real servers are started as root only")
            continue
        checks += part(given.rounds)
    print("\nTargets of the engines")
    for check in checks:
        print(judge(check))
    return 0


if __name__ == "__main__":
    sys.exit(main())
