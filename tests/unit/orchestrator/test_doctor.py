"""What doctor makes of what it sees: each check, fine and otherwise."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from orchestrator.doctor import Level, clocks, machine

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(("state", "level"), [(0, Level.OK), (1, Level.OK), (5, Level.WARN), (-1, Level.OK)])
def test_the_clock(state: int, level: Level) -> None:
    assert machine.judged_clock(state).level is level


def test_the_kernel_is_asked_and_sets_nothing() -> None:
    assert machine.clock().check == "clock"


@pytest.mark.parametrize(
    ("soft", "hard", "level", "advice"),
    [
        (512, 512, Level.OK, ""),
        (UNLIMITED, UNLIMITED, Level.OK, ""),
        (511, 4096, Level.BAD, "`ulimit -n 512`, or LimitNOFILE=512 in the unit"),
        (511, 511, Level.BAD, "have the administrator raise the hard limit (511), then `ulimit -n 512`"),
        (256, UNLIMITED, Level.BAD, "`ulimit -n 512`"),
    ],
)
def test_open_files(soft: int, hard: int, level: Level, advice: str) -> None:
    found = machine.judged_files(soft, hard, in_flight=256)
    assert found.level is level
    assert found.advice.startswith(advice)


@pytest.mark.parametrize(
    ("swaps", "locked", "level"),
    [([], False, Level.OK), (["/dev/sda2"], True, Level.OK), (["/dev/sda2"], False, Level.WARN)],
)
def test_swap(swaps: list[str], locked: bool, level: Level) -> None:
    assert machine.judged_swap(swaps, locked=locked).level is level


@pytest.mark.parametrize(("scope", "level"), [("0", Level.WARN), ("1", Level.OK), (None, Level.OK)])
def test_ptrace(tmp_path: Path, scope: str | None, level: Level) -> None:
    if scope is not None:
        file = tmp_path / "sys/kernel/yama/ptrace_scope"
        file.parent.mkdir(parents=True)
        file.write_text(f"{scope}\n")
    found = {one.check: one for one in machine.secrets(tmp_path)}
    assert found["ptrace"].level is level
    assert found["swap"].level is Level.OK


@pytest.mark.parametrize(("free", "level"), [(99, Level.BAD), (100, Level.WARN), (1023, Level.WARN), (1024, Level.OK)])
def test_disk(free: int, level: Level) -> None:
    assert machine.judged_disk(free, Path("/")).level is level


def test_the_disk_of_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    assert f"free at {tmp_path}" in machine.disk(tmp_path / "a" / "b").text


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        ({"offset": "-12.5", "offset_error": "0.1"}, Level.OK, "12.5 s behind"),
        ({"offset": "31.0", "offset_error": "0.5"}, Level.WARN, "31.0 s ahead of"),
        ({"offset": "31.0", "offset_error": "2.0"}, Level.OK, "31.0 s ahead of"),
    ],
)
def test_a_vaults_clock(facts: dict[str, str], level: Level, text: str) -> None:
    found = clocks.judged("V", facts)
    assert found is not None
    assert found.level is level
    assert text in found.text


def test_a_vault_that_does_not_tell_its_time() -> None:
    assert clocks.judged("V", {}) is None
