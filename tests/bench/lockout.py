"""`python -m tests.bench.lockout [--hosts 5000]`: hosts of one domain share one account, and nobody is locked out.

Each row is an estate and a campaign of its own, with a directory that locks after five failed logons: a wrong secret;
one host of twenty silent, since a dead host is no canary; records that hosts are found for by the domain they name;
a password that changes on the hosts in the middle of the run; and the right secret, for the rate: beside what the run
measures, from the first attempt to the last outcome, stands what `plan` names after a run of a tenth of the hosts.
Exit code 1 where the directory has counted more failures than the record allows, has locked the account, or an outcome
is not one of those that the row may end in.
"""

from __future__ import annotations

import argparse
import json
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
    """Is its rate held against that of `plan`?"""


BY_ADDRESS = 'domain = "CORP"'
BY_DOMAIN = 'domain = "CORP"\ndomain_type = "netbios-service-selected"'
REFUSED = frozenset({"BAD_CREDENTIALS", "SKIPPED_BREAKER"})
ONE_IN_TWENTY = "wrong_password = 19, silent = 1"
ROWS = (
    Row("SMB, wrong secret", "windows", "wrong_password = 1", BY_ADDRESS, REFUSED),
    Row("SMB, the same, by the domain that hosts name", "windows", "wrong_password = 1", BY_DOMAIN, REFUSED),
    Row("SMB, the same, 5 % silent", "windows", ONE_IN_TWENTY, BY_DOMAIN, REFUSED | {"BANNER_TIMEOUT"}),
    Row("SSH, wrong secret", "unix", "wrong_password = 1", 'accounts = "CORP"', REFUSED),
    Row("SMB, rotated on the hosts in mid-run", "windows", "none = 1", BY_DOMAIN, REFUSED | {"PASSED"}, rotates=True),
    Row("SMB, right secret", "windows", "none = 1", BY_ADDRESS, frozenset({"PASSED"}), rated=True),
    Row("SSH, right secret", "unix", "none = 1", 'accounts = "CORP"', frozenset({"PASSED"}), rated=True),
)


def campaign(lab: Lab, row: Row) -> str:
    addresses = json.dumps([host["address"] for host in lab.hosts])
    port = lab.ready["smb_port" if row.technology == "windows" else "ssh_port"]
    ips = "" if "service-selected" in row.serves else f"ips = {addresses}\n"
    return (
        f'name = "lockout"\n{lab.vault_table()}\n[[records]]\ntitle = "Hosts"\ntechnology = "{row.technology}"\n'
        f'user = "scan"\nvault = "Vault"\nsecret = "{SECRET}"\n{row.serves}\nport = {port}\n{ips}'
        f'[targets]\ninclude = {addresses}\ntechnologies = ["{row.technology}"]\n[pace]\nretries = 0\n'
    )


def run(row: Row, hosts: int) -> bool:
    estate = ESTATE.format(hosts=hosts, technology=row.technology, faults=row.faults, secret=SECRET)
    with tempfile.TemporaryDirectory(prefix="keymuster-bench-") as place, running_lab(Path(place), estate) as lab:
        file = Path(place) / "campaign.toml"
        file.write_text(campaign(lab, row), encoding="utf-8")
        state = Path(place) / "state"
        predicted = planned_rate(file, state, sample=max(hosts // 10, 50)) if row.rated else None
        run, seconds = ended(file, state, lab, turn=hosts // 4 if row.rotates else 0)
        reasons = Counter(target["reason"] for target in run["targets"])
        [account] = lab.metrics()["accounts"].values()
    kept = (
        account["failed"] <= BUDGET
        and not account["lockouts"]
        and set(reasons) <= row.may_end
        and reasons.total() == hosts
    )
    ends = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    print(
        f"{row.name:46} {account['failed']} failed of {account['ok'] + account['failed']:,} logons, "
        f"{'not locked' if not account['lockouts'] else 'LOCKED'}; {ends}; {seconds:.0f} s"
        f"{'' if kept else '   NOT AS IT SHOULD BE'}",
        flush=True,
    )
    if predicted is not None:
        measured = rate_of(run)
        near = abs(predicted / measured - 1) <= NEAR
        print(
            f"{'':46} plan said {predicted:.1f} logins/s, {measured:.1f} measured: x {predicted / measured:.2f}; "
            f"within {NEAR:.0%}: {'yes' if near else 'NO'}",
            flush=True,
        )
    return kept


def ended(file: Path, state: Path, lab: Lab, *, turn: int) -> tuple[dict[str, Any], float]:
    """The run's report. After `turn` logins the password changes on the hosts, and not in the vault."""
    command = [str(KEYMUSTER), "run", str(file), "--state", str(state), "--format", "json", "--no-progress"]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        if turn:
            while lab.metrics()["ssh"]["logons_ok"] < turn and process.poll() is None:
                time.sleep(0.2)  # each answer counts all hosts
            lab.rotate(SECRET, "hosts")
        out, _ = process.communicate(timeout=COMMAND_S)
    assert process.returncode == 0, process.returncode
    return dict(json.loads(out)), time.monotonic() - began


def planned_rate(file: Path, state: Path, *, sample: int) -> float:
    """Logins a second of the account by `plan`, after a run of a part of the hosts."""
    told("run", file, state, "--sample", str(sample), "--no-progress")
    [account] = told("plan", file, state)["directories"]
    assert account["measured"]
    return float(account["logins_per_s"])


def told(command: str, file: Path, state: Path, *options: str) -> dict[str, Any]:
    line = [str(KEYMUSTER), command, str(file), "--state", str(state), "--json", *options]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=COMMAND_S)
    return dict(json.loads(done.stdout))


def rate_of(run: dict[str, Any]) -> float:
    """Logins a second, from the first attempt to the last outcome."""
    began = min(datetime.fromisoformat(target["started_at"]) for target in run["targets"])
    over = max(datetime.fromisoformat(target["finished_at"]) for target in run["targets"])
    return len(run["targets"]) / (over - began).total_seconds()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=5000)
    hosts = parser.parse_args().hosts
    kept = [run(row, hosts) for row in ROWS]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
