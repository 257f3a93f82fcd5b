"""`keymuster load` on estates of which it is known what holds them back, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Product
from tests.schemas import conforms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LIMITED_VAULT = """
[vault.weather]
requests_per_second = 30
[[hosts]]
count = 50
"""
SLOW_VAULT = """
[vault.weather]
latency = { median = "400ms", p99 = "500ms" }
[[hosts]]
count = 50
"""
SLOW_HOSTS = """
[[hosts]]
count = 50
latency = "2s"
"""
THRESHOLD, BUDGET, HOSTS = 5, 2, 40
WRONG_SECRET = f"""
[[directories]]
name = "CORP"
threshold = {THRESHOLD}
[[hosts]]
count = {HOSTS}
network = "127.44.0.0/24"
account = "CORP"
secret = "shared"
secret_name = "corp-scan"
fault = "wrong_password"
"""
WELL = f"""
[[hosts]]
count = {HOSTS}
network = "127.45.0.0/24"
"""


def loaded(keymuster: Product, file: Path, *options: str) -> dict[str, Any]:
    ended = keymuster("load", file, "--json", *options)
    assert ended.code == 0, ended.stderr
    conforms(ended.document, "load")
    arrivals = ended.document["arrivals"]
    assert arrivals["due"] == arrivals["ended"] + arrivals["unfinished"]
    return ended.document


def file_of(directory: Path, estate: str) -> Path:
    file = directory / "estate.toml"
    file.write_text(f"seed = 7\n{estate}", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("estate", "rate", "named"),
    [(LIMITED_VAULT, "70/s", "vault"), (SLOW_VAULT, "70/s", "vault"), (SLOW_HOSTS, "80/s", "host")],
    ids=["limited-vault", "slow-vault", "slow-hosts"],
)
def test_the_bottleneck_is_where_the_estate_has_it(
    tmp_path: Path, keymuster: Product, estate: str, rate: str, named: str
) -> None:
    document = loaded(keymuster, file_of(tmp_path, estate), "--rate", rate, "--duration", "10s")
    assert document["bottleneck"]["name"] == named, document["bottleneck"]
    assert not document["throughput"]["held"]
    assert document["arrivals"]["due"] == int(rate.removesuffix("/s")) * 10


@pytest.fixture
def lab_of(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], tuple[Lab, Path]]:
    """An estate that stays, and the campaign for it."""

    def serve(estate: str) -> tuple[Lab, Path]:
        running = running_lab(tmp_path, f"seed = 7\n{estate}")
        lab = running.__enter__()
        request.addfinalizer(lambda: running.__exit__(None, None, None))
        return lab, campaign_of(lab, tmp_path)

    return serve


def campaign_of(lab: Lab, directory: Path) -> Path:
    first, *_ = lab.hosts
    addresses = json.dumps([host["address"] for host in lab.hosts])
    secret = first["secret"].replace(first["address"], "{address}")
    accounts = "local" if first["account"] == "local" else first["account"]
    file = directory / "campaign.toml"
    file.write_text(
        f"""name = "load"
{lab.vault_table()}
[[records]]
title = "Unix"
technology = "unix"
user = "{first["user"]}"
vault = "Vault"
secret = "{secret}"
accounts = "{accounts}"
port = {first["port"]}
ips = {addresses}
[targets]
include = {addresses}
[pace]
deadline = "15s"
capacity = 32
vault_patience = "5s"
""",
        encoding="utf-8",
    )
    return file


def test_a_wrong_secret_locks_nobody_out(keymuster: Product, lab_of: Callable[[str], tuple[Lab, Path]]) -> None:
    """As of a campaign: the canary fails, the breaker opens, and no rate opens it again; a second test has one more."""
    lab, campaign = lab_of(WRONG_SECRET)
    for tests in (1, 2, 3):
        document = loaded(keymuster, campaign, "--rate", "40/s", "--duration", "4s")
        reasons = {error["reason"]: error["count"] for error in document["errors"]}
        (account,) = lab.metrics()["accounts"].values()
        assert account["failed"] == min(tests, BUDGET)
        assert account["lockouts"] == 0
        assert document["arrivals"]["succeeded"] == 0
        assert reasons.get("BAD_CREDENTIALS", 0) <= 1
        assert document["bottleneck"]["name"] == "permits"


def test_the_vault_alone_is_read_and_nobody_is_logged_in_to(
    keymuster: Product, lab_of: Callable[[str], tuple[Lab, Path]]
) -> None:
    lab, campaign = lab_of(WELL)
    document = loaded(keymuster, campaign, "--vault-only", "--rate", "20/s", "--duration", "4s")
    assert document["what"] == "vault-only"
    assert document["arrivals"]["succeeded"] == 80
    assert {stage["party"] for stage in document["stages"]} <= {"dispatch", "bus", "appliance", "vault"}
    seen = lab.metrics()
    assert seen["ssh"]["connections"] == 0
    assert seen["vault"]["views"] == 80
    assert keymuster.planned_runs() == [], "a load test leaves no run behind"


def test_every_login_of_a_load_test_has_a_permit_and_is_the_hosts_own(
    keymuster: Product, lab_of: Callable[[str], tuple[Lab, Path]]
) -> None:
    lab, campaign = lab_of(WELL)
    document = loaded(keymuster, campaign, "--rate", "5/s..20/s", "--duration", "4s")
    assert document["arrivals"]["due"] == 50
    ok = sum(account["ok"] for account in lab.metrics()["accounts"].values())
    assert ok == document["arrivals"]["succeeded"]
    assert {"permit", "vault", "auth"} <= {stage["stage"] for stage in document["stages"]}
    assert keymuster.planned_runs() == []


def test_an_interrupt_ends_it_with_its_report_and_no_run_beside_it_is_taken(
    tmp_path: Path, keymuster: Product, lab_of: Callable[[str], tuple[Lab, Path]]
) -> None:
    _, campaign = lab_of(WELL)
    report, page = tmp_path / "load.json", tmp_path / "load.html"
    command = keymuster.command("load", campaign, "--rate", "10/s", "--duration", "10m", "-o", report, "-o", page)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("load test load-")
            beside = keymuster("run", campaign)
            process.send_signal(signal.SIGINT)
            out, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert beside.code == 2
    assert "a load test holds the state directory" in beside.stderr
    assert "it was interrupted" in out
    document = json.loads(report.read_text(encoding="utf-8"))
    conforms(document, "load")
    assert document["stopped"] == "it was interrupted"
    assert document["lasted_s"] < 100
    assert "Stopped: it was interrupted." in page.read_text(encoding="utf-8")
