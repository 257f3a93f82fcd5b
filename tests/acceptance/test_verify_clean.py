"""`keymuster verify-clean`: clean after a run, and whatever is planted is found; what it could not look at, it says."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from targets import estate, spec
from targets.material import MARKER
from tests.acceptance.chaos.processes import descendants, until
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Product
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ESTATE = """
[[hosts]]
count = 6
network = "127.71.0.0/16"
faults = { none = 3, wrong_password = 1, closed = 1, secret_missing = 1 }

[[hosts]]
count = 2
network = "127.71.0.0/16"
login = "key"

[[hosts]]
network = "127.71.0.0/16"
fault = "silent"
"""
READ = 6
"""Secrets that the run had: neither those of the closed and silent hosts nor the missing one."""
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of other processes")


@dataclass(frozen=True, slots=True)
class Ran:
    keymuster: Product
    lab: Lab
    campaign: Path

    def verify(self, *more: str | Path) -> tuple[int, dict[str, Any]]:
        ended = self.keymuster("verify-clean", "--yes", "--json", *more)
        assert ended.code in (0, 1, 4), ended.stderr
        assert not MARKER.search((ended.stdout + ended.stderr).encode())
        conforms(ended.document, "verify-clean")
        return ended.code, ended.document

    @property
    def password(self) -> str:
        """What the first host takes."""
        name = next(h["secret"] for h in self.lab.hosts if h["fault"] == "none")
        return estate.build(spec.parse(ESTATE)).secrets[name].material.password


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    home = tmp_path_factory.mktemp("verify")
    with running_lab(home, ESTATE) as lab:
        keymuster, campaign = Product(home / "state"), home / "campaign.toml"
        campaign.write_text(campaign_of(lab), encoding="utf-8")
        ended = keymuster.run(campaign)
        assert ended.code == 0, ended.stderr
        yield Ran(keymuster, lab, campaign)


def campaign_of(lab: Lab) -> str:
    records = [
        f"""
[[records]]
title = "{title}"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {lab.ready["ssh_port"]}
private_key = {str(login == "key").lower()}
ips = {[h["address"] for h in lab.hosts if h["login"] == login]}
"""
        for title, login in (("Password", "password"), ("Key", "key"))
    ]
    targets = f"[targets]\ninclude = {[h['address'] for h in lab.hosts]}\n[pace]\nretries = 0\ndeadline = '8s'\n"
    return f'name = "verified"\n{lab.vault_table()}{"".join(records)}{targets}'


def test_a_run_leaves_nothing_and_its_secrets_alone_are_read_again(ran: Ran) -> None:
    before = ran.lab.vault_seen()
    code, document = ran.verify()
    after = ran.lab.vault_seen()
    assert (code, document["clean"], document["secrets"], document["unread"]) == (0, True, READ, [])
    assert after["views"] > before["views"], "the reads show in the vault's audit"
    read = {name for name, views in after["views_by_secret"].items() if views > before["views_by_secret"].get(name, 0)}
    assert len(read) == READ
    assert after["failed_grants"] == before["failed_grants"]
    assert document["files"] >= 5
    assert document["database_rows"] >= READ


def test_without_consent_nothing_is_read(ran: Ran) -> None:
    before = ran.lab.vault_seen()["views"]
    ended = ran.keymuster("verify-clean")
    assert ended.code == 2
    assert f"{READ} secrets" in ended.stderr
    assert "--yes" in ended.stderr
    assert ran.lab.vault_seen()["views"] == before


def test_what_is_planted_in_the_state_directory_is_found(ran: Ran) -> None:
    log, database = ran.keymuster.state / "nats" / "planted.log", ran.keymuster.state / "planted.db"
    try:
        log.write_bytes(b"\0" * 100 + ran.password.encode("utf-16-le"))
        with closing(sqlite3.connect(database)) as db:
            db.execute("CREATE TABLE t (v)")
            db.execute("INSERT INTO t VALUES (?)", (json.dumps({"password": ran.password}),))
            db.commit()
        code, document = ran.verify()
    finally:
        log.unlink(missing_ok=True)
        database.unlink(missing_ok=True)
    assert (code, document["clean"]) == (1, False)
    found = {(f["place"], f["form"]) for f in document["found"]}
    assert found >= {(str(log), "UTF-16"), (f"{database}, value by value", "as it is")}


def test_what_the_user_names_is_looked_at_too(ran: Ran, tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    report.write_text(f"host;{ran.password}\n")
    assert ran.verify("--also", report)[0] == 1
    assert ran.verify()[0] == 0
    told = ran.keymuster("verify-clean", "--yes", "--also", report)
    assert (told.code, str(report) in told.stdout.replace("\n", "")) == (1, True)
    assert ran.password not in told.stdout
    missing = ran.keymuster("verify-clean", "--yes", "--also", tmp_path / "none")
    assert (missing.code, "no such file" in missing.stderr) == (2, True)


@ROOT
def test_what_a_process_of_ours_holds_is_found(ran: Ran) -> None:
    """A program that is started as an appliance is, and hears a password by pipe that it keeps."""
    script = "import sys; kept = sys.stdin.readline(); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, "-m", "appliance"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{ran.password}\n")
        process.stdin.flush()
        process.stdout.readline()
        code, document = ran.verify()
        process.communicate()
    assert code == 1
    places = {f["place"] for f in document["found"]}
    assert places == {f"memory of appliance (process {process.pid})"}


def test_secrets_that_the_vault_no_longer_gives_are_told_with_its_reason(ran: Ran) -> None:
    name = next(h["secret"] for h in ran.lab.hosts if h["fault"] == "none")
    ran.lab.secret_states(**{name: "forbidden"})
    try:
        code, document = ran.verify()
    finally:
        ran.lab.secret_states(**{name: "readable"})
    assert (code, document["secrets"]) == (4, READ - 1)
    [unread] = document["unread"]
    assert (unread["secret"], unread["reason"]) == (f"{name} in Vault", "SECRET_ACCESS_DENIED")


def test_a_vault_that_refuses_the_login_ends_it(ran: Ran) -> None:
    ran.lab.vault_faults("refuse")
    try:
        ended = ran.keymuster("verify-clean", "--yes")
    finally:
        ran.lab.vault_faults()
    assert ended.code == 3
    assert "VAULT_LOGIN_REFUSED" in ended.stderr


def test_an_unknown_run_and_an_empty_state_are_told(ran: Ran, tmp_path: Path) -> None:
    assert ran.keymuster("verify-clean", "--yes", "no-such-run").code == 2
    assert Product(tmp_path / "empty")("verify-clean", "--yes").code == 2


def test_a_killed_command_leaves_no_process_with_secrets(ran: Ran) -> None:
    ran.lab.vault_faults("slow")
    try:
        command = ran.keymuster.command("verify-clean", "--yes")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
            until(lambda: _searching(process.pid), "the searcher")
            family = descendants(process.pid)
            process.send_signal(signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in family), "the end of its children")
    finally:
        ran.lab.vault_faults()


def _searching(pid: int) -> bool:
    return any("appliance.leaks.searcher" in _argv(child) for child in descendants(pid))


def _argv(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return ""


@ROOT
def test_the_holder_of_a_run_is_looked_at_while_its_scan_processes_are_not(ran: Ran, tmp_path: Path) -> None:
    done = ran.keymuster.planned_runs()[0]["id"]
    silent = 'name = "silent"' + campaign_of(ran.lab).partition("\n")[2].replace("deadline = '8s'", "deadline = '60s'")
    file = tmp_path / "silent.toml"
    file.write_text(silent, encoding="utf-8")
    command = ran.keymuster.command("run", file)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: any("appliance.worker" in _argv(p) for p in descendants(process.pid)), "a scan process")
        code, document = ran.verify(done)
        running = ran.keymuster("verify-clean", "--yes")
        family = descendants(process.pid)
        process.kill()
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in family), "the end of its children")
    assert code == 0
    assert {p["what"] for p in document["processes"]} == {"command", "appliance", "bus"}
    assert any("scan processes" in gap["place"] for gap in document["not_looked_at"])
    assert (running.code, "goes on" in running.stderr) == (2, True)
