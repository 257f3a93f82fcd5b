"""Campaigns over two zones of one bus, with an appliance in each; and the end of one of the appliances."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.bus.users import new_user
from tests.acceptance.chaos.processes import until
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import KEYMUSTER, Product
from tests.acceptance.served import serving
from tests.cli.nats import nats_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

ESTATE = """
[[hosts]]
count = 3
network = "127.73.0.0/16"
[[hosts]]
count = 5
network = "127.74.0.0/16"
fault = "slow_login"
[[hosts]]
count = 5
network = "127.75.0.0/16"
fault = "slow_login"
"""
LAN, DMZ, CELL = ([f"127.{net}.0.{n}" for n in range(1, count + 1)] for net, count in ((73, 3), (74, 5), (75, 5)))


def campaign(directory: Path, lab: Lab) -> Path:
    file, hosts = directory / "campaign.toml", [*LAN, *DMZ, *CELL]
    file.write_text(f"""
name = "zones"
{lab.vault_table()}
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {hosts}
[targets]
include = {hosts}
[pace]
deadline = "8s"
zone_patience = "2s"
[[zones]]
name = "dmz"
ips = ["127.74.0.0/16"]
fallback = "default"
fallback_after = "1s"
[[zones]]
name = "cell"
ips = ["127.75.0.0/16"]
""")
    return file


@dataclass(frozen=True, slots=True)
class Machine:
    """An appliance's file, and its user as the server is told of it."""

    file: Path
    user: str

    @staticmethod
    def make(directory: Path, name: str, zone: str, capacity: int) -> Machine:
        file = directory / f"{name}.toml"
        done = Product(directory).stateless("appliance", "init", file, "--name", name, "--zone", zone)
        assert done.code == 0, done.stderr
        file.write_text(file.read_text().replace("capacity = 256", f"capacity = {capacity}"))
        return Machine(file, done.stdout.strip())

    def fill_in(self, url: str, lab: Lab) -> None:
        text = self.file.read_text()
        for old, new in {
            "tls://nats.example:4222": url,
            '["10.0.0.0/8"]': '["127.72.0.0/14"]',
            "Secret Server Vault": "Vault",
            "https://vault.example/SecretServer": lab.ready["vault_url"],
            "svc-keymuster": lab.ready["vault_user"],
            '{ env = "KEYMUSTER_VAULT_PASSWORD" }': f'{{ file = "{lab.ready["vault_password_file"]}" }}',
        }.items():
            assert old in text
            text = text.replace(old, new)
        self.file.write_text(text)

    @contextmanager
    def serving(self) -> Iterator[subprocess.Popen[bytes]]:
        """Until it is on the bus."""
        log = self.file.with_suffix(".log")
        command = [str(KEYMUSTER), "appliance", "serve", str(self.file), "--log-format", "json"]
        with (
            log.open("wb") as said,
            subprocess.Popen([*command, "--metrics", "127.0.0.1:0"], stderr=said, start_new_session=True) as process,
        ):
            try:
                until(lambda: process.poll() is not None or b"\n" in log.read_bytes(), "where it can be asked")
                ready = json.loads(log.read_text().splitlines()[0])["url"].replace("/metrics", "/readyz")
                until(lambda: _answers(ready), "the appliance to be ready")
                yield process
            finally:
                process.terminate()
                process.wait(30)


def test_zones_that_die_one_with_a_fallback_and_one_without(keymuster: Product, tmp_path: Path) -> None:
    """What has a fallback is done by it; then the run stops for the other zone, and is resumed when that is back."""
    orchestrator, seed = new_user(), tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    kinds = (("lan-1", "default", 8), ("dmz-1", "dmz", 1), ("cell-1", "cell", 1))
    lan, dmz, cell = (Machine.make(tmp_path, *kind) for kind in kinds)
    users = ", ".join([f'{{"nkey": "{orchestrator.public}"}}', lan.user, dmz.user, cell.user])
    with (
        running_lab(tmp_path, ESTATE) as lab,
        nats_server(tmp_path, f"authorization {{ users: [ {users} ] }}\n") as url,
        ExitStack() as stack,
    ):
        for machine in (lan, dmz, cell):
            machine.fill_in(url, lab)
        file = campaign(tmp_path, lab)
        assert keymuster("plan", file, "--json").document["zones"] == {"default": 3, "dmz": 5, "cell": 5}
        where = ("--nats", url, "--nats-seed", seed, "--format", "json")
        _, first, second = (stack.enter_context(machine.serving()) for machine in (lan, dmz, cell))
        run = subprocess.Popen(
            keymuster.command("run", file, *where), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        stack.callback(run.kill)
        at_work = {first.pid: DMZ, second.pid: CELL}

        def all_are_dead() -> bool:
            """Each dies when it has done the first of its hosts, whenever that is: the others need a second each."""
            for pid in [pid for pid, hosts in at_work.items() if _logons(lab, hosts)]:
                os.killpg(pid, signal.SIGKILL)
                del at_work[pid]
            return not at_work or run.poll() is not None

        until(all_are_dead, "work in both zones")
        out, err = run.communicate(timeout=90)
        assert run.returncode == 4, err
        assert "no appliance of zone 'cell' has been alive" in err
        rows = {row["target"]: row for row in json.loads(out)["targets"]}
        assert {row["status"] for row in rows.values()} == {"Passed"}
        assert {*LAN, *DMZ} <= rows.keys(), "all that could be done, was"
        assert not {*CELL} <= rows.keys()
        done_by = {(rows[host]["zone"], rows[host]["appliance"]) for host in DMZ}
        assert {("default", "lan-1")} <= done_by <= {("default", "lan-1"), ("dmz", "dmz-1")}
        [stopped] = keymuster("runs", "--json").document["runs"]
        assert (stopped["state"], "zone 'cell'" in stopped["held"]["why"]) == ("paused", True)
        stack.enter_context(cell.serving())
        whole = keymuster("run", "--resume", stopped["id"], *where)
        assert whole.code == 0, whole.stderr
        assert {row["status"] for row in whole.targets} == {"Passed"}
        assert {(row["zone"], row["appliance"]) for row in whole.targets if row["target"] in CELL} == {
            ("cell", "cell-1")
        }
        most = max(len(host["logons"]) for host in lab.metrics()["hosts"].values())
        assert most <= 2, "an attempt that was lost has spent its permit, and the next one its own"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own loopback URL
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False


def _logons(lab: Lab, hosts: list[str]) -> int:
    seen = lab.metrics()["hosts"]
    return sum(len(seen[host]["logons"]) for host in hosts if host in seen)


def test_on_one_machine_the_own_appliance_does_all_zones(keymuster: Product, tmp_path: Path) -> None:
    with running_lab(tmp_path, ESTATE) as lab:
        ended = keymuster("run", campaign(tmp_path, lab), "--format", "json")
        assert ended.code == 0, ended.stderr
        assert {row["zone"] for row in ended.targets} == {"default"}
        noted = keymuster("plan", campaign(tmp_path, lab))
        assert "By zone: 3 in default, 5 in dmz, 5 in cell." in noted.stdout


def test_a_service_takes_the_campaigns_of_every_zone_and_asks_vaults_where_appliances_are(
    keymuster: Product, tmp_path: Path
) -> None:
    """There are appliances of one zone, and it is neither the service's nor the one in which targets are by default."""
    orchestrator, seed = new_user(), tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    dmz = Machine.make(tmp_path, "dmz-1", "dmz", 8)
    users = f'{{"nkey": "{orchestrator.public}"}}, {dmz.user}'
    with (
        running_lab(tmp_path, ESTATE) as lab,
        nats_server(tmp_path, f"authorization {{ users: [ {users} ] }}\n") as url,
    ):
        dmz.fill_in(url, lab)
        where = ("--nats", url, "--nats-seed", seed)
        mixed, own = campaign(tmp_path, lab), tmp_path / "dmz.toml"
        text = mixed.read_text().partition("[[zones]]")[0].replace("[pace]", '[pace]\nzone = "dmz"')
        own.write_text(text.replace(f"include = {[*LAN, *DMZ, *CELL]}", f"include = {DMZ}"))
        with dmz.serving(), serving(keymuster.state, *where) as service:
            until(lambda: service.page("/readyz")[0] == 200, "the appliance to take jobs")
            asked = keymuster("plan", mixed, "--check-vault", "--json", *where)
            assert (asked.code, asked.document["vault_check"]["readable"]) == (0, 13), asked.stderr
            tested = keymuster("vault", "test", "Vault", "--campaign", mixed, *where)
            assert tested.code == 0, tested.stderr
            ran = keymuster("run", own, "--json", *where)
            assert ran.code == 0, ran.stderr
            assert {(row["zone"], row["appliance"]) for row in ran.targets} == {("dmz", "dmz-1")}
            assert service.end() == 0
