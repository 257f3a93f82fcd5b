"""A known_hosts file with certificate authorities and revoked keys, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.lab import running_lab
from tests.acceptance.product import Product
from tests.cli.conftest import PASSWORD, RECORD, TARGETS, VAULT, Write
from tests.cli.refusals import here, refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HOST = "127.78.0.1"


def test_a_broken_line_is_told_with_file_and_line(keymuster: Product, write: Write, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("# ours\n@cert-authority * ssh-ed25519 AAAA\n")
    file = write(VAULT, RECORD + f'known_hosts = "{known}"\n', TARGETS)
    why = "its key is not of the type ssh-ed25519, or cut short; correct the line, or take it out"
    refused(here("config", "check", file), f"{known}:2: known_hosts: {why}")
    refused(keymuster("run", file, env=PASSWORD), f"keymuster: {known}:2: {why}")
    checked = here("config", "check", file, "--json")
    [problem] = json.loads(checked.stdout)["problems"]
    assert (checked.code, problem["file"], problem["line"]) == (2, str(known), 2)


def test_a_certificate_a_revocation_and_its_end(keymuster: Product, tmp_path: Path) -> None:
    """Marked lines are the run's: what a file no longer says is no longer so. And a password meets no revoked key."""
    with running_lab(tmp_path, f'[[hosts]]\nnetwork = "{HOST}/32"\nfault = "certified"\n') as lab:
        [host] = lab.hosts
        by_ca = Path(lab.ready["known_hosts"]).read_text()
        known = tmp_path / "known_hosts"
        file = tmp_path / "campaign.toml"
        file.write_text(
            f"""
name = "c"
{lab.vault_table()}
[[records]]
title = "Unix"
technology = "unix"
user = "{host["user"]}"
vault = "Vault"
secret = "{host["secret"]}"
ips = ["{HOST}"]
port = {host["port"]}
accounts = "local"
host_keys = "pinned"
known_hosts = "{known}"
[targets]
include = ["{HOST}"]
"""
        )

        def outcome(text: str) -> tuple[str, dict[str, str]]:
            known.write_text(text)
            [row] = keymuster.run(file).targets
            return row["reason"], row["evidence"]["facts"]

        def logons() -> int:
            return len(lab.metrics()["hosts"][HOST]["logons"])

        reason, facts = outcome(by_ca)
        assert (reason, logons()) == ("PASSED", 1)
        assert facts["host_certificate"].startswith(f"'{HOST}' for {HOST}, signed by SHA256:")

        revoked = by_ca + f"@revoked * {facts['host_key']}\n"
        reason, refused_facts = outcome(revoked)
        assert (reason, logons()) == ("HOST_KEY_REVOKED", 1)
        assert refused_facts["host_key_refused"] == facts["host_key"]

        assert outcome("")[0] == "HOST_KEY_UNKNOWN", "a key that a CA has vouched for is not learnt"
        assert logons() == 1
        assert outcome(by_ca)[0] == "PASSED"
