"""What each program must not load when it starts: commands are given, and processes replaced, a thousand times a day.

What is named here costs 10 to 150 ms of CPU each (`python -m tests.bench.starts`), and the program has no use for it,
or not for most of those who start it. And the other way round: what a login needs is there before the first job.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.store import open_store

LOGINS = ("asyncssh", "impacket")
BUS, VAULT = ("nats",), ("aiohttp",)
STORE = ("sqlalchemy",)
MIGRATION = ("alembic",)
SHOWN = ("jinja2", "prometheus_client", "pygments")
TERMINAL = ("rich", "colorama")
ENGINE = ("orchestrator.cli.engine", "orchestrator.service", "orchestrator.assembly")

PROGRAMS = {
    "scan process, before its greeting": (
        "import appliance.worker",
        (*LOGINS, *BUS, *VAULT, *STORE, *SHOWN, *TERMINAL),
    ),
    "scan process": (
        "import appliance.worker, appliance.bus.opening, appliance.wiring",
        (*STORE, *SHOWN, *TERMINAL, "orchestrator", "targets"),
    ),
    "supervisor": (
        "import appliance.__main__, appliance.embedded",
        (*LOGINS, *VAULT, *STORE, *SHOWN, *TERMINAL, "cryptography.x509", "orchestrator", "targets"),
    ),
    "searcher": (
        "import appliance.leaks.searcher",
        (*LOGINS, *BUS, *STORE, *SHOWN, *TERMINAL, "orchestrator", "targets"),
    ),
    "estate": (
        "import targets.program",
        ("impacket", *BUS, *STORE, *SHOWN, *TERMINAL, "structlog", "appliance", "orchestrator"),
    ),
    "run": (
        "import orchestrator.cli.starting",
        (*LOGINS, *VAULT, *MIGRATION, *SHOWN, "cryptography.x509", "appliance.supervisor", "targets"),
    ),
    "pause, resume, cancel": (
        "import orchestrator.cli.controlling",
        (*LOGINS, *VAULT, *MIGRATION, *SHOWN, *TERMINAL, *ENGINE),
    ),
    "stop, allow": (
        "import orchestrator.cli.stopping",
        (*LOGINS, *VAULT, *MIGRATION, *SHOWN, "orchestrator.cli.engine", "orchestrator.service"),
    ),
    "report": (
        "import orchestrator.cli.history, orchestrator.cli.reporting",
        (*LOGINS, *BUS, *VAULT, *MIGRATION, *SHOWN, "orchestrator.cli.engine", "orchestrator.service"),
    ),
}
TELL = "; import json, sys; print(json.dumps(sorted(sys.modules)))"
COMMAND = """
import atexit, json, os, sys
atexit.register(lambda: os.write(2, json.dumps(sorted(sys.modules)).encode()))
from orchestrator.cli import main
main()
"""


def loaded(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code + TELL], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_loads_nothing_that_it_has_no_use_for(name: str) -> None:
    code, heavy = PROGRAMS[name]
    assert sorted(loaded(code) & set(heavy)) == []


def test_a_scan_process_has_loaded_what_logins_need_before_it_takes_a_job() -> None:
    code, _ = PROGRAMS["scan process"]
    assert loaded(code) >= {"asyncssh", "impacket.smb3", "aiohttp", "nats"}


async def test_the_list_of_runs_loads_the_store_and_no_more(tmp_path: Path) -> None:
    """To the command's end: what it loads when it is under way counts too."""
    store = await open_store(tmp_path / "keymuster.db")
    await store.close()
    seen = run_to_its_end("runs", "--state", str(tmp_path))
    assert "sqlalchemy" in seen
    heavy = {*LOGINS, *BUS, *VAULT, *MIGRATION, *SHOWN, *ENGINE, "orchestrator.campaign_model", "orchestrator.plan"}
    assert sorted(seen & heavy) == []


def test_the_version_is_told_without_the_engine() -> None:
    heavy = {*LOGINS, *BUS, *VAULT, *STORE, *MIGRATION, *SHOWN, *TERMINAL, *ENGINE, "appliance.contract"}
    assert sorted(run_to_its_end("--version") & heavy) == []


def run_to_its_end(*arguments: str) -> set[str]:
    """What a command of the command line has loaded when it ends."""
    command = [sys.executable, "-c", COMMAND, *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("KEYMUSTER_")}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return set(json.loads(done.stderr))
