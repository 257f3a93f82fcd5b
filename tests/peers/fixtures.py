"""The real servers as fixtures: import the one that is needed into a conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.peers.ad import Directory, running_ad
from tests.peers.smbd import Smbd, running_smbd
from tests.peers.sshd import Sshd, running_sshd


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    with running_sshd() as server:
        yield server


@pytest.fixture(scope="session")
def newer_sshd() -> Iterator[Sshd]:
    with running_sshd(newer=True) as server:
        yield server


@pytest.fixture(scope="session")
def smbds() -> Iterator[dict[str, Smbd]]:
    with running_smbd() as servers:
        yield servers


@pytest.fixture(scope="session")
def directory() -> Iterator[Directory]:
    with running_ad() as controller:
        yield controller
