"""The whole product at steady load: `python -m tests.bench.product [--only ssh]`, a part of `make bench`.

`keymuster run` over simulated hosts: a credential of its own for each, looked up by name and viewed in the simulated
vault; known host keys, pacing, privilege check, evidence and store as users have them. Each round has a state directory
of its own, so that every host is seen for the first time.

CPU is user and system time of our processes from /proc, between the moments when a fifth and nine tenths of the targets
had been read from the vault: start and end of a run are in no figure. Of a scan process that is replaced in between
(after some thousands of targets) nothing is lost but what it spent since the last look, at most LOOK_S before its end.
The login engine alone, on the same hosts, stands beside it: the difference is what the product adds. Estate and vault
are on the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from targets import estate as simulated
from targets import spec
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import KEYMUSTER
from tests.bench.engines.contest import Figure, PythonClient
from tests.bench.engines.measure import WARM, Host
from tests.bench.engines.targets import Check, judge
from tests.bench.processes import below, cpu_of

HOSTS, ROUNDS = 4_000, 3
USER = "scan"
FROM, TO = 0.2, 0.9
"""The part of a run that is looked at."""
LOOK_S = 0.25
RUN_S = 300
ENGINE_HOSTS = 1_000
IN_FLIGHT = 64
"""Of the engine alone."""


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    technology: str
    network: str
    cpu_ms: float
    """At most, for a login."""
    rate: float
    """Logins per second, at least."""

    @property
    def port(self) -> str:
        return f"{self.name}_port"

    @property
    def title(self) -> str:
        return self.name.upper()


SSH = Kind("ssh", "unix", "127.50.0.0/16", 1.8, 450)
SMB = Kind("smb", "windows", "127.60.0.0/16", 3.9, 300)
KINDS = (SSH, SMB)

PARTS = {
    "nats-server": ("nats-server",),
    "scan processes": ("appliance.worker",),
    "supervisor": ("appliance", "--embedded"),
    "orchestrator": ("run",),
}
"""Our processes by words of their command lines; the first that fits."""


@dataclass(frozen=True, slots=True)
class Look:
    at: float
    done: int
    spent: dict[str, float]
    """CPU seconds so far, by part."""


@dataclass(frozen=True, slots=True)
class Steady:
    """A run between two looks."""

    rate: float
    ms: dict[str, float]
    """CPU of a login, by part."""

    @property
    def all_ms(self) -> float:
        return sum(self.ms.values())


def part_of(pid: int) -> str | None:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    names = {Path(word).name for word in words}
    if "launch.py" in names:  # it becomes another
        return None
    return next((part for part, wanted in PARTS.items() if names.issuperset(wanted)), None)


class Processes:
    """What a process and all below it have spent; what one that has ended had spent when it was last seen."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._spent: dict[int, tuple[str, float]] = {}

    def look(self) -> dict[str, float]:
        self._walk(self._pid)
        return {part: sum(s for p, s in self._spent.values() if p == part) for part in PARTS}

    def _walk(self, pid: int) -> None:
        try:
            part = part_of(pid)
        except OSError:
            return
        if part is not None:
            self._spent[pid] = (part, cpu_of(pid))
        for child in below(pid):
            self._walk(child)


def campaign(lab: Lab, kind: Kind) -> str:
    listed = json.dumps([host["address"] for host in lab.hosts])
    accounts = 'domain_type = "local"' if kind.technology == "windows" else 'accounts = "local"'
    secret, port = f"{kind.technology}-{{address}}", lab.ready[kind.port]
    return (
        f'name = "bench"\n{lab.vault_table()}\n[[records]]\ntitle = "Record"\ntechnology = "{kind.technology}"\n'
        f'user = "{USER}"\nvault = "Vault"\nsecret = "{secret}"\n{accounts}\nport = {port}\n'
        f"ips = {listed}\n[targets]\ninclude = {listed}\n"
    )


def run(lab: Lab, home: Path, text: str) -> Steady:
    file = home / "campaign.toml"
    file.write_text(text, encoding="utf-8")
    command = [str(KEYMUSTER), "run", str(file), "--state", str(home / "state"), "--format", "json", "--no-progress"]
    before = lab.vault_seen()["views"]
    looks: list[Look] = []
    with (
        tempfile.TemporaryFile("w+") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL) as process,
    ):
        processes, until = Processes(process.pid), time.monotonic() + RUN_S
        try:
            while process.poll() is None:
                assert time.monotonic() < until, f"the run had not ended after {RUN_S} s"
                done = lab.vault_seen()["views"] - before
                looks.append(Look(time.monotonic(), done, processes.look()))
                time.sleep(LOOK_S)
        finally:
            process.terminate()
        assert process.returncode == 0, process.returncode
        out.seek(0)
        totals = json.load(out)["totals"]
    targets = totals["planned"]
    assert totals["passed"] + totals["passed_limited"] == targets, totals
    return steady(looks, targets)


def steady(looks: Sequence[Look], targets: int) -> Steady:
    first = next(look for look in looks if look.done >= targets * FROM)
    last = next(look for look in looks if look.done >= targets * TO)
    assert last.done > first.done, "the run was over between two looks: it needs more hosts"
    logins = last.done - first.done
    ms = {part: (last.spent[part] - first.spent[part]) / logins * 1000 for part in PARTS}
    return Steady(logins / (last.at - first.at), ms)


def measure(kind: Kind, number: int, rounds: int) -> list[Check]:
    text = (
        f'seed = 5\n[[hosts]]\ncount = {number}\nnetwork = "{kind.network}"\ntechnology = "{kind.technology}"\n'
        f'user = "{USER}"\naccount = "local"\nsecret = "per-host"\n'
    )
    secrets = simulated.build(spec.parse(text)).secrets
    alone: list[Figure] = []
    whole: list[Steady] = []
    with tempfile.TemporaryDirectory(prefix="keymuster-bench-") as place, running_lab(Path(place), text) as lab:
        hosts = [Host(h["address"], USER, secrets[h["secret"]].material.password) for h in lab.hosts]
        engine = "ssh" if kind.technology == "unix" else "smb-rights"
        client = PythonClient("engine", "client", (engine, lab.ready[kind.port], IN_FLIGHT), ENGINE_HOSTS)
        for number_of_round in range(rounds):
            home = Path(place, f"round-{number_of_round}")
            home.mkdir()
            alone.append(client.run(hosts[: ENGINE_HOSTS + WARM]))
            whole.append(run(lab, home, campaign(lab, kind)))
    return rows(kind, number, alone, whole)


def rows(kind: Kind, number: int, alone: Sequence[Figure], whole: Sequence[Steady]) -> list[Check]:
    engine_ms, engine_rate = median(f.ms for f in alone), median(f.rate for f in alone)
    each = {part: median(one.ms[part] for one in whole) for part in PARTS}
    found, rate = median(one.all_ms for one in whole), median(one.rate for one in whole)
    print(f"\n{kind.title}, {number:,} hosts, {len(whole)} rounds        ms CPU   logins/s")
    print(f"  login engine alone          {engine_ms:9.2f} {engine_rate:10.0f}")
    print(f"  through Keymuster           {found:9.2f} {rate:10.0f}")
    for part, ms in each.items():
        print(f"    {part:25} {ms:9.2f}")
    sys.stdout.flush()
    name = f"whole product, {kind.title}"
    return [
        Check(name, "ms CPU", kind.cpu_ms, found, at_most=True),
        Check(name, "targets/s", kind.rate, rate, at_most=False),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[kind.name for kind in KINDS])
    parser.add_argument("--hosts", type=int, default=HOSTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    print(f"The whole product; {os.cpu_count()} cores, shared with estate and vault", flush=True)
    checks = [
        check for kind in KINDS if given.only in (None, kind.name) for check in measure(kind, given.hosts, given.rounds)
    ]
    print()
    for check in checks:
        print(judge(check))
    return 0


if __name__ == "__main__":
    sys.exit(main())
