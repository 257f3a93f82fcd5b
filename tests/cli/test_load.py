"""`keymuster load`: what it refuses before anything is started, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.product import Product
from tests.cli.conftest import PASSWORD, RECORD, TARGETS, VAULT, Write
from tests.cli.refusals import here, refused, unboxed

JUMP = 'jump = { host = "192.0.2.9", user = "j", secret = "k" }\n'


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rate", "fast"), "'fast' is no rate; write arrivals per second (200/s), or a ramp (50/s..500/s)"),
        (("--rate", "0/s"), "it must be more than 0/s"),
        (("--duration", "60"), "'60' is no duration of a load test; write 60s, 10m or 1h"),
        (("--rate", "100000/s", "--duration", "24h"), "lower the rate or the duration"),
        (("--scope", "10.0.0.1/8"), "--scope: '10.0.0.1/8' does not begin on its own boundary; write 10.0.0.0/8"),
        (("--output", "report.pdf"), "--output report.pdf: the name's end says the format; end it in .html or .json"),
        (("--output", "/nowhere/load.html"), "there is no directory /nowhere"),
    ],
)
def test_what_cannot_be_driven(write: Write, state: Path, options: tuple[str, ...], said: str) -> None:
    refused(here("load", write(VAULT, RECORD, TARGETS), *options, "--state", state), said)
    assert not state.exists()


def test_two_kinds_of_load_at_once(write: Write, state: Path) -> None:
    ended = here("load", write(VAULT, RECORD, TARGETS), "--vault-only", "--logins", "--state", state)
    assert ended.code == 2
    assert "two kinds of load; leave one out" in unboxed(ended.stderr)


@pytest.mark.parametrize(
    ("parts", "outside"),
    [
        ((VAULT, RECORD, TARGETS.replace("127.9.0.1", "192.0.2.1")), "targets 192.0.2.1"),
        ((VAULT, RECORD, TARGETS.replace("127.9.0.1", "web.example")), "targets web.example"),
        ((VAULT.replace("http://127.0.0.1:9", "https://vault.example"), RECORD, TARGETS), "vaults vault.example"),
        (
            (VAULT, RECORD + JUMP, TARGETS),
            "jump hosts 192.0.2.9",
        ),
    ],
)
def test_nothing_off_loopback_without_a_scope(
    write: Write, state: Path, parts: tuple[str, ...], outside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(*next(iter(PASSWORD.items())))
    ended = here("load", write(*parts), "--state", state)
    refused(ended, "stays on loopback unless you say where else", outside, "Name them with --scope")
    assert not state.exists()


def test_a_file_that_is_neither_a_campaign_nor_an_estate(tmp_path: Path, state: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text('colour = "red"\n', encoding="utf-8")
    refused(here("load", file, "--state", state), f"{file}: neither a campaign nor an estate", "keymuster lab preset")


@pytest.mark.parametrize("text", ["name = ", 'name = "x"\nnonsense = 1\n'])
def test_a_bad_campaign_has_its_line(tmp_path: Path, state: Path, text: str) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text(text, encoding="utf-8")
    refused(here("load", file, "--state", state), f"{file}")


def test_a_file_that_is_not_there(tmp_path: Path, state: Path) -> None:
    refused(here("load", tmp_path / "none.toml", "--state", state), "none.toml")


def test_an_estate_and_a_bus_elsewhere_do_not_go_together(tmp_path: Path, state: Path) -> None:
    file = tmp_path / "estate.toml"
    file.write_text("[[hosts]]\ncount = 1\n", encoding="utf-8")
    refused(here("load", file, "--nats", "nats://127.0.0.1:4222", "--state", state), "leave out --nats", "lab up")


@pytest.mark.slow
def test_a_vault_that_nobody_answers_for_ends_it_before_it_begins(write: Write, keymuster: Product) -> None:
    ended = keymuster("load", write(VAULT, RECORD, TARGETS), "--duration", "1s", env=PASSWORD)
    refused(ended, "VAULT_UNREACHABLE", code=3)


@pytest.mark.slow
def test_a_bad_estate_has_its_line(tmp_path: Path, keymuster: Product) -> None:
    file = tmp_path / "estate.toml"
    file.write_text('[[hosts]]\nfault = "gremlins"\n', encoding="utf-8")
    ended = keymuster("load", file)
    refused(ended, f"{file}:2:", "unknown fault 'gremlins'", "the simulated estate did not come up")
