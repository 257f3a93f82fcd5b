"""No secret of the estate is anywhere but in scan processes: not in what outlives a run (state directory, bus files,
logs, store, reports), not in the memory of the others while it goes on, nor in anybody's argv or environment.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.leaks import places
from appliance.leaks.finder import Finder, Sought
from appliance.leaks.forms import Forms, text_forms
from targets import estate, spec
from targets.material import MARKER
from tests.acceptance.chaos.processes import descendants, nats_server, scan_processes, supervisor, until
from tests.acceptance.lab import Lab
from tests.acceptance.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ESTATE = """
[[hosts]]
count = 30
network = "127.63.0.0/16"
faults = { none = 4, wrong_password = 1, no_sudo = 1 }

[[hosts]]
count = 10
network = "127.63.0.0/16"
login = "key"

[[hosts]]
count = 4
network = "127.63.0.0/16"
fault = "silent"
"""
PASSWORD = "KEYMUSTER_TEST_PASSWORD"
"""Where the vault's login comes from: its name in the environment."""
PLANNED, LOGGED_IN = 44, 40


def target_secrets() -> set[bytes]:
    """Everything that opens a host: passwords, passphrases, and private keys as files and as bytes."""
    found: set[bytes] = set()
    for secret in estate.build(spec.parse(ESTATE)).secrets.values():
        material = secret.material
        found |= {material.password.encode(), material.passphrase.encode(), material.key_comment.encode()}
        if secret.holds_key:
            found |= {material.private_bytes, material.private_key_file().splitlines()[3]}
    return found


def forms(secret: bytes) -> Forms:
    """What is no text (the bytes of a key) is looked for as it is."""
    return text_forms(secret.decode("ascii")) if secret.isascii() else {secret: "as it is"}


def holds(pid: int, sought: Forms) -> bool:
    """Does a process hold any of these forms in its memory?"""
    return bool(Finder([Sought("sought", sought)]).hits(places.memory(pid)))


def remembered(pid: int, secrets: Iterable[bytes]) -> set[bytes]:
    """Which of these secrets a process holds anywhere in its memory."""
    named = {str(number): secret for number, secret in enumerate(secrets)}
    finder = Finder([Sought(name, forms(secret)) for name, secret in named.items()])
    return {named[hit.name] for hit in finder.hits(places.memory(pid))}


@pytest.fixture
def served(lab: Callable[[str], Lab]) -> Lab:
    return lab(ESTATE)


Write = Callable[[str], Path]
"""A campaign over all of it, with this deadline."""


@pytest.fixture
def write(served: Lab, campaign: Callable[..., Path]) -> Write:
    hosts = served.hosts
    by_key, by_password = ([h["address"] for h in part] for part in (hosts[30:40], [*hosts[:30], *hosts[40:]]))
    records = [
        f"""
[[records]]
title = "{title}"
technology = "unix"
user = "scan"
vault = "Vault"
secret = "unix-{{address}}"
accounts = "local"
port = {served.ready["ssh_port"]}
private_key = {str(key).lower()}
ips = {addresses}
"""
        for title, key, addresses in (("Password", False, by_password), ("Key", True, by_key))
    ]
    targets = f"[targets]\ninclude = {[h['address'] for h in hosts]}\n"
    table = served.vault_table(password=f'{{ env = "{PASSWORD}" }}')
    return lambda deadline: campaign(table, *records, targets, f'[pace]\nretries = 0\ndeadline = "{deadline}"\n')


def test_no_marker_outlives_a_run(served: Lab, keymuster: Product, write: Write) -> None:
    ended = keymuster("run", write("10s"), "--format", "json", env={PASSWORD: served.password})
    assert len(ended.targets) == PLANNED, ended.stderr
    assert served.vault_seen()["views"] >= LOGGED_IN, "the secrets were read, so there was something to leave behind"
    assert MARKER.search(served.password.encode()), "the marker is what the search looks for"
    files = [path for path in keymuster.state.rglob("*") if path.is_file()]
    assert {"keymuster.db", "appliance.log"} <= {path.name for path in files}
    assert [path for path in files if MARKER.search(path.read_bytes())] == []
    assert not MARKER.search(ended.stderr.encode())
    for form in ("table", "json", "ndjson", "csv"):
        report = keymuster("report", "--format", form).stdout
        assert report
        assert not MARKER.search(report.encode())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of these processes")
def test_only_scan_processes_hold_a_target_secret(served: Lab, keymuster: Product, write: Write) -> None:
    """Looked at when all but the silent hosts are done: every other secret has been through the appliance by then."""
    secrets, vault = target_secrets(), served.password.encode()
    with running(keymuster.command("run", write("60s")), {PASSWORD: served.password}) as orchestrator:
        until(lambda: _logons(served) >= LOGGED_IN, "the logins")
        until(lambda: served.vault_seen()["views"] >= LOGGED_IN, "the reading of the secrets")
        [appliance], [bus] = supervisor(orchestrator), nats_server(orchestrator)
        assert scan_processes(orchestrator), "the silent hosts are being waited for"
        held = {pid: remembered(pid, {*secrets, vault}) for pid in (orchestrator, appliance, bus)}
        assert held[bus] == set()
        assert held[orchestrator] == held[appliance] == {vault}, "the vault's login is theirs to keep, and nothing else"
        for pid in (orchestrator, *descendants(orchestrator)):
            for place in ("cmdline", "environ"):
                assert not MARKER.search(Path(f"/proc/{pid}/{place}").read_bytes()), f"{place} of {pid}"


def _logons(served: Lab) -> int:
    return sum(len(host["logons"]) for host in served.metrics()["hosts"].values())


@contextmanager
def running(command: Sequence[str], env: dict[str, str]) -> Iterator[int]:
    """A command's process id; on leaving it is killed, and what it started ends with it."""
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env={**os.environ, **env}, start_new_session=True, **options) as process:
        try:
            yield process.pid
        finally:
            family = descendants(process.pid)
            process.kill()
            until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in family), "the end of its children")
