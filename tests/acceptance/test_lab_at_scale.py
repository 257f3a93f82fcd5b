"""Estates in shard processes as users start them: IPv6, a timeline in mid-run, and 65,536 hosts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import KEYMUSTER, Product
from tests.bench.estate import pss_mib
from tests.cli.test_lab import lab_up

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

MACHINE = """
seed = 7
[[hosts]]
network = "::1/128"
named_by = "machine"
[[hosts]]
count = 3
technology = "windows"
network = "127.61.0.0/16"
faults = { none = 2, wrong_password = 1 }
"""
PREFIX = """
seed = 7
[[hosts]]
count = 6
network = "fd00:61::/64"
named_by = "machine"
faults = { none = 4, wrong_password = 1, changed_host_key = 1 }
[[hosts]]
count = 4
technology = "windows"
network = "fd00:61::/64"
[[hosts]]
count = 4
technology = "windows"
network = "fd00:62::/64"
account = "CORP"
secret = "shared"
"""
STORY = """
seed = 7
[timeline]
begins = "first-logon"
[[timeline.events]]
at = "300ms"
rotate = "unix-shared-1"
[[timeline.events]]
at = "600ms"
vault = ["down"]
lasts = "1s"
[[timeline.events]]
at = "500ms"
silent = "127.62.0.0/26"
lasts = "3s"
[[hosts]]
count = 120
network = "127.62.0.0/16"
secret = "shared"
latency = "300ms"
jitter = "200ms"
[[hosts]]
count = 20
technology = "windows"
network = "127.63.0.0/16"
latency = "1s"
[[hosts]]
count = 10
network = "127.64.0.0/16"
flapping = { up = "1s", down = "1s" }
[[hosts]]
count = 5
network = "127.64.0.0/16"
comes_up = "3s"
"""


def judged(keymuster: Product, tmp_path: Path, within: Sequence[str] = ()) -> dict[str, Any]:
    """The score of a run on the lab that is up in `tmp_path`."""
    documents = []
    for command in (
        keymuster.command("run", tmp_path / "campaign.toml", "--format", "json"),
        keymuster.command("lab", "score", "--truth", tmp_path / "lab" / "truth.ndjson", "--json"),
    ):
        done = subprocess.run([*within, *command], capture_output=True, text=True, check=False, timeout=120)
        assert done.stdout, done.stderr
        documents.append(json.loads(done.stdout))
    _, score = documents
    assert [cell for cell in score["cells"] if not cell["right"]] == []
    assert [account for account in score["logons"]["accounts"] if account["wrong"]] == []
    return dict(score)


def test_a_host_at_the_machines_own_ipv6_address(keymuster: Product, tmp_path: Path) -> None:
    with lab_up(tmp_path, MACHINE, shards=2):
        score = judged(keymuster, tmp_path)
    assert score["total"] == 4


@pytest.fixture
def namespace() -> Iterator[Sequence[str]]:
    """A command that runs others in a network of its own, in which two IPv6 prefixes are the machine's."""
    if os.geteuid() != 0:
        pytest.skip("a network namespace is for root to make")
    name = f"keymuster-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        for prefix in ("fd00:61::/64", "fd00:62::/64"):
            subprocess.run(["ip", "-n", name, "-6", "route", "add", "local", prefix, "dev", "lo"], check=True)
        yield ("nsenter", f"--net=/run/netns/{name}")
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.peer
def test_prefixes_that_are_the_machines_own(keymuster: Product, tmp_path: Path, namespace: Sequence[str]) -> None:
    with lab_up(tmp_path, PREFIX, within=namespace, shards=2) as ready:
        score = judged(keymuster, tmp_path, namespace)
    assert score["total"] == 14
    assert {(cell["fault"], cell["reason"]) for cell in score["cells"]} == {
        ("none", "PASSED"),
        ("wrong_password", "BAD_CREDENTIALS"),
        ("changed_host_key", "HOST_KEY_CHANGED"),
    }
    known = Path(ready["known_hosts"]).read_text().splitlines()
    assert sum(line.startswith(f"[fd00:61::{n}]:{ready['ssh_port']} ") for n in range(1, 7) for line in known) == 6


def test_a_run_amid_a_timeline_is_right_whatever_it_meets(keymuster: Product, tmp_path: Path) -> None:
    with lab_up(tmp_path, STORY, shards=2):
        score = judged(keymuster, tmp_path)
    assert score["total"] == 155


def test_65536_hosts_are_up_at_once_and_small(tmp_path: Path) -> None:
    directory = tmp_path / "lab"
    with (
        subprocess.Popen(
            [KEYMUSTER, "lab", "preset", "enterprise", "--hosts", "65536"], stdout=subprocess.PIPE
        ) as text,
        subprocess.Popen(
            [KEYMUSTER, "lab", "up", "-", "--dir", directory, "--shards", "2"],
            stdin=text.stdout,
            stdout=subprocess.PIPE,
        ) as lab,
    ):
        try:
            assert lab.stdout is not None
            ready = json.loads(lab.stdout.readline())
            truth = [json.loads(line) for line in (directory / "truth.ndjson").read_text().splitlines()]
            assert len({row["address"] for row in truth}) == 65536
            well = [row for row in truth if row["fault"] == "none" and row["technology"] == "unix"]
            for row in well[:: len(well) // 50]:
                with socket.create_connection((row["address"], ready["ssh_port"]), timeout=10) as client:
                    assert client.recv(8) == b"SSH-2.0-", row["address"]
            assert pss_mib(lab.pid) < 2048, "MiB"
        finally:
            lab.terminate()
        assert lab.wait(30) == 0
