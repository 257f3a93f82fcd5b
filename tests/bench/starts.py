"""`python -m tests.bench.starts [--rounds 10]`: the CPU of each program's start, and of commands that are given often.

CPU is user and system time of a process and of all that it has started and waited for, from the kernel's accounting
(wait4), so that a run counts with its bus, supervisor and scan processes. Rounds take turns with the rows. A program
that goes on is measured by what it loads before its first job. Byte code is there already, as after an installation:
the first round, which is not counted, writes it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import KEYMUSTER, Product

LOADED = {
    "scan process, loaded": "import appliance.worker, appliance.bus.opening, appliance.wiring",
    "supervisor, loaded": "import appliance.embedded, appliance.vault.grantor",
}
"""As they do it themselves: nothing is collected meanwhile, and what is there is frozen."""
QUIET = "import gc; gc.disable()\n{}\ngc.freeze()"
IMPORTS = ("import appliance.worker", "import appliance.__main__, appliance.embedded")
"""The same two up to their greeting, collected as usual."""
ESTATE = """
seed = 5
[[hosts]]
count = 3
network = "127.50.0.0/16"
user = "scan"
account = "local"
secret = "per-host"
[[hosts]]
count = 1
network = "127.51.0.0/16"
user = "scan"
account = "local"
secret = "per-host"
fault = "silent"
"""
"""The silent one keeps a run under way for as long as it may take."""
FIRST_S = 60.0
AGAIN_S = 2.0


def campaign(lab: Lab, file: Path, network: str, deadline: str) -> Path:
    listed = json.dumps([host["address"] for host in lab.hosts if host["address"].startswith(network)])
    file.write_text(
        f'name = "starts"\n{lab.vault_table()}\n[[records]]\ntitle = "Record"\ntechnology = "unix"\nuser = "scan"\n'
        f'vault = "Vault"\nsecret = "unix-{{address}}"\naccounts = "local"\nport = {lab.ready["ssh_port"]}\n'
        f'ips = {listed}\n[targets]\ninclude = {listed}\n[pace]\ndeadline = "{deadline}"\n',
        encoding="utf-8",
    )
    return file


def cpu_ms(command: Sequence[str], until: Callable[[subprocess.Popen[str]], None] | None = None) -> float:
    """Of a command to its end, or till it is told to end `until` it has come so far."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        if until is None:
            process.stdout.read()
        else:
            until(process)
            process.terminate()
        _, status, spent = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    return 1000 * (spent.ru_utime + spent.ru_stime)


def first_line(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline(), "it ended before it was ready"


def measured(lab: Lab, place: Path, rounds: int) -> dict[str, list[float]]:
    small = campaign(lab, place / "small.toml", "127.50.", "30s")
    long = campaign(lab, place / "long.toml", "127.51.", "10m")
    held, estate = Product(place / "held"), place / "estate.toml"
    found: defaultdict[str, list[float]] = defaultdict(list)
    with subprocess.Popen(held.command("run", long, "--no-progress"), stdout=subprocess.DEVNULL) as holder:
        try:
            run = under_way(held)
            for number in range(rounds + 1):
                fresh = Product(place / f"state-{number}")
                rows: dict[str, float] = {"keymuster --version": cpu_ms([str(KEYMUSTER), "--version"])}
                for name, loads in LOADED.items():
                    rows[name] = cpu_ms([sys.executable, "-c", QUIET.format(loads)])
                rows |= {code: cpu_ms([sys.executable, "-c", code]) for code in IMPORTS}
                lab_state = ["--state", str(place / f"lab-{number}")]
                serve = [sys.executable, "-m", "targets", str(estate), *lab_state]
                rows["estate of 4 hosts, up and down"] = cpu_ms(serve, first_line)
                rows["keymuster run, 3 hosts"] = cpu_ms(fresh.command("run", small, "--no-progress"))
                rows["keymuster runs"] = cpu_ms(fresh.command("runs"))
                rows["keymuster report"] = cpu_ms(fresh.command("report"))
                rows["keymuster pause RUN, held"] = cpu_ms(held.command("pause", run, "--no-wait"))
                rows["keymuster resume RUN, held"] = cpu_ms(held.command("resume", run))
                for name, value in rows.items():
                    if number:
                        found[name].append(value)
        finally:
            # Told once, it finishes what is in flight; told again, it ends. Two signals at once would be one.
            while holder.poll() is None:
                holder.terminate()
                with suppress(subprocess.TimeoutExpired):
                    holder.wait(AGAIN_S)
    return found


def under_way(held: Product) -> str:
    """The run, when it is."""
    end = time.monotonic() + FIRST_S
    while time.monotonic() < end:
        listed = held("runs", "--json")
        runs = listed.document["runs"] if listed.code == 0 else []
        if runs and runs[0]["state"] == "running":
            return str(runs[0]["id"])
        time.sleep(0.5)
    raise AssertionError("the run of one silent host did not begin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="keymuster-starts-") as name, running_lab(Path(name), ESTATE) as lab:
        found = measured(lab, Path(name), given.rounds)
    print(f"{os.cpu_count()} cores, {given.rounds} rounds{'':38} ms CPU: median (least, most)")
    for row, values in found.items():
        print(f"  {row:52} {statistics.median(values):8.0f} ({min(values):.0f}, {max(values):.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
