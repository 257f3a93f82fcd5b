"""A NATS server and an appliance of the user's own, set up as README says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.bus.claims import KeyPair
from appliance.bus.users import new_user
from orchestrator.cli.holder_client import TAKEN_OVER_S
from tests.acceptance.chaos.processes import until
from tests.acceptance.chaos.runs import Command
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import KEYMUSTER, Product, abort
from tests.acceptance.served import serving as orchestrating
from tests.cli.nats import nats_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LATE_S = 2.0
"""Between an answer's being given up, and what follows."""
NOBODYS_PIN = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
HOSTS = ["127.73.0.1", "127.73.0.2", "127.73.0.3"]


def appliance_file(directory: Path) -> tuple[Path, str]:
    """As `appliance init` writes it, and the user that it prints."""
    file = directory / "appliance.toml"
    command = ("appliance", "init", file, "--name", "dmz-1")
    done = Product(directory).stateless(*command)
    assert done.code == 0, done.stderr
    assert f"{file} written" in done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(done.stdout)["nkey"].startswith("U")
    again = Product(directory).stateless(*command)
    assert again.code == 2
    assert "is already there; it was left as it is" in again.stderr
    return file, done.stdout


def filled_in(file: Path, url: str, lab: Lab) -> None:
    text = file.read_text()
    for old, new in {
        "tls://nats.example:4222": url,
        '["10.0.0.0/8"]': '["127.73.0.0/16"]',
        "Secret Server Vault": "Vault",
        "https://vault.example/SecretServer": lab.ready["vault_url"],
        "svc-keymuster": lab.ready["vault_user"],
        '{ env = "KEYMUSTER_VAULT_PASSWORD" }': f'{{ file = "{lab.ready["vault_password_file"]}" }}',
    }.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    tomllib.loads(text)


@contextmanager
def serving(file: Path) -> Iterator[None]:
    """Until it has drained."""
    command = [str(KEYMUSTER), "appliance", "serve", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_an_appliances_metrics(keymuster: Product, tmp_path: Path) -> None:
    orchestrator = new_user()
    file, user = appliance_file(tmp_path)
    estate = '[[hosts]]\ncount = 1\nnetwork = "127.73.0.0/16"\n'
    command = [str(KEYMUSTER), "appliance", "serve", str(file), "--log-format", "json", "--metrics"]
    refused = subprocess.run([*command, "0.0.0.0:1"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "0.0.0.0 is not loopback" in refused.stderr
    with running_lab(tmp_path, estate) as lab, bus(tmp_path, orchestrator, user) as url:
        filled_in(file, url, lab)
        with subprocess.Popen(
            [*command, "127.0.0.1:0"], stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                assert process.stderr is not None
                line = json.loads(process.stderr.readline())
                assert (line["event"], line["appliance"]) == ("metrics", "dmz-1")
                with urllib.request.urlopen(line["url"], timeout=20) as answer:  # noqa: S310 - our own loopback URL
                    text = answer.read().decode()
                ready = line["url"].replace("/metrics", "/readyz")
                with urllib.request.urlopen(ready, timeout=20) as answer:  # noqa: S310 - as above
                    assert answer.read() == b"ok\n"
                assert "keymuster_bus_connected 1.0" in text
                assert "keymuster_appliance_here_capacity 256.0" in text
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
            finally:
                process.kill()


@contextmanager
def bus(directory: Path, orchestrator: KeyPair, appliance: str) -> Iterator[str]:
    users = f'authorization {{ users: [ {{"nkey": "{orchestrator.public}"}}, {appliance} ] }}\n'
    with nats_server(directory, users) as url:
        yield url


def campaign(directory: Path, lab: Lab, hosts: list[str]) -> Path:
    file = directory / "campaign.toml"
    file.write_text(f"""
name = "own bus"
{lab.vault_table(password='{ env = "KEYMUSTER_NOT_SET_HERE" }')}
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
""")
    return file


def test_a_run_on_a_bus_and_an_appliance_of_ones_own(keymuster: Product, tmp_path: Path) -> None:
    orchestrator = new_user()
    seed = tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    file, user = appliance_file(tmp_path)
    estate = '[[hosts]]\ncount = 3\nnetwork = "127.73.0.0/16"\n'
    with running_lab(tmp_path, estate) as lab, bus(tmp_path, orchestrator, user) as url:
        filled_in(file, url, lab)
        where = ("--nats", url, "--nats-seed", seed, "--format", "json")
        with serving(file):
            ended = keymuster("run", campaign(tmp_path, lab, HOSTS), *where)
            assert ended.code == 0, ended.stderr
            assert ended.reasons == dict.fromkeys(HOSTS, "PASSED")
            assert {row["appliance"] for row in ended.targets} == {"dmz-1"}
            beyond = keymuster("run", campaign(tmp_path, lab, ["127.99.0.1"]), *where)
            assert beyond.reasons == {"127.99.0.1": "REFUSED_BY_POLICY"}, "its own networks bind it, not the campaign's"
        seen = lab.metrics()
        assert sum(len(host["logons"]) for host in seen["hosts"].values()) == len(HOSTS)
        assert seen["vault"]["grants"] == 1


def test_a_run_is_submitted_to_the_service_that_is_on_the_bus(keymuster: Product, tmp_path: Path) -> None:
    orchestrator = new_user()
    seed = tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    file, user = appliance_file(tmp_path)
    estate = '[[hosts]]\ncount = 3\nnetwork = "127.73.0.0/16"\n'
    with running_lab(tmp_path, estate) as lab, bus(tmp_path, orchestrator, user) as url:
        filled_in(file, url, lab)
        where = ("--nats", url, "--nats-seed", seed)
        with serving(file), orchestrating(keymuster.state, *where) as service:
            name = service.hears("serving")["name"]
            ended = keymuster("run", campaign(tmp_path, lab, HOSTS), *where, "--format", "json")
            assert ended.code == 0, ended.stderr
            assert f"submitted to orchestrator {name}, which holds {keymuster.state}" in ended.stderr
            assert ended.reasons == dict.fromkeys(HOSTS, "PASSED")
            assert service.end() == 0


def test_a_submitted_run_whose_service_says_nothing_for_long_is_watched_on(keymuster: Product, tmp_path: Path) -> None:
    """As when an answer of the bus is lost: the command looks who has the run, and that one answers again."""
    orchestrator = new_user()
    seed = tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    file, user = appliance_file(tmp_path)
    estate = '[[hosts]]\ncount = 3\nnetwork = "127.73.0.0/16"\nlatency = "8s"\n'
    with running_lab(tmp_path, estate) as lab, bus(tmp_path, orchestrator, user) as url:
        filled_in(file, url, lab)
        where = ("--nats", url, "--nats-seed", str(seed))
        with serving(file), orchestrating(keymuster.state, *where) as service:
            service.hears("serving")
            command = Command(keymuster.state, "run", str(campaign(tmp_path, lab, HOSTS)), *where, "--no-progress")
            try:
                run = command.run
                until(lambda: keymuster.planned_runs()[0]["state"] == "running", "the run to be under way")
                os.killpg(service.process.pid, signal.SIGSTOP)
                time.sleep(TAKEN_OVER_S + LATE_S)
                assert [one["state"] for one in keymuster.planned_runs()] == ["running"]
                assert command.process.poll() is None, command.said
                os.killpg(service.process.pid, signal.SIGCONT)
                assert command.wait() == 0, command.said
                assert command.report().document["run"]["id"] == run
                assert command.report().reasons == {"PASSED": len(HOSTS)}
            finally:
                os.killpg(service.process.pid, signal.SIGCONT)
                command.end()
            assert service.end() == 0


def test_a_load_test_on_a_bus_and_an_appliance_of_ones_own(keymuster: Product, tmp_path: Path) -> None:
    orchestrator = new_user()
    seed = tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    file, user = appliance_file(tmp_path)
    estate = '[[hosts]]\ncount = 3\nnetwork = "127.73.0.0/16"\n'
    with running_lab(tmp_path, estate) as lab, bus(tmp_path, orchestrator, user) as url:
        filled_in(file, url, lab)
        with serving(file):
            where = ("--nats", url, "--nats-seed", seed)
            ended = keymuster(
                "load", campaign(tmp_path, lab, HOSTS), "--rate", "5/s", "--duration", "2s", "--json", *where
            )
        assert ended.code == 0, ended.stderr
        assert ended.document["arrivals"]["succeeded"] == 10
        assert "scan" not in ended.document["cpu"]["by_kind"], "its processes are not this command's"
        assert sum(len(host["logons"]) for host in lab.metrics()["hosts"].values()) == 10


def test_an_appliance_of_ones_own_dials_from_where_its_file_says(keymuster: Product, tmp_path: Path) -> None:
    orchestrator = new_user()
    seed = tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    file, user = appliance_file(tmp_path)
    estate = '[[hosts]]\ncount = 3\nnetwork = "127.73.0.0/16"\n'
    with running_lab(tmp_path, estate) as lab, bus(tmp_path, orchestrator, user) as url:
        filled_in(file, url, lab)
        where = ("--nats", url, "--nats-seed", seed, "--format", "json")
        before = file.read_text()
        for source, reason in (("192.0.2.77", "SOURCE_ADDRESS"), ("127.0.0.77", "PASSED")):
            file.write_text(f'source = "{source}"\n{before}')
            with serving(file):
                ended = keymuster("run", campaign(tmp_path, lab, HOSTS), *where)
            assert ended.reasons == dict.fromkeys(HOSTS, reason), ended.stderr
            if reason == "SOURCE_ADDRESS":
                assert all("192.0.2.77" in row["evidence"]["text"] for row in ended.targets)
                assert all("correct `source`" in row["evidence"]["text"] for row in ended.targets)


def test_an_appliance_of_ones_own_shows_its_own_certificate_and_pins_the_vault(
    keymuster: Product, tmp_path: Path
) -> None:
    """The campaign says nothing of either: the login is the appliance's alone."""
    orchestrator = new_user()
    seed = tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    file, user = appliance_file(tmp_path)
    estate = '[vault]\ntls = true\nclient_certificates = true\n[[hosts]]\ncount = 3\nnetwork = "127.73.0.0/16"\n'
    with running_lab(tmp_path, estate) as lab, bus(tmp_path, orchestrator, user) as url:
        filled_in(file, url, lab)
        where = ("--nats", url, "--nats-seed", seed, "--format", "json")
        before, ready = file.read_text(), lab.ready
        shown = f"""ca = "{ready["vault_ca"]}"
client_cert = "{ready["vault_client_cert"]}"
client_key = {{ file = "{ready["vault_client_key"]}" }}
"""
        file.write_text(f'{before}\n[vaults.tls]\npin = "{NOBODYS_PIN}"\n{shown}')
        with serving(file):
            refused = keymuster("run", campaign(tmp_path, lab, HOSTS), *where)
        assert (refused.code, f"VAULT_TLS: the vault shows {ready['vault_pin']}" in refused.stderr) == (3, True)
        assert lab.vault_seen()["requests"] == 0
        file.write_text(f'{before}\n[vaults.tls]\npin = "{ready["vault_pin"]}"\n{shown}')
        with serving(file):
            ended = keymuster("run", campaign(tmp_path, lab, HOSTS), *where)
        assert ended.code == 0, ended.stderr
        assert ended.reasons == dict.fromkeys(HOSTS, "PASSED")


def test_a_stop_reaches_the_run_that_holds_the_state_directory(keymuster: Product, tmp_path: Path) -> None:
    """It is on the same bus; without being told which, the command cannot know where to find it."""
    orchestrator = new_user()
    seed = tmp_path / "orchestrator.seed"
    seed.write_text(orchestrator.seed)
    file, user = appliance_file(tmp_path)
    estate = '[[hosts]]\ncount = 3\nnetwork = "127.73.0.0/16"\nfault = "silent"\n'
    with running_lab(tmp_path, estate) as lab, bus(tmp_path, orchestrator, user) as url:
        filled_in(file, url, lab)
        where = ("--nats", url, "--nats-seed", seed)
        short = campaign(tmp_path, lab, HOSTS)
        short.write_text(short.read_text() + '[pace]\ndeadline = "60s"\n')
        command = keymuster.command("run", short, *where, "--no-progress")
        with (
            serving(file),
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as run,
        ):
            try:
                assert run.stderr is not None
                assert any("3 planned" in line for line in run.stderr), "the run did not begin"
                stopped = keymuster("stop", "--vault", "Vault", *where)
                assert (stopped.code, "1 open run told" in stopped.stdout) == (0, True), stopped.stderr
                assert [one["name"] for one in keymuster("stops", "--json").document["stops"]] == ["Vault"]
                assert keymuster("allow", "--vault", "Vault", *where).code == 0
                abort(run)
            finally:
                run.kill()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("networks", "networls"), "networls: is no known key; did you mean networks?"),
        (('["10.0.0.0/8"]', '["10.0.0.0/40"]'), "networks[0]: value is not a valid"),
        (('url = "tls', "url = tls"), "appliance.toml:13: file: is not valid TOML"),
        (("seed = ", "# seed = "), "bus.seed: is missing; add it"),
    ],
)
def test_an_appliance_file_with_a_fault(tmp_path: Path, change: tuple[str, str], text: str) -> None:
    file, _ = appliance_file(tmp_path)
    file.write_text(file.read_text().replace(*change))
    done = Product(tmp_path).stateless("appliance", "serve", file)
    assert done.code == 2
    assert str(file) in done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_an_appliance_without_its_password(tmp_path: Path) -> None:
    file, _ = appliance_file(tmp_path)
    done = Product(tmp_path).stateless("appliance", "serve", file)
    assert done.code == 2
    assert "the environment has no KEYMUSTER_VAULT_PASSWORD; set it for this command" in done.stderr
