"""`--no-fast-path`: the same campaign to the same report; and where it cannot be had, that is said."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from appliance.bus.users import new_user
from tests.acceptance.lab import running_lab
from tests.acceptance.product import Product, abort
from tests.cli.conftest import PASSWORD, Write
from tests.cli.refusals import refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

UNIX, WINDOWS = "127.74.0.0/24", "127.75.0.0/24"
ESTATE = "seed = 21\n" + "".join(
    f'[[hosts]]\ntechnology = "{technology}"\nnetwork = "{network}"\nfault = "{fault}"\n'
    for technology, network, faults in (
        ("unix", UNIX, ("none", "expired", "key_only", "no_sudo", "forced_command", "old_kex")),
        (
            "windows",
            WINDOWS,
            ("none", "wrong_password", "no_admin", "guest", "smb1_only", "encryption", "ntlm_refused"),
        ),
    )
    for fault in faults
)
RECORDS = """
[[records]]
title = "{technology}"
technology = "{technology}"
user = "scan"
vault = "Vault"
secret = "{technology}-{{address}}"
port = {port}
ips = ["{network}"]
{more}
"""


TIMES = {"started_at", "finished_at", "duration_ms", "ms", "asked", "answered"}


def timeless(told: Any) -> Any:
    """What a report says, without any moment or duration."""
    if isinstance(told, dict):
        return {name: timeless(value) for name, value in told.items() if name not in TIMES}
    return [timeless(value) for value in told] if isinstance(told, list) else told


def test_a_run_without_it_reports_the_same(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    with running_lab(tmp_path / "lab", ESTATE) as lab:
        records = "".join(
            RECORDS.format(technology=technology, network=network, port=lab.ready[f"{port}_port"], more=more)
            for technology, network, port, more in (
                ("unix", UNIX, "ssh", 'accounts = "local"\nroot_delegation = "sudo"'),
                ("windows", WINDOWS, "smb", 'domain_type = "local"'),
            )
        )
        listed = [host["address"] for host in lab.hosts]
        targets = f"[targets]\ninclude = {listed}\n".replace("'", '"')
        campaign = tmp_path / "campaign.toml"
        campaign.write_text(f'name = "both ways"\n{lab.vault_table()}{records}{targets}', encoding="utf-8")
        plain, fast = (
            Product(tmp_path / f"state{number}")("run", campaign, *options, "--format", "json").targets
            for number, options in enumerate((["--no-fast-path"], []))
        )
    assert len(plain) == len(listed)
    assert len({row["reason"] for row in plain}) > 6
    assert timeless(fast) == timeless(plain)


def test_a_bus_of_ones_own_has_appliances_of_ones_own(keymuster: Product, write: Write, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.write_text(new_user().seed)
    ended = keymuster(
        "run", write(), "--no-fast-path", "--nats", "nats://127.0.0.1:9", "--nats-seed", seed, env=PASSWORD
    )
    refused(ended, "--no-fast-path is for our own appliance; with --nats, give it to `keymuster appliance serve`")


def test_an_appliance_that_has_started_keeps_its_way(keymuster: Product, write: Write, tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    silent = '[[hosts]]\nnetwork = "127.74.0.0/24"\nfault = "silent"\n'
    with running_lab(tmp_path / "lab", silent) as lab:
        [host] = lab.hosts
        record = RECORDS.format(technology="unix", network=UNIX, port=lab.ready["ssh_port"], more='accounts = "local"')
        targets = f'[targets]\ninclude = ["{host["address"]}"]\n'
        campaign = write(lab.vault_table(), record, targets)
        command = keymuster.command("run", campaign)
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as holder:
            try:
                assert holder.stderr is not None
                assert "1 planned" in holder.stderr.readline()
                ended = keymuster("run", campaign, "--no-fast-path")
                who = f"process {holder.pid}, which holds {keymuster.state} and has started its appliance already"
                refused(ended, f"--no-fast-path is not for {who}: wait until it has ended, or name another --state")
            finally:
                abort(holder)
                holder.communicate(timeout=60)
