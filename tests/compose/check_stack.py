"""docker-compose.yml on a real engine, by `make test-compose` (run.sh). Its name keeps it out of `make test`.

The tests follow one lab through its life, in order: up, looked at, used, told to end.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.compose.engine import (
    IMAGES,
    LAB,
    PROJECT,
    SECRETS,
    Container,
    container,
    containers,
    docker,
    keymuster,
    streams,
    until,
)

pytestmark = pytest.mark.timeout(600)

LAN, DMZ = 4, 1
UID = "10001"
SLOWLY = "per_subnet = 2"
"""So many targets in flight in each network: a run lasts while the servers of the bus come and go."""
DIAL = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()
    print("reached")
except OSError as error:
    print(type(error).__name__)
"""


def lab(*words: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    told = {**os.environ, "LAN": str(LAN), "DMZ": str(DMZ), **environment}
    done = subprocess.run(
        [LAB, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env=told,
    )
    assert not check or done.returncode == 0, f"{words}:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done


@pytest.fixture(scope="module", autouse=True)
def _up() -> Iterator[None]:
    lab("up")
    yield
    lab("down", check=False)
    assert not docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
    assert not docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}").split()


def truth() -> list[dict[str, Any]]:
    return [json.loads(line) for line in container("orchestrator").run("cat", "/shared/truth.ndjson").splitlines()]


def test_all_services_are_there_and_well() -> None:
    found = Counter(one.service for one in containers())
    assert found == {
        **dict.fromkeys(("nats-1", "nats-2", "nats-3", "postgres", "orchestrator", "estate", "estate-net"), 1),
        "appliance": LAN,
        "appliance-dmz": DMZ,
    }
    assert all(one.healthy for one in containers())
    listed = json.loads(keymuster("fleet", "list", "--json"))["appliances"]
    assert Counter(one["zone"] for one in listed) == {"lan": LAN, "dmz": DMZ}
    names = {one["name"] for one in listed}
    assert names == {f"lan-{one.id}" for one in containers("appliance")} | {
        f"dmz-{one.id}" for one in containers("appliance-dmz")
    }


def test_what_lies_on_the_bus_has_three_replicas() -> None:
    found = streams(container("nats-1"))
    assert {"JOBS_lan", "OUTCOMES"} <= set(found)
    assert set(found.values()) == {3}


def test_nobody_may_more_than_he_must() -> None:
    for one in containers():
        host, config = one.document["HostConfig"], one.document["Config"]
        assert host["ReadonlyRootfs"], one.service
        assert host["CapDrop"] == ["ALL"], one.service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], one.service
        assert not host["Privileged"], one.service
        assert not host["PortBindings"], one.service
        assert not any(one.document["NetworkSettings"]["Ports"].values()), one.service
        if one.service == "estate-net":
            assert [name.removeprefix("CAP_") for name in host["CapAdd"]] == ["NET_ADMIN"]
            continue
        assert not host["CapAdd"], one.service
        user = config["User"].partition(":")[0]
        assert user == ("999" if one.service == "postgres" else UID), one.service
        status = dict(line.split(":\t", 1) for line in one.run("cat", "/proc/1/status").splitlines() if ":\t" in line)
        assert set(status["Uid"].split()) == {user}
        assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"]) == (0, 0, "1")
        for place in ("/made", "/usr/made", "/opt/made"):
            refused = one.run("sh", "-c", f"touch {place} 2>&1 || true")
            assert "Read-only file system" in refused, (one.service, refused)


def test_zones_are_apart_and_the_orchestrator_reaches_none_of_them() -> None:
    well = [row for row in truth() if row["fault"] == "none" and row["technology"] == "unix"]
    lan, dmz = (next(row for row in well if row["address"].startswith(net)) for net in ("10.91.", "10.92."))
    ways = {
        ("appliance", lan["address"], lan["port"]): True,
        ("appliance", dmz["address"], dmz["port"]): False,
        ("appliance-dmz", dmz["address"], dmz["port"]): True,
        ("appliance-dmz", lan["address"], lan["port"]): False,
        ("appliance", "vault", 8443): True,
        ("appliance-dmz", "vault", 8443): True,
        ("orchestrator", lan["address"], lan["port"]): False,
        ("orchestrator", dmz["address"], dmz["port"]): False,
        ("orchestrator", "vault", 8443): False,
        ("appliance", "postgres", 5432): False,
        ("appliance", "orchestrator", 9464): False,
        ("orchestrator", "nats", 4222): True,
        ("appliance", "nats", 4222): True,
    }
    found = {way: containers(way[0])[0].python(DIAL, way[1], str(way[2])) for way in ways}
    assert {way: said == "reached" for way, said in found.items()} == ways, found


def secrets() -> dict[str, bytes]:
    """What nobody may find outside the files that Compose hands over: of keys their first line of base64."""
    found = {}
    for name in (
        "store_password",
        "vault_password",
        "fleet_key",
        "enrolment_lan",
        "enrolment_dmz",
        "bus_key",
        "store_key",
    ):
        lines = [line for line in (SECRETS / name).read_text().splitlines() if line and not line.startswith("-----")]
        found[name] = lines[0].encode()
    assert all(len(value) > 30 for value in found.values())
    return found


def test_no_secret_is_in_an_image_a_log_or_what_the_engine_tells(tmp_path: Path) -> None:
    markers = {**secrets(), "pip's authorities": os.environ["BUILD_MARKER"].encode()}
    everywhere: dict[str, bytes] = {}
    for one in containers():
        everywhere[f"inspect of {one.service}"] = docker("inspect", one.id).encode()
        logs = subprocess.run(["docker", "logs", one.id], capture_output=True, check=True)
        everywhere[f"log of {one.service}"] = logs.stdout + logs.stderr
        everywhere[f"environment and command of {one.service}"] = one.first_process
    for image in (os.environ[name] for name in IMAGES):
        everywhere[f"inspect of {image}"] = docker("image", "inspect", image).encode()
        everywhere[f"history of {image}"] = docker("history", "--no-trunc", image).encode()
    found = [(place, name) for place, text in everywhere.items() for name, marker in markers.items() if marker in text]
    assert not found
    saved = tmp_path / "image.tar"
    docker("save", "-o", str(saved), *(os.environ[name] for name in IMAGES), wait=300)
    assert not list(_in_layers(saved, markers))
    control = {"a word of the product": b"uthenticated-scan campaigns"}
    assert next(_in_layers(saved, control)), "the search finds what is there"


def _in_layers(saved: Path, markers: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """Files of an image's layers, and of the archive itself, with a marker in them."""
    with tarfile.open(saved) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is None:
                continue
            if member.name.endswith(("layer.tar", ".tar")) or "/blobs/" in f"/{member.name}":
                try:
                    layer = tarfile.open(fileobj=file)  # noqa: SIM115 - closed with the archive
                except tarfile.ReadError:
                    file.seek(0)
                else:
                    for inner in layer:
                        part = layer.extractfile(inner) if inner.isfile() else None
                        text = part.read() if part is not None else b""
                        yield from ((inner.name, name) for name, marker in markers.items() if marker in text)
                    continue
            text = file.read()
            yield from ((member.name, name) for name, marker in markers.items() if marker in text)


def test_one_run_is_in_both_zones_while_the_servers_of_the_bus_are_restarted() -> None:
    zones = {row["address"]: "lan" if row["address"].startswith("10.91.") else "dmz" for row in truth()}
    assert set(zones.values()) == {"lan", "dmz"}
    orchestrator = container("orchestrator").id
    restarted: dict[str, float] = {}

    def restart() -> None:
        """When the run is under way: one after the other, as for a new release."""
        until(lambda: any(run["state"] == "running" for run in _runs()), "a run under way")
        for name in ("nats-1", "nats-2", "nats-3"):
            docker("restart", "-t", "20", container(name).id)
            restarted[name] = time.time()
            until(lambda name=name: container(name).healthy, f"the return of {name}")  # type: ignore[misc]

    thread = threading.Thread(target=restart)
    thread.start()
    ended = lab("campaign", PACE=SLOWLY)
    thread.join()
    assert [run["state"] for run in _runs()] == ["finished"], ended.stderr
    report = json.loads(keymuster("report", "--format", "json"))
    assert list(restarted) == ["nats-1", "nats-2", "nats-3"]
    finished_at = datetime.fromisoformat(report["run"]["finished_at"]).timestamp()
    assert max(restarted.values()) < finished_at, "they came and went while there was something to do"
    totals, targets = report["totals"], report["targets"]
    assert Counter((one["target"], one["zone"]) for one in targets) == dict.fromkeys(zones.items(), 1)
    parts = ("passed", "passed_limited", "failed", "not_attempted")
    assert totals["planned"] == len(zones) == sum(totals[part] for part in parts)
    by = {(one["zone"], one["appliance"]) for one in targets if one.get("appliance")}
    assert by == {("lan", f"lan-{one.id}") for one in containers("appliance")} | {
        ("dmz", f"dmz-{one.id}") for one in containers("appliance-dmz")
    }, "all of them had a share, each of its own zone"
    found = streams(container("nats-1"))
    assert {"JOBS_lan", "JOBS_dmz", "OUTCOMES"} <= set(found)
    assert set(found.values()) == {3}
    assert container("orchestrator").id == orchestrator, "one orchestrator has done it all"


def _runs() -> list[dict[str, Any]]:
    return list(json.loads(keymuster("runs", "--json"))["runs"])


def test_an_appliance_that_is_restarted_is_the_same_one() -> None:
    one = containers("appliance")[0]
    docker("restart", "-t", "30", one.id)
    until(lambda: one.healthy, "the appliance's return")
    listed = json.loads(keymuster("fleet", "list", "--json"))["appliances"]
    assert len(listed) == LAN + DMZ


def test_reasons_and_logons_are_right() -> None:
    """The estate ends here, and leaves what its hosts and directories have counted."""
    hosts = len(truth())
    told = lab("score")
    assert f"Right reasons: {hosts} of {hosts}" in told.stdout, told.stdout
    assert told.stdout.count("Right logons") == 1, told.stdout


def test_each_service_ends_by_itself_when_it_is_told_to() -> None:
    def end(one: Container) -> tuple[float, int]:
        begun = time.monotonic()
        docker("stop", "-t", "60", one.id)
        return time.monotonic() - begun, int(one.document["State"]["ExitCode"])

    order = ("appliance", "appliance-dmz", "orchestrator", "estate-net", "nats-1", "nats-2", "nats-3", "postgres")
    ended = {f"{service} {one.id}": end(one) for service in order for one in containers(service)}
    assert all(seconds < 30 for seconds, _ in ended.values()), ended
    assert {code for _, code in ended.values()} <= {0}, ended
