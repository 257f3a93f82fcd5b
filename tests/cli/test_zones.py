"""Campaigns over two zones of one bus, with an appliance in each; and the end of one of the appliances."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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
count = 6
network = "127.73.0.0/16"
[[hosts]]
count = 24
network = "127.74.0.0/16"
fault = "slow_login"
"""
NEAR = [f"127.73.0.{n}" for n in range(1, 7)]
FAR = [f"127.74.0.{n}" for n in range(1, 25)]


def campaign(directory: Path, lab: Lab, name: str, hosts: list[str], zones: str) -> Path:
    file = directory / f"{name}.toml"
    file.write_text(f"""
name = "{name}"
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
deadline = "4s"
zone_patience = "2s"
[[zones]]
name = "dmz"
ips = ["127.74.0.0/16"]
{zones}
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
        command = [str(KEYMUSTER), "appliance", "init", str(file), "--name", name, "--zone", zone]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        file.write_text(file.read_text().replace("capacity = 256", f"capacity = {capacity}"))
        return Machine(file, done.stdout.strip())

    def fill_in(self, url: str, lab: Lab) -> None:
        text = self.file.read_text()
        for old, new in {
            "tls://nats.example:4222": url,
            '["10.0.0.0/8"]': '["127.73.0.0/16", "127.74.0.0/16"]',
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
        command = [str(KEYMUSTER), "appliance", "serve", str(self.file)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait(30)


def test_a_zone_that_dies_is_stood_in_for_where_the_campaign_says_so(keymuster: Product, tmp_path: Path) -> None:
    """Two campaigns at once: one has a fallback and ends; the other does what it can, stops, and is resumed."""
    orchestrator, seed = new_user(), tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    lan, dmz = (
        Machine.make(tmp_path, name, zone, n) for name, zone, n in (("lan-1", "default", 8), ("dmz-1", "dmz", 1))
    )
    users = f'authorization {{ users: [ {{"nkey": "{orchestrator.public}"}}, {lan.user}, {dmz.user} ] }}\n'
    with running_lab(tmp_path, ESTATE) as lab, nats_server(tmp_path, users) as url:
        for machine in (lan, dmz):
            machine.fill_in(url, lab)
        fallback = 'fallback = "default"\nfallback_after = "1s"'
        lenient = campaign(tmp_path, lab, "lenient", [*NEAR[:3], *FAR[:12]], fallback)
        strict = campaign(tmp_path, lab, "strict", [*NEAR[3:], *FAR[12:]], "")
        where = ("--nats", url, "--nats-seed", seed)
        planned = keymuster("plan", lenient, "--json")
        assert planned.document["zones"] == {"default": 3, "dmz": 12}
        with lan.serving(), serving(keymuster.state, *where, "--log-format", "json") as service:
            with dmz.serving() as dies:
                until(lambda: len(service.said("appliance up")) == 2, "both appliances")
                runs = [
                    subprocess.Popen(
                        keymuster.command("run", file, *where, "--format", "json"),
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                    for file in (lenient, strict)
                ]
                until(lambda: bool(_logons(lab, FAR[:12]) and _logons(lab, FAR[12:])), "both runs at work in the zone")
                os.killpg(dies.pid, signal.SIGKILL)
            ended = [run.communicate(timeout=90) for run in runs]
            assert [run.returncode for run in runs] == [0, 4], [err for _, err in ended]
            first = {row["target"]: row for row in json.loads(ended[0][0])["targets"]}
            assert {row["status"] for row in first.values()} == {"passed"}
            assert {first[host]["appliance"] for host in NEAR[:3]} == {"lan-1"}
            by = {(first[host]["zone"], first[host]["appliance"]) for host in FAR[:12]}
            assert ("default", "lan-1") in by
            assert by <= {("default", "lan-1"), ("dmz", "dmz-1")}
            [stopped] = [run for run in keymuster("runs", "--json").document["runs"] if run["campaign"] == "strict"]
            assert stopped["state"] == "paused"
            assert "no appliance of zone 'dmz'" in stopped["held"]["why"]
            half = {row["target"] for row in json.loads(ended[1][0])["targets"]}
            assert set(NEAR[3:]) <= half, "the other zone's were done first"
            assert not set(FAR[12:]) <= half
            with dmz.serving():
                until(lambda: len(service.said("appliance up")) == 3, "the zone's new appliance")
                whole = keymuster("run", "--resume", stopped["run"], *where, "--format", "json")
            assert whole.code == 0, whole.stderr
            assert {row["status"] for row in whole.targets} == {"passed"}
            assert {row["zone"] for row in whole.targets if row["target"] in FAR} == {"dmz"}
            most = max(len(host["logons"]) for host in lab.metrics()["hosts"].values())
            assert most <= 2, "an attempt that was lost has spent its permit, and the next one its own"


def _logons(lab: Lab, hosts: list[str]) -> int:
    seen = lab.metrics()["hosts"]
    return sum(len(seen[host]["logons"]) for host in hosts if host in seen)


def test_on_one_machine_the_own_appliance_does_all_zones(keymuster: Product, tmp_path: Path) -> None:
    with running_lab(tmp_path, ESTATE) as lab:
        file = campaign(tmp_path, lab, "both", [*NEAR, *FAR[:2]], "")
        ended = keymuster("run", file, "--format", "json")
        assert ended.code == 0, ended.stderr
        assert {row["zone"] for row in ended.targets} == {"default"}
        noted = keymuster("plan", file)
        assert "By zone: 6 in default, 2 in dmz." in noted.stdout
