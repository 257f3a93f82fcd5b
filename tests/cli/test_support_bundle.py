"""`keymuster support-bundle` on a run over a simulated estate: listed first, written with consent, without names."""

from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from targets.material import MARKER
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Product
from tests.cli.refusals import refused
from tests.cli.terminal import on_terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.keeps_open("one estate for the whole module")]

ESTATE = """
[[hosts]]
count = 4
network = "127.73.0.0/16"
user = "svc_n_scan"
faults = { none = 2, wrong_password = 1, closed = 1 }
"""
NAMES = ("127.73.", "svc_n_scan", "unix-127", "N Unix record", "N vault title", "n-campaign")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Product, Lab]]:
    home = tmp_path_factory.mktemp("support")
    with running_lab(home, ESTATE) as lab:
        keymuster, campaign = Product(home / "state"), home / "campaign.toml"
        hosts = [host["address"] for host in lab.hosts]
        campaign.write_text(f"""
name = "n-campaign"
{lab.vault_table(title="N vault title")}
[[records]]
title = "N Unix record"
technology = "unix"
user = "svc_n_scan"
vault = "N vault title"
secret = "unix-{{address}}"
accounts = "local"
port = {lab.ready["ssh_port"]}
ips = {hosts}
[targets]
include = {hosts}
[pace]
retries = 0
""")
        assert keymuster.run(campaign).code == 0
        yield keymuster, lab


def test_what_it_holds_and_what_it_does_not(ran: tuple[Product, Lab], tmp_path: Path) -> None:
    keymuster, _ = ran
    file = tmp_path / "bundle.zip"
    ended = keymuster("support-bundle", "--yes", "-o", file)
    assert ended.code == 0, ended.stderr
    assert ended.stdout == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as bundle:
        texts = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert {"machine.json", "store.json", "run.json", "settings.json", "outcomes.ndjson", "logs/server.log"} <= set(
        texts
    )
    for name, text in texts.items():
        assert name in ended.stderr, "it is listed before it is written"
        assert [known for known in NAMES if known.casefold() in text.casefold()] == [], name
        assert str(keymuster.state) not in text
        assert not MARKER.search(text.encode())
    outcomes = [json.loads(line) for line in texts["outcomes.ndjson"].splitlines()]
    assert len(outcomes) == 4
    assert {o["reason"] for o in outcomes} >= {"BAD_CREDENTIALS"}
    assert json.loads(texts["run.json"])["totals"]["planned"] == 4
    assert json.loads(texts["store.json"])["check"] == "ok"


def test_without_consent_nothing_is_written(ran: tuple[Product, Lab], tmp_path: Path) -> None:
    keymuster, _ = ran
    file = tmp_path / "bundle.zip"
    ended = keymuster("support-bundle", "-o", file)
    assert ended.code == 2
    assert "outcomes.ndjson" in ended.stderr
    assert "--yes" in ended.stderr
    assert not file.exists()
    shown = on_terminal(keymuster.command("support-bundle", "-o", file))
    assert (shown.code, "Write it?" in shown.text) == (2, True)
    assert not file.exists()


def test_a_place_that_cannot_be_written_is_told_before_anything_is_read(
    ran: tuple[Product, Lab], tmp_path: Path
) -> None:
    keymuster, _ = ran
    refused(keymuster("support-bundle", "--yes", "-o", tmp_path / "none" / "b.zip"), "no directory")
    refused(keymuster("support-bundle", "--yes", "no-such-run"), "no run no-such-run")
