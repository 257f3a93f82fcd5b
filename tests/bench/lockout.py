"""`python -m tests.bench.lockout [--hosts 5000]`: hosts of one domain share one account, and nobody is locked out.

Each row is an estate and a campaign of its own, with a directory that locks after five failed logons: a wrong secret;
one host of twenty silent, since a dead host is no canary; records that hosts are found for by the domain they name;
a password that changes on the hosts in the middle of the run; and the right secret, for the rate.

Of the rate two things are said. The account's: logins a second of the middle four fifths, beside what budget and
latency allow, which is permits in flight by time per verdict, both of the same run. And the run's: its time, beside
what it had predicted itself after a run of a tenth of the hosts, with the limit that `plan --capacity` named. Simulated
hosts share the machine. Those that answer at once keep its processors busy, and these bind; how busy they were stands
beside it. Those that take their time to answer, as hosts in a network do, leave it idle: there the account must bind.

Exit code 1 where the directory has counted more failures than the record allows, has locked the account, an outcome is
not one of those that the row may end in, or an account that binds has not the rate that it is allowed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import KEYMUSTER

BUDGET = 2
"""Failed logons that a record allows by default."""
FAR_BUDGET = 4
"""One below the directory's threshold."""
COMMAND_S = 1800
NEAR = 0.1
SECRET = "corp-scan"
ESTATE = """
seed = 4
[[directories]]
name = "CORP"
threshold = 5
[[hosts]]
count = {hosts}
technology = "{technology}"
network = "127.64.0.0/14"
user = "scan"
account = "CORP"
secret = "shared"
secret_name = "{secret}"
faults = {{ {faults} }}
{conduct}
"""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    technology: str
    faults: str
    serves: str
    """The record's lines that say whom it is for, beside its addresses."""
    may_end: frozenset[str]
    rotates: bool = False
    rated: bool = False
    """Is its rate held against what budget and latency allow, and its time against the run's prediction?"""
    conduct: str = ""
    """The hosts' lines that say how long they take."""
    budget: int = BUDGET


BY_ADDRESS = 'domain = "CORP"'
BY_DOMAIN = 'domain = "CORP"\ndomain_type = "netbios-service-selected"'
FAR = 'latency = "800ms"\njitter = "400ms"'
"""A login's four stages take 0.2 s each: the verdict comes so long after the password."""
PASSED = frozenset({"PASSED"})
REFUSED = frozenset({"BAD_CREDENTIALS", "SKIPPED_BREAKER"})
ONE_IN_TWENTY = "wrong_password = 19, silent = 1"
ROWS = (
    Row("SMB, wrong secret", "windows", "wrong_password = 1", BY_ADDRESS, REFUSED),
    Row("SMB, the same, by the domain that hosts name", "windows", "wrong_password = 1", BY_DOMAIN, REFUSED),
    Row("SMB, the same, 5 % silent", "windows", ONE_IN_TWENTY, BY_DOMAIN, REFUSED | {"BANNER_TIMEOUT"}),
    Row("SSH, wrong secret", "unix", "wrong_password = 1", 'accounts = "CORP"', REFUSED),
    Row("SMB, rotated on the hosts in mid-run", "windows", "none = 1", BY_DOMAIN, REFUSED | {"PASSED"}, rotates=True),
    Row("SMB, right secret", "windows", "none = 1", BY_ADDRESS, PASSED, rated=True),
    Row("SSH, right secret", "unix", "none = 1", 'accounts = "CORP"', PASSED, rated=True),
    Row("SMB, right secret, 0.8 s away", "windows", "none = 1", BY_ADDRESS, PASSED, False, True, FAR, FAR_BUDGET),
    Row("SSH, right secret, 0.8 s away", "unix", "none = 1", 'accounts = "CORP"', PASSED, False, True, FAR, FAR_BUDGET),
)


def campaign(lab: Lab, row: Row) -> str:
    addresses = json.dumps([host["address"] for host in lab.hosts])
    port = lab.ready["smb_port" if row.technology == "windows" else "ssh_port"]
    ips = "" if "service-selected" in row.serves else f"ips = {addresses}\n"
    return (
        f'name = "lockout"\n{lab.vault_table()}\n[[records]]\ntitle = "Hosts"\ntechnology = "{row.technology}"\n'
        f'user = "scan"\nvault = "Vault"\nsecret = "{SECRET}"\n{row.serves}\nport = {port}\n{ips}'
        f"failure_budget = {row.budget}\n"
        f'[targets]\ninclude = {addresses}\ntechnologies = ["{row.technology}"]\n[pace]\nretries = 0\n'
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended."""

    report: dict[str, Any]
    seconds: float
    cpu_s: float
    """Of the run and all its children."""
    machine: float
    """How much of the machine's processors was in use, by whomever."""


def run(row: Row, hosts: int) -> bool:
    estate = ESTATE.format(
        hosts=hosts, technology=row.technology, faults=row.faults, secret=SECRET, conduct=row.conduct
    )
    with tempfile.TemporaryDirectory(prefix="keymuster-bench-") as place, running_lab(Path(place), estate) as lab:
        file = Path(place) / "campaign.toml"
        file.write_text(campaign(lab, row), encoding="utf-8")
        state = Path(place) / "state"
        bound = named_bound(file, state, sample=max(hosts // 10, 50)) if row.rated else ""
        run = ended(file, state, lab, turn=hosts // 4 if row.rotates else 0)
        reasons = Counter(target["reason"] for target in run.report["targets"])
        [account] = lab.metrics()["accounts"].values()
        allowed = allowed_rate(file, state, run) if row.rated else 0.0
    kept = (
        account["failed"] <= row.budget
        and not account["lockouts"]
        and set(reasons) <= row.may_end
        and reasons.total() == hosts
    )
    ends = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    print(
        f"{row.name:46} {account['failed']} failed of {account['ok'] + account['failed']:,} logons, "
        f"{'not locked' if not account['lockouts'] else 'LOCKED'}; {ends}; {run.seconds:.0f} s"
        f"{'' if kept else '   NOT AS IT SHOULD BE'}",
        flush=True,
    )
    return kept if not row.rated else rated(row, run, allowed, bound) and kept


def rated(row: Row, run: Ended, allowed: float, bound: str) -> bool:
    """Says how fast it was. False where the account should have bound it, and did not."""
    rate = middle_rate(run.report)
    told = run.report["prediction"]
    predicted, actual = told["predicted"]["duration_s"], told["actual"]["duration_s"]
    print(
        f"{'':46} {row.budget} permits by {1000 * row.budget / allowed:.0f} ms a verdict allow {allowed:.1f} logins/s, "
        f"{rate:.1f} measured: x {rate / allowed:.2f}; within {NEAR:.0%}: {near(rate / allowed)}\n"
        f"{'':46} predicted {predicted:.1f} s, bound by {bound}; took {actual:.1f} s: x {predicted / actual:.2f}; "
        f"within {NEAR:.0%}: {near(predicted / actual)}\n"
        f"{'':46} the machine was {run.machine:.0%} busy, {1000 * run.cpu_s / len(run.report['targets']):.1f} ms CPU a "
        "login by the run",
        flush=True,
    )
    return not row.conduct or near(rate / allowed) == "yes"


def near(ratio: float) -> str:
    return "yes" if abs(ratio - 1) <= NEAR else "NO"


def ended(file: Path, state: Path, lab: Lab, *, turn: int) -> Ended:
    """After `turn` logins the password changes on the hosts, and not in the vault."""
    command = [str(KEYMUSTER), "run", str(file), "--state", str(state), "--format", "json", "--no-progress"]
    before, busy, idle = resource.getrusage(resource.RUSAGE_CHILDREN), *ticks()
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        if turn:
            while lab.metrics()["ssh"]["logons_ok"] < turn and process.poll() is None:
                time.sleep(0.2)  # each answer counts all hosts
            lab.rotate(SECRET, "hosts")
        out, _ = process.communicate(timeout=COMMAND_S)
    assert process.returncode == 0, process.returncode
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy, idle = (later - earlier for later, earlier in zip(ticks(), (busy, idle), strict=True))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ended(dict(json.loads(out)), seconds, cpu, busy / max(busy + idle, 1))


def ticks() -> tuple[int, int]:
    """Of all processors since the machine's start: in use, and idle (proc(5))."""
    user, nice, system, idle, waiting, *others = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return user + nice + system + sum(others), idle + waiting


def named_bound(file: Path, state: Path, *, sample: int) -> str:
    """The limit that `plan --capacity` names, after a run of a part of the hosts."""
    told("run", file, state, "--sample", str(sample), "--no-progress")
    return str(told("plan", file, state, "--capacity")["bound_by"]["limit"])


def allowed_rate(file: Path, state: Path, run: Ended) -> float:
    """Logins a second of the account: its budget by the time that this run's permits were out."""
    [account] = told("plan", file, state, "--capacity", "--like", run.report["run"]["id"])["accounts"]
    assert account["measured"]
    return float(account["logins_per_s"])


def told(command: str, file: Path, state: Path, *options: str) -> dict[str, Any]:
    line = [str(KEYMUSTER), command, str(file), "--state", str(state), "--json", *options]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=COMMAND_S)
    return dict(json.loads(done.stdout))


def middle_rate(run: dict[str, Any]) -> float:
    """Logins a second of the middle four fifths: without the start of scan processes, and the canary."""
    over = sorted(datetime.fromisoformat(target["finished_at"]) for target in run["targets"])
    first, last = len(over) // 10, len(over) * 9 // 10
    return (last - first) / (over[last] - over[first]).total_seconds()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=5000)
    parser.add_argument("--row", action="append", default=[], help="Only rows that begin with this; may be repeated.")
    given = parser.parse_args()
    rows = [row for row in ROWS if not given.row or row.name.startswith(tuple(given.row))]
    kept = [run(row, given.hosts) for row in rows]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
