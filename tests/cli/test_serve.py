"""`serve` and its pages: who is let on to it, what is ready, and what keeps a run from being gone on with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.bus.users import new_user
from orchestrator.assembly import Selection
from orchestrator.campaign import load_campaign
from orchestrator.cli.estate_files import read_truth
from orchestrator.cli.lab import campaign_text
from orchestrator.cli.running import new_order
from orchestrator.store import RunState, open_store
from tests.acceptance.chaos.processes import children, command, until
from tests.acceptance.lab import running_lab
from tests.acceptance.product import Product
from tests.acceptance.served import serving
from tests.cli.conftest import PASSWORD, Write
from tests.cli.nats import nats_server
from tests.cli.refusals import here, refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HOSTS = [f"127.74.0.{n}" for n in range(1, 6)]
ESTATE = '[[hosts]]\ncount = 5\nnetwork = "127.74.0.0/16"\n'
TYPED = """
[[vaults]]
title = "V"
type = "Thycotic Secret Server"
url = "http://127.0.0.1:9/SecretServer"
user = "svc"
password = { prompt = true }
"""
FILE = TYPED.replace("{ prompt = true }", '{ file = "secret" }')
RECORD = """
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "V"
secret = "s"
ips = ["127.9.0.1"]
[targets]
include = ["127.9.0.1"]
"""


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        ("10.0.0.1:80", "10.0.0.1 is not loopback, and nobody is asked for a login here"),
        ("localhost", "'localhost' is no address to listen on; write 127.0.0.1:PORT"),
        ("127.0.0.1:http", "'127.0.0.1:http' names no port"),
        ("127.0.0.1:65536", "'127.0.0.1:65536' names no port"),
    ],
)
def test_where_it_does_not_listen(tmp_path: Path, listen: str, text: str) -> None:
    refused(here("serve", "--listen", listen, "--state", tmp_path / "state"), f"--listen: {text}")


def test_a_port_that_is_taken(keymuster: Product, tmp_path: Path) -> None:
    with serving(tmp_path / "one") as first:
        taken = first.hears("serving")["url"].removeprefix("http://")
        ended = keymuster("serve", "--listen", taken)
        assert ended.code == 2
        assert f"--listen: cannot listen on http://{taken}" in ended.stderr
        ended = keymuster.stateless("serve", "--state", tmp_path / "one", "--listen", "127.0.0.1:0")
        assert ended.code == 2
        assert f"process {first.process.pid} holds the state directory {tmp_path / 'one'}: end it first" in ended.stderr
        assert first.end() == 0


def test_it_executes_what_run_submits_until_it_is_ended(keymuster: Product, tmp_path: Path, write: Write) -> None:
    with running_lab(tmp_path, ESTATE) as lab, serving(keymuster.state) as service:
        file = write(
            lab.vault_table(),
            '[[records]]\ntitle = "Unix"\ntechnology = "unix"\nuser = "scan"\nvault = "Vault"\n'
            'secret = "unix-{address}"\naccounts = "local"\n'
            f"port = {lab.ready['ssh_port']}\nips = {HOSTS}\n[targets]\ninclude = {HOSTS}\n",
        )
        until(lambda: service.page("/readyz")[0] == 200, "readiness")
        for _ in range(2):
            ended = keymuster.run(file)
            assert ended.code == 0, ended.stderr
            assert set(ended.reasons.values()) == {"PASSED"}
        assert service.page("/healthz") == (200, "ok\n")
        assert service.page("/readyz") == (200, "ok\n")
        status, text = service.page("/metrics")
        assert status == 200
        found = {family.name: family for family in text_string_to_metric_families(text)}
        (passed,) = found["keymuster_outcomes"].samples
        assert passed.labels == {"technology": "unix", "status": "Passed", "reason": "PASSED"}
        assert passed.value == 2 * len(HOSTS)
        assert {s.labels["appliance"]: s.value for s in found["keymuster_appliance_up"].samples} == {"embedded": 1}
        assert not [word for word in (*HOSTS, "scan@", "unix-127") if word in text]
        assert service.page("/")[0] == service.page("/readyz/")[0] == 404
        assert service.page("/healthz", "POST")[0] == service.page("/readyz", "DELETE")[0] == 405
        assert service.end() == 0
        assert service.said("ended")
        assert lab.password not in text + service.log.read_text()
        assert not (keymuster.state / "holder.json").exists()


def test_what_does_not_end_in_time_is_cut_off(keymuster: Product, tmp_path: Path, write: Write) -> None:
    estate = '[[hosts]]\ncount = 5\nnetwork = "127.74.0.0/16"\nfault = "silent"\n'
    with running_lab(tmp_path, estate) as lab, serving(keymuster.state, "--drain", "1") as service:
        file = write(
            lab.vault_table(),
            '[[records]]\ntitle = "Unix"\ntechnology = "unix"\nuser = "scan"\nvault = "Vault"\n'
            'secret = "unix-{address}"\naccounts = "local"\n'
            f"port = {lab.ready['ssh_port']}\nips = {HOSTS}\n[targets]\ninclude = {HOSTS}\n"
            '[pace]\ndeadline = "60s"\n',
        )
        service.hears("serving")
        with subprocess.Popen(keymuster.command("run", file), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
            until(lambda: 'keymuster_leases{zone="default"} 5.0' in service.page("/metrics")[1], "five in flight")
            assert service.end() == 4
            assert "has not ended within 1 s and is cut off" in service.log.read_text()
            run.kill()
        (left,) = keymuster.planned_runs()
        assert (left["state"], left["held"]["hold"]) == ("pausing", "restart"), "for the next one to go on with"


def test_ctrl_c_ends_it_too(tmp_path: Path) -> None:
    with serving(tmp_path / "state", "--log-format", "console") as service:
        until(lambda: "serving" in service.log.read_text(), "its first line")
        assert not service.lines, "console lines are no JSON"
        assert service.end(signal.SIGINT) == 0


@pytest.mark.parametrize(("zone", "of_zone"), [((), ""), (("--zone", "dmz"), " of zone 'dmz'")])
def test_what_it_lacks(tmp_path: Path, zone: tuple[str, ...], of_zone: str) -> None:
    """A bus of the user's own without appliances; and then without a server."""
    user = new_user()
    seed = tmp_path / "seed"
    seed.write_text(user.seed)
    with nats_server(tmp_path, f'authorization {{ users: [ {{"nkey": "{user.public}"}} ] }}\n') as url:
        service_of = serving(tmp_path / "state", "--nats", url, "--nats-seed", seed, *zone)
        with service_of as service:
            status, text = service.page("/readyz")
            assert (status, text) == (
                503,
                f"appliance: none{of_zone} takes jobs; look whether it runs, and what its log says\n",
            )
            [server] = [pid for pid in children(os.getpid()) if "nats.conf" in command(pid)]
            os.kill(server, signal.SIGKILL)
            until(lambda: "bus: not connected" in service.page("/readyz")[1], "the bus to be missed")
            assert service.page("/healthz")[0] == 200, "it is alive all the same"
            assert service.end() == 0


def test_a_bus_that_is_not_there(keymuster: Product, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.write_text(new_user().seed)
    ended = keymuster("serve", "--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:9", "--nats-seed", seed)
    refused(ended, "the bus at nats://127.0.0.1:9 cannot be used", code=3)
    events = [json.loads(line)["event"] for line in ended.stderr.splitlines() if line.startswith("{")]
    assert "waiting for the bus at nats://127.0.0.1:9, for 15 s at most" in events


def test_a_store_that_takes_no_write(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(state) as service:
        until(lambda: service.page("/readyz")[0] == 200, "readiness")
        with sqlite3.connect(state / "keymuster.db") as other:
            other.execute("BEGIN IMMEDIATE")
            status, text = service.page("/readyz")
            assert status == 503
            assert "store: " in text
            other.rollback()
        other.close()
        until(lambda: service.page("/readyz")[0] == 200, "readiness again")
        assert service.end() == 0


def test_a_run_whose_login_must_be_typed_waits(keymuster: Product, write: Write, tmp_path: Path) -> None:
    """And one whose vault is not there yet is tried again; one that somebody has stopped is left alone."""
    keymuster("run", write(), env=PASSWORD)  # exit 3, and a store

    orders = [
        (new_order(load_campaign(write(text, RECORD)), Selection(), ()).prepared.record, state)
        for text, state in ((TYPED, RunState.RUNNING), (FILE, RunState.RUNNING), (FILE, RunState.PAUSED))
    ]

    async def leave() -> None:
        store = await open_store(keymuster.state / "keymuster.db")
        for record, state in orders:
            await store.runs.add(record)
            await store.runs.update(record.id, state=state)
        await store.close()

    (tmp_path / "secret").write_text("known to nobody")
    asyncio.run(leave())
    typed, unreachable, stopped = (record.id for record, _ in orders)
    with serving(keymuster.state) as service:
        waits = service.hears("run waits")
        assert waits["run"] == typed
        assert waits["why"] == "the login of vault 'V' is typed in"
        assert waits["goes_on_with"] == f"keymuster run --resume {typed}"
        again = service.hears("cannot go on yet")
        assert (again["run"], again["again_in"]) == (unreachable, 5.0)
        assert "VAULT_UNREACHABLE" in again["why"]
        assert not [line for line in service.lines if line.get("run") == stopped]
        assert service.end() == 0


SCHEDULE = '[schedule]\ncron = "0 4 * * *"\ntime_zone = "UTC"\ncatch_up = true\n'


def fired_long_ago(state: Path, campaign: str) -> None:
    """The last fire that was attended to is two days old."""

    async def note() -> None:
        store = await open_store(state / "keymuster.db")
        await store.schedules.note(campaign, time.time() - 2 * 86_400)
        await store.close()

    state.mkdir(mode=0o700, exist_ok=True)
    asyncio.run(note())


def test_a_run_that_was_queued_before_a_restart_is_begun_after_it(keymuster: Product, tmp_path: Path) -> None:
    """The one before it has ended meanwhile."""

    async def queued() -> None:
        store = await open_store(keymuster.state / "keymuster.db")
        await store.schedules.note("nightly", time.time() - 60)
        assert await store.schedules.claim("nightly", time.time() - 30, queue=True)
        await store.close()

    with running_lab(tmp_path, ESTATE) as lab:
        file = tmp_path / "campaign.toml"
        text = campaign_text(lab.ready, read_truth(Path(lab.ready["truth"])), name="nightly")
        seldom = '[schedule]\ncron = "0 4 29 2 *"\ntime_zone = "UTC"\noverlap = "queue"\n'
        file.write_text(f"{text}\n{seldom}", encoding="utf-8")
        keymuster.state.mkdir(mode=0o700, exist_ok=True)
        asyncio.run(queued())
        with serving(keymuster.state, file) as service:
            run = service.hears("schedule has begun a run")["run"]
            until(lambda: keymuster.planned_runs()[0]["state"] == "finished", "the end of the run")
            assert [one["id"] for one in keymuster.planned_runs()] == [run]
            assert not service.said("schedule fires")
            assert service.end() == 0


def test_a_schedule_begins_a_run(keymuster: Product, tmp_path: Path) -> None:
    """One that was missed while nobody was there is made up for, once."""
    with running_lab(tmp_path, ESTATE) as lab:
        file = tmp_path / "campaign.toml"
        text = campaign_text(lab.ready, read_truth(Path(lab.ready["truth"])), name="nightly")
        file.write_text(f"{text}\n{SCHEDULE}", encoding="utf-8")
        fired_long_ago(keymuster.state, "nightly")
        with serving(keymuster.state, file) as service:
            assert service.hears("schedule fires")["missed"] == 1
            run = service.hears("schedule has begun a run")["run"]
            until(lambda: keymuster.planned_runs()[0]["state"] == "finished", "the end of the run")
            assert [one["id"] for one in keymuster.planned_runs()] == [run]
            assert service.end() == 0
        with serving(keymuster.state, file) as service:
            service.hears("serving")
            assert service.end() == 0
            assert not service.said("schedule fires")


def test_a_schedule_whose_vault_is_away_says_so_and_waits_for_it(
    keymuster: Product, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("known to nobody")
    file = write(FILE.replace('"secret"', f'"{tmp_path / "secret"}"'), RECORD, SCHEDULE)
    fired_long_ago(keymuster.state, load_campaign(file).name)
    with serving(keymuster.state, file) as service:
        told = service.hears("schedule cannot begin its run yet")
        assert "VAULT_UNREACHABLE" in told["why"]
        assert told["again_in"] == 5.0
        assert service.page("/healthz")[0] == 200
        assert service.end() == 0
    assert keymuster.planned_runs() == []


@pytest.mark.parametrize(
    ("vault", "more", "text"),
    [
        (FILE, "", "has no [schedule]; `keymuster run` submits such a campaign"),
        (TYPED, SCHEDULE, "the login of vault 'V' is typed in, and nobody is there to be asked"),
    ],
    ids=["no schedule", "prompt"],
)
def test_campaigns_that_cannot_begin_by_themselves(
    keymuster: Product, write: Write, vault: str, more: str, text: str
) -> None:
    refused(keymuster("serve", write(vault, RECORD, more)), text)
