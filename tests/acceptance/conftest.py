from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.fixtures import commands_are_forked
from tests.acceptance.lab import Lab, running_lab
from tests.acceptance.product import Product
from tests.peers.fixtures import directory, newer_sshd, smbds, sshd

__all__ = ["commands_are_forked", "directory", "newer_sshd", "smbds", "sshd"]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Callable[[str], Lab]]:
    """Serves an estate until the test is over."""
    with ExitStack() as stack:
        yield lambda estate: stack.enter_context(running_lab(tmp_path, estate))


@pytest.fixture
def keymuster(tmp_path: Path) -> Product:
    return Product(tmp_path / "state")


@pytest.fixture
def campaign(tmp_path: Path) -> Callable[..., Path]:
    """Writes a campaign file of these parts."""

    def write(*parts: str, name: str = "campaign") -> Path:
        file = tmp_path / f"{name}.toml"
        file.write_text(f'name = "{name}"\n' + "\n".join(parts), encoding="utf-8")
        return file

    return write
