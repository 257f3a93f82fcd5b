"""Where the store is and whose password it takes, by --store and the environment."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest
import typer

from orchestrator.cli.store_address import Environment, StoreAddress, store_address

NOTHING = Environment("", "")


@pytest.mark.parametrize(
    ("given", "environment", "found"),
    [
        (None, NOTHING, None),
        (None, Environment("", "pw"), None),
        (None, Environment("/srv/runs.db", ""), StoreAddress("/srv/runs.db")),
        (None, Environment("postgresql://u:p%40w@db/k", "other"), StoreAddress("postgresql://u@db/k", "p@w")),
        (None, Environment("postgresql://u@db/k?password=pw", ""), StoreAddress("postgresql://u@db/k", "pw")),
        ("postgresql://u@db/k", Environment("postgresql://x:y@z/a", ""), StoreAddress("postgresql://u@db/k")),
        ("postgresql://u@db:5433/k", Environment("", "pw"), StoreAddress("postgresql://u@db:5433/k", "pw")),
        (
            "postgresql://u@db/k?keyring=keymuster/u&sslrootcert=/etc/ca.pem",
            NOTHING,
            StoreAddress("postgresql://u@db/k?sslrootcert=/etc/ca.pem", None, "keymuster/u"),
        ),
        ("postgresql://u@/k?host=/run/postgresql", NOTHING, StoreAddress("postgresql://u@/k?host=/run/postgresql")),
        ("sqlite:////srv/runs.db", Environment("", "pw"), StoreAddress("sqlite:////srv/runs.db")),
    ],
)
def test_addresses(given: str | None, environment: Environment, found: StoreAddress | None) -> None:
    assert store_address(StoreAddress(given) if given else None, environment) == found
    assert "pw" not in repr(found)
    assert "pw" not in repr(environment)


@pytest.mark.parametrize("url", ["postgresql://u:pw@db/k", "postgresql://u:@db/k", "postgresql://u@db/k?password=pw"])
def test_a_password_is_not_taken_from_argv(url: str) -> None:
    with pytest.raises(typer.BadParameter, match="can be read by every user of this machine") as caught:
        store_address(StoreAddress(url), NOTHING)
    assert "pw" not in str(caught.value)
    for place in ("KEYMUSTER_STORE,", "PGPASSWORD", "KEYMUSTER_STORE_PASSWORD_FILE", "~/.pgpass", "keyring"):
        assert place in str(caught.value)


def test_a_url_that_cannot_be_read() -> None:
    with pytest.raises(typer.BadParameter, match="cannot be read; give postgresql://USER@HOST/DATABASE"):
        store_address(StoreAddress("postgresql://[::1/k"), NOTHING)


def test_the_environment_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYMUSTER_STORE", "postgresql://u:pw@db/k")
    monkeypatch.setenv("PGPASSWORD", "pw")
    assert Environment.taken() == Environment("postgresql://u:pw@db/k", "pw")
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    for name in ("KEYMUSTER_STORE", "PGPASSWORD"):
        assert name not in os.environ
        assert not libc.getenv(name.encode())
    assert Environment.taken() == NOTHING


@pytest.mark.parametrize("name", ["KEYMUSTER_STORE", "PGPASSWORD"])
def test_an_environment_that_is_no_text(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """PGPASSWORD may be another program's: it is looked at where a server is to be logged in to."""
    monkeypatch.setenv(name, os.fsdecode(b"hunter2\xe9"))
    environment = Environment.taken()
    assert name not in os.environ
    assert store_address(StoreAddress("/srv/runs.db"), environment) == StoreAddress("/srv/runs.db")
    given = None if name == "KEYMUSTER_STORE" else StoreAddress("postgresql://u@db/k")
    with pytest.raises(typer.BadParameter, match=f"^cannot read {name} in the environment: not UTF-8$"):
        store_address(given, environment)


def test_a_password_in_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("pw\n")
    by_file = Environment("postgresql://u@db/k", "", str(file))
    assert store_address(None, by_file) == StoreAddress("postgresql://u@db/k", "pw")
    assert store_address(None, Environment("postgresql://u:own@db/k", "", str(file))) == StoreAddress(
        "postgresql://u@db/k", "own"
    ), "the file is read where nothing else says it"
    assert store_address(None, Environment("/srv/runs.db", "", "/nowhere")) == StoreAddress("/srv/runs.db")
    for text, match in (("", "is empty"), (b"\xff", "no UTF-8 text")):
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(typer.BadParameter, match=match):
            store_address(None, by_file)
    file.unlink()
    with pytest.raises(typer.BadParameter, match=r"cannot read KEYMUSTER_STORE_PASSWORD_FILE, .*: No such file"):
        store_address(None, by_file)
