from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.chaos.processes import adopting, strangers, until
from tests.acceptance.chaos.runs import Command


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Starts `keymuster ARGUMENTS --state DIR`, always the same DIR."""
    commands: list[Command] = []

    def begin(*arguments: str) -> Command:
        commands.append(Command(tmp_path / "state", *arguments))
        return commands[-1]

    with adopting():
        yield begin
        for command in commands:
            command.end()


@pytest.fixture
def nobody_is_left() -> Callable[..., None]:
    """Every process of the commands is gone, but those given (by pid)."""

    def check(*known: int) -> None:
        until(lambda: not strangers(set(known)), f"the end of {strangers(set(known))}", within=20)

    return check
