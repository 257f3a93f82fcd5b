from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.chaos.processes import adopting, children, strangers, until
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
    """Every process of the commands is gone, but those given (by pid) and what other tests keep for their like."""
    before = set(children(os.getpid()))

    def check(*known: int) -> None:
        allowed = before | set(known)
        until(lambda: not strangers(allowed), f"the end of {strangers(allowed)}")

    return check
