"""No room: for the state directory, before a run and in the middle of one; for a report; on stdout."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest

from orchestrator.store import open_store
from tests.acceptance.chaos.estates import HELD
from tests.acceptance.lab import running_lab
from tests.acceptance.product import KEYMUSTER, Product
from tests.cli.conftest import Write
from tests.cli.namespace import in_namespace, mounts
from tests.peers.private import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@mounts
def test_a_disk_that_is_too_full_to_begin(keymuster: Product, write: Write) -> None:
    keymuster.state.mkdir()
    command = " ".join(keymuster.command("run", write()))
    ended = in_namespace(f"mount -t tmpfs -o size=8m none {keymuster.state} && exec {command}")
    assert ended.returncode == 2
    assert "is full (" in ended.stderr
    assert "free at least 64 MiB" in ended.stderr


HOSTS, SOME = 500, 10


@mounts
def test_a_disk_that_becomes_full(keymuster: Product, tmp_path: Path) -> None:
    """The run ends as incomplete and says what to do; with room again it goes on where it was."""
    keymuster.state.mkdir()
    with running_lab(tmp_path, f'[[hosts]]\ncount = {HOSTS}\nnetwork = "127.71.0.0/16"\n{HELD}') as lab:
        campaign = tmp_path / "campaign.toml"
        record = f"""
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = ["127.71.0.0/16"]
[targets]
include = {[host["address"] for host in lab.hosts]}
"""
        campaign.write_text('name = "full"\n' + lab.vault_table() + record)
        outside, said, now = tmp_path / "outside", tmp_path / "said", tmp_path / "now"
        script = f"""
mount -t tmpfs -o size=80m none {keymuster.state}
{" ".join(keymuster.command("run", campaign))} 2>{said} &
until [ -e {now} ] || ! kill -0 $!; do sleep 0.02; done
dd if=/dev/zero of={keymuster.state}/filler bs=64k 2>/dev/null
wait $!
code=$?
rm {keymuster.state}/filler
cp -a {keymuster.state} {outside}
exit $code
"""

        with ThreadPoolExecutor(1) as pool:
            end = pool.submit(in_namespace, script)
            wait_for(lambda: end.done() or lab.vault_seen()["views"] >= SOME, "the run to get under way")
            now.touch()
            ended = end.result()
        assert ended.returncode == 4, said.read_text()
        assert "is full" in said.read_text()
        assert "Traceback" not in said.read_text()
        again = Product(outside)
        (run,) = again.planned_runs()
        resumed = again("run", "--resume", run["id"], "--format", "json")
    assert resumed.code == 0, resumed.stderr
    assert len(resumed.targets) == HOSTS


@mounts
def test_a_full_disk_is_told_by_whatever_only_reads(keymuster: Product, tmp_path: Path) -> None:
    """Reading needs some room for the index of the WAL, too."""
    keymuster.state.mkdir()
    made = tmp_path / "made"
    made.mkdir()
    anyio.run(_new_store, made / "keymuster.db")
    (backup, report) = (" ".join(keymuster.command(*c)) for c in (("backup", keymuster.state / "b"), ("report",)))
    ended = in_namespace(f"""
mount -t tmpfs -o size=16m none {keymuster.state} && cp -a {made}/keymuster.db {keymuster.state}
dd if=/dev/zero of={keymuster.state}/filler bs=4k 2>/dev/null
{report} && echo it reported; {backup} && echo it copied
{" ".join(keymuster.command("doctor"))} | cat; {" ".join(keymuster.command("stop", "--account", "a@b", "--why", "x"))}
true
""")
    said = " ".join(ended.stderr.split())
    assert f"store {keymuster.state}/keymuster.db: its disk is full; free some space" in said
    assert f"cannot copy {keymuster.state}/keymuster.db to" in said
    assert "its disk is full" in said.partition("cannot copy")[2]
    assert "(its lock or holder.json: No space left on device): make room there" in said
    assert "it reported" not in ended.stdout
    assert "it copied" not in ended.stdout
    assert "I/O error" not in ended.stdout + said, "what the doctor says is no riddle either"


async def _new_store(file: Path) -> None:
    await (await open_store(file)).close()


@pytest.mark.parametrize("command", [("config", "schema"), ("lab", "preset", "small")])
def test_stdout_that_takes_nothing(command: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([str(KEYMUSTER), *command], stdout=full, stderr=PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "keymuster: cannot write to stdout: No space left on device\n"


@mounts
def test_a_report_that_cannot_be_written(keymuster: Product, write: Write, tmp_path: Path) -> None:
    """Found before the run, not after it."""
    there = tmp_path / "there"
    there.mkdir()
    command = " ".join(keymuster.command("run", write(), "-o", there / "report"))
    ended = in_namespace(f"mount -t tmpfs -o ro none {there} && exec {command}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"cannot write {there}/report: make it writable for you, or name another file" in ended.stderr
    assert not keymuster.state.exists()
