"""Campaign files of parts, and `keymuster` on a state directory of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.fixtures import commands_are_forked
from tests.acceptance.product import Product

__all__ = ["commands_are_forked"]

NOBODY = "http://127.0.0.1:9/SecretServer"
"""Port 9: nobody listens."""

VAULT = f"""
[[vaults]]
title = "V"
type = "Thycotic Secret Server"
url = "{NOBODY}"
user = "svc"
password = {{ env = "KEYMUSTER_TEST_PASSWORD" }}
"""
RECORD = """
[[records]]
title = "Unix"
technology = "unix"
user = "scan"
vault = "V"
secret = "s"
ips = ["127.9.0.1"]
"""
TARGETS = """
[targets]
include = ["127.9.0.1"]
"""
PASSWORD = {"KEYMUSTER_TEST_PASSWORD": "known to nobody"}

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_state_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have one, of another release even."""
    monkeypatch.setenv("KEYMUSTER_STATE", str(tmp_path / "own-state"))


@pytest.fixture
def keymuster(tmp_path: Path) -> Product:
    return Product(tmp_path / "state")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a campaign file: by default one that is in order."""

    def make(*parts: str) -> Path:
        file = tmp_path / "campaign.toml"
        file.write_text('name = "c"\n' + "".join(parts or (VAULT, RECORD, TARGETS)), encoding="utf-8")
        return file

    return make


def line_of(file: Path, text: str) -> int:
    """The line, counted from 1, that has this text; the first of them."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
