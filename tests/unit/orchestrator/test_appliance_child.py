"""What the orchestrator writes into its supervisor's standard input, while much happens at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.lowlevel import checkpoint

from orchestrator.cli.appliance_child import Admission, ApplianceChild

READER = """
import sys, time
time.sleep(0.2)
with open(sys.argv[1], "wb") as heard:
    for line in sys.stdin.buffer:
        heard.write(line)
        if b'"drain"' in line:
            break
"""
"""A supervisor that is slow to read, so that a long message fills the pipe and its sender must wait."""
RUNS = 200
NETWORKS = tuple(f"10.{n // 250}.{n % 250}.0/24" for n in range(50_000))


async def test_runs_that_are_admitted_while_it_starts_come_after_its_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = tmp_path / "heard"
    real, started = anyio.open_process, anyio.Event()

    async def open_reader(_argv: list[str], *, stdin: int, **options: Any) -> Process:
        options["stderr"] = subprocess.DEVNULL
        started.set()
        return await real([sys.executable, "-c", READER, str(heard)], stdin=stdin, **options)

    monkeypatch.setattr(anyio, "open_process", open_reader)
    child = ApplianceChild(
        name="a", zone="z", bus_url="nats://127.0.0.1:1", bus_seed="SU", capacity=2, log_file=tmp_path / "log"
    )
    await child.admit(Admission("before", NETWORKS, "tofu", ()))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(child.run, name="child")
        await started.wait()
        for number in range(RUNS):
            await child.admit(Admission(f"run {number}", (), "tofu", ()))
            await checkpoint()
        tasks.cancel_scope.cancel()
    told = [json.loads(line) for line in heard.read_bytes().splitlines()]
    assert told[0]["kind"] == "identity"
    assert told[-1] == {"kind": "drain"}
    runs = [message["run"] for message in told[1:-1]]
    assert runs[0] == "before"
    assert set(runs) == {"before", *(f"run {n}" for n in range(RUNS))}
