"""Targets from lists: `run` and `plan` with `--targets`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.product import KEYMUSTER
from tests.cli.refusals import here, refused

CAMPAIGN = """\
name = "lists"
[[vaults]]
title = "Vault"
type = "Thycotic Secret Server"
url = "https://vault.example/SecretServer"
user = "svc"
password = { env = "KEYMUSTER_VAULT_PASSWORD" }
[[records]]
title = "unix"
technology = "unix"
login_type = "Authentication Vault"
user = "scan"
vault = "Vault"
secret = "unix"
accounts = "local"
ips = ["10.0.0.0/8", "127.0.0.0/8"]
[targets]
include = ["10.9.9.9"]
exclude = ["10.0.0.2"]
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    file = tmp_path / "campaign.toml"
    file.write_text(CAMPAIGN)
    return file


def listed(tmp_path: Path, text: str, name: str = "hosts.txt") -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


def planned(stdout: str) -> list[str]:
    return sorted(target["address"] for target in json.loads(stdout)["targets"])


def test_a_list_takes_the_place_of_the_campaigns_targets_and_exclusions_hold(campaign: Path, tmp_path: Path) -> None:
    first = listed(tmp_path, "10.0.0.1\n10.0.0.2\n10.0.0.1\n")
    second = listed(tmp_path, "ip,fqdn\n10.0.0.3,db.example\n", "hosts.csv")
    ended = here("plan", campaign, "--json", "--targets", first, "--targets", second)
    assert ended.code == 0, ended.stderr
    assert planned(ended.stdout) == ["10.0.0.1", "10.0.0.3"]
    assert f"3 targets from {first}, {second}, 1 of which the campaign excludes\n" in ended.stderr
    assert "hosts.txt: 1 entries came more than once" in ended.stderr


def test_refused_lines_stop_a_run_and_every_one_is_told(campaign: Path, tmp_path: Path) -> None:
    file = listed(tmp_path, "10.0.0.1\n10.0.0.300\nscan KMS-password\n")
    for command in ("plan", "run"):
        ended = here(command, campaign, "--targets", file)
        refused(ended, f"{file}:2: '10.0.0.300' is no address", f"{file}:3: is more than one word", "--skip-refused")
        assert "KMS-" not in ended.stderr


def test_refused_lines_can_be_skipped(campaign: Path, tmp_path: Path) -> None:
    file = listed(tmp_path, "10.0.0.1\n10.0.0.300\n")
    ended = here("plan", campaign, "--json", "--targets", file, "--skip-refused")
    assert (ended.code, planned(ended.stdout)) == (0, ["10.0.0.1"])
    assert f"{file}:2: " in ended.stderr
    assert "1 lines skipped" in ended.stderr


def test_many_refused_lines_are_cut(campaign: Path, tmp_path: Path) -> None:
    refused(here("plan", campaign, "--targets", listed(tmp_path, "10.0.0.300\n" * 70)), "and 20 more")


@pytest.mark.parametrize(("text", "said"), [("", "no target in it"), ("# none\n", "no target in it")])
def test_a_list_without_targets(campaign: Path, tmp_path: Path, text: str, said: str) -> None:
    refused(here("plan", campaign, "--targets", listed(tmp_path, text)), said)


def test_a_list_that_is_not_there_or_not_what_it_is_said_to_be(campaign: Path, tmp_path: Path) -> None:
    refused(here("plan", campaign, "--targets", tmp_path / "nothing"), "cannot be read: No such file")
    file = listed(tmp_path, "10.0.0.1\n")
    refused(here("plan", campaign, "--targets", file, "--targets-format", "nmap"), f"{file}:1: is no XML")


def test_passwords_in_an_inventory_are_told_by_name_and_line_only(campaign: Path, tmp_path: Path) -> None:
    file = listed(tmp_path, "[web]\napp ansible_host=10.0.0.1 ansible_password=KMS-secret\n", "hosts.ini")
    ended = here("plan", campaign, "--json", "--targets", file)
    assert (ended.code, planned(ended.stdout)) == (0, ["10.0.0.1"])
    assert f"{file}:2: ansible_password is ignored" in ended.stderr
    assert "KMS-" not in ended.stderr + ended.stdout


def test_names_are_kept_or_resolved(campaign: Path, tmp_path: Path) -> None:
    file = listed(tmp_path, "localhost\n10.0.0.1\n")
    ended = here("plan", campaign, "--json", "--targets", file, "--resolve-names")
    assert ended.code == 0, ended.stderr
    assert planned(ended.stdout)[0] == "10.0.0.1"
    assert "127.0.0.1" in planned(ended.stdout) or "::1" in ended.stdout
    nowhere = listed(tmp_path, "no-such-host.invalid\n", "names.txt")
    refused(here("plan", campaign, "--targets", nowhere, "--resolve-names"), "no-such-host.invalid: does not resolve")


def test_an_interrupted_run_takes_no_list(campaign: Path) -> None:
    refused(here("run", "--resume", "20260101-000000-abcd", "--targets", campaign), "goes on with the targets it has")


@pytest.mark.slow
def test_from_stdin_and_into_a_reader_that_goes_away(campaign: Path) -> None:
    command = [str(KEYMUSTER), "plan", str(campaign), "--targets", "-"]
    done = subprocess.run(
        [*command, "--json"], input="10.0.0.1\n10.0.0.7\n", capture_output=True, text=True, check=True, timeout=30
    )
    assert planned(done.stdout) == ["10.0.0.1", "10.0.0.7"]
    shell = f"{' '.join(command)} --limit 5000 | head -n 1"
    done = subprocess.run(
        ["sh", "-c", shell], input="10.1.0.0/16\n", capture_output=True, text=True, check=True, timeout=30
    )
    assert "bug" not in done.stderr


def test_a_list_without_an_end_is_refused(campaign: Path) -> None:
    refused(here("plan", campaign, "--targets", "/dev/zero"), "larger than 64 MiB")


def test_ignored_lines_are_told_and_cut_where_they_are_many(campaign: Path, tmp_path: Path) -> None:
    lines = "".join(f"h{n} ansible_host=10.0.1.{n} ansible_password=KMS-secret\n" for n in range(1, 61))
    ended = here("plan", campaign, "--json", "--targets", listed(tmp_path, "[web]\n" + lines))
    assert ended.code == 0
    assert "60 targets from" in ended.stderr
    assert ended.stderr.count("is ignored: credentials") == 50
    assert "and 10 more lines of which something is ignored" in ended.stderr
