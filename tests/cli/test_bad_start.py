"""What keeps a run from beginning, or from going on: told with the exit code that says so, and nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.bus.users import new_user
from tests.acceptance.product import Product
from tests.cli.conftest import PASSWORD, RECORD, TARGETS, VAULT, Write
from tests.cli.namespace import in_namespace, mounts
from tests.cli.nats import nats_server
from tests.cli.refusals import here, refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


# -- the vault's login -------------------------------------------------------------------------------------------------


def test_a_password_that_is_not_in_the_environment(keymuster: Product, write: Write) -> None:
    refused(
        keymuster("run", write()),
        "vault 'V': the environment has no KEYMUSTER_TEST_PASSWORD; set it for this command",
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [(None, "No such file or directory"), (b"\n", "is empty"), (b"\xff\xfe", "not UTF-8")],
    ids=["missing", "empty", "no text"],
)
def test_a_password_file_that_cannot_be_used(
    keymuster: Product, write: Write, tmp_path: Path, content: bytes | None, text: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    vault = VAULT.replace('{ env = "KEYMUSTER_TEST_PASSWORD" }', f'{{ file = "{file}" }}')
    refused(keymuster("run", write(vault, RECORD, TARGETS)), "vault 'V':", f"the password file {file}", text)


def test_a_password_in_the_environment_that_is_no_text(keymuster: Product, write: Write) -> None:
    refused(
        keymuster("run", write(), env=dict.fromkeys(PASSWORD, os.fsdecode(b"hunter2\xe9"))),
        "vault 'V': cannot read KEYMUSTER_TEST_PASSWORD in the environment: not UTF-8",
    )


def test_a_password_cannot_be_asked_for_without_a_terminal(keymuster: Product, write: Write) -> None:
    vault = VAULT.replace('{ env = "KEYMUSTER_TEST_PASSWORD" }', "{ prompt = true }")
    refused(
        keymuster("run", write(vault, RECORD, TARGETS)), "vault 'V': cannot ask for the password without a terminal"
    )


def test_a_vault_that_nobody_serves_leaves_no_run(keymuster: Product, write: Write) -> None:
    """Refused logins and sick vaults: `tests/acceptance/test_vaults.py`."""
    refused(keymuster("run", write(), env=PASSWORD), "vault 'V' (", "VAULT_UNREACHABLE: ECONNREFUSED", code=3)
    assert keymuster.planned_runs() == []


# -- the bus -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    file = tmp_path / "seed"
    file.write_text(new_user().seed)
    return file


def test_a_bus_that_refuses_the_login(keymuster: Product, write: Write, seed: Path, tmp_path: Path) -> None:
    other = f"authorization {{ users: [{{ nkey: {new_user().public} }}] }}\n"
    with nats_server(tmp_path, other) as url:
        ended = keymuster("run", write(), "--nats", url, "--nats-seed", seed, env=PASSWORD)
    refused(ended, f"the bus at {url}", "refuses this login: its key is not known there", code=3)


@pytest.mark.parametrize("content", [None, "SUAC\n", "\xff"], ids=["missing", "no seed", "no text"])
def test_a_seed_that_cannot_be_used(keymuster: Product, write: Write, tmp_path: Path, content: str | None) -> None:
    seed = tmp_path / "bad seed"
    if content is not None:
        seed.write_bytes(content.encode("latin-1"))
    ended = keymuster("run", write(), "--nats", "nats://127.0.0.1:1", "--nats-seed", seed, env=PASSWORD)
    assert ended.code in {2, 3}
    assert "internal error" not in ended.stderr
    assert "seed" in ended.stderr


def test_a_bus_in_plain_text_is_refused_off_this_machine(keymuster: Product, write: Write, seed: Path) -> None:
    ended = keymuster("run", write(), "--nats", "nats://192.0.2.1", "--nats-seed", seed, env=PASSWORD)
    refused(ended, "jobs would go there in plain text: set up TLS for it", code=3)


def test_a_bus_without_a_seed(keymuster: Product, write: Write) -> None:
    ended = keymuster("run", write(), "--nats", "nats://127.0.0.1:1", env=PASSWORD)
    refused(ended, "--nats needs --nats-seed FILE, the nkey seed or the credentials of the orchestrator's user")


# -- the state directory -----------------------------------------------------------------------------------------------


def test_a_state_directory_that_cannot_be_made(keymuster: Product, write: Write, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = Product(tmp_path / "file" / "state")("run", write(), env=PASSWORD)
    refused(
        ended, f"the state directory {tmp_path}/file/state cannot be used", "make it writable for you, or name another"
    )


@mounts
def test_a_state_directory_that_cannot_be_written(keymuster: Product, write: Write) -> None:
    keymuster.state.mkdir()
    script = f"mount -t tmpfs -o ro none {keymuster.state} && exec {' '.join(keymuster.command('run', write()))}"
    ended = in_namespace(script)
    assert ended.returncode == 2
    assert f"the state directory {keymuster.state} cannot be used (Read-only file system)" in ended.stderr


def test_a_store_that_is_none(keymuster: Product, write: Write) -> None:
    keymuster.state.mkdir()
    (keymuster.state / "keymuster.db").write_bytes(b"no store " * 1000)
    refused(keymuster("runs"), "it is no Keymuster store; move the file away, or name another")
    refused(keymuster("run", write(), env=PASSWORD), "it is no Keymuster store; move the file away, or name another")


# -- what is asked for -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--sample", "0"), "'0' is no sample; it must be at least one target"),
        (("--sample", "101%"), "'101%' is no sample; it must be"),
        (("--sample", "many"), "'many' is no sample; write a number of targets (10) or a share of them (1%)"),
        (("-o", "/nowhere/report"), "cannot write /nowhere/report: there is no directory /nowhere"),
        (("-o", "/"), "cannot write /: it is a directory"),
    ],
)
def test_a_wish_that_cannot_be_granted(keymuster: Product, write: Write, arguments: tuple[str, str], text: str) -> None:
    refused(keymuster("run", write(), *arguments, env=PASSWORD), text)
    assert not (keymuster.state / "keymuster.db").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("report",), "there is no run in"),
        (("runs",), "there is no run in"),
        (("run", "--resume", "R"), "there is no run in"),
        (("rerun", "R", "--failed"), "there is no run in"),
        (("rerun", "R"), "say which targets: --failed, --unreached or --reason CODE"),
        (("rerun", "R", "--reason", "NOPE"), "there is no reason NOPE; `keymuster report R` shows those that occurred"),
        (("run",), "name a campaign file to run, or `--resume RUN`"),
        (("report", "--format", "xml"), "'xml' is not one of"),
        (("vault", "test", "V", "--campaign", "nowhere.toml"), "nowhere.toml"),
    ],
)
def test_a_question_about_nothing(keymuster: Product, arguments: tuple[str, ...], text: str) -> None:
    refused(here(*arguments, "--state", keymuster.state), text)
    assert not keymuster.state.exists()


def test_titles_that_the_campaign_does_not_have(keymuster: Product, write: Write) -> None:
    file = write()
    there = ("--campaign", file, "--state", keymuster.state)
    vault = here("vault", "test", "W", *there)
    refused(vault, "the campaign has no vault titled 'W'; it has 'V'")
    probe = here("probe", "127.9.0.1", "--record", "W", *there)
    refused(probe, "the campaign has no record titled 'W'; it has 'Unix'")
    nowhere = here("probe", "no host!", "--record", "Unix", *there)
    refused(nowhere, "'no host!' cannot be probed: it is no address and no name of a host")


def test_a_campaign_file_is_not_written_over(write: Write) -> None:
    file = write()
    before = file.read_bytes()
    refused(here("init", file), f"{file} is already there; it was left as it is")
    assert file.read_bytes() == before
