"""`keymuster fleet` before there is one, or where none can be made: nothing is left half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.refusals import here, refused

INIT = ("fleet", "init", "--url", "tls://nats.example:4222", "--directory")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEYMUSTER_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("url", ["nats://nats.example:4222", "nats://127.0.0.1:4222,nats://nats.example:4222"])
def test_no_fleet_is_founded_that_would_speak_in_plain_text(tmp_path: Path, url: str) -> None:
    refused(here("fleet", "init", "--url", url, "--directory", tmp_path / "out"), "by TLS alone; write tls://HOST:PORT")
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_written_leave_no_fleet(state: Path, tmp_path: Path) -> None:
    """Else the second try would hear that there is one already, and its keys would be of no use to anybody."""
    (tmp_path / "file").touch()
    refused(here(*INIT, tmp_path / "file" / "out"), "cannot write", "Not a directory")
    assert not (state / "fleet.json").exists()
    assert here(*INIT, tmp_path / "out").code == 0
    assert (state / "fleet.json").exists()


def test_keys_that_cannot_be_written_leave_no_files(state: Path, tmp_path: Path) -> None:
    state.touch()
    refused(here(*INIT, tmp_path / "out"), "cannot write")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_list_of_no_fleet_says_how_to_make_one(state: Path) -> None:
    refused(here("fleet", "list"), f"there is no fleet in {state}; `keymuster fleet init` makes one")


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("zone", ["DMZ", "a.b", "", "a" * 33])
def test_nobody_is_invited_into_a_zone_that_no_campaign_can_name(tmp_path: Path, zone: str) -> None:
    assert here(*INIT, tmp_path / "out").code == 0
    refused(here("fleet", "add", "--zone", zone), f"{zone!r} is no name of a zone; use up to 32 lower-case letters")
