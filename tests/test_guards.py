"""The guards of conftest.py catch what they are there for: each careless test below must fail, the careful one pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

CARELESS = """
import asyncio, os, socket, subprocess, threading, time
import pytest

kept = []

def test_leaks_socket():
    kept.append(socket.socket())

def test_leaks_file():
    kept.append(open(os.devnull))

def test_leaks_thread():
    threading.Thread(target=gate.wait, name="forgotten", daemon=True).start()

def test_leaks_child():
    kept.append(subprocess.Popen(["sleep", "10"]))

async def test_leaks_task():
    kept.append(asyncio.get_running_loop().create_task(asyncio.sleep(30), name="forgotten"))

async def test_loses_exception():
    async def fail():
        raise LookupError("nobody retrieves this")
    asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0)

async def test_forgets_to_await():
    asyncio.sleep(0)

async def test_blocks_the_loop():
    blocking.pause(time)

@pytest.mark.keeps_open("")
def test_gives_no_reason():
    kept.append(open(os.devnull))

@pytest.mark.keeps_open("to show that it can")
def test_careful_with_reason():
    kept.append(open(os.devnull))

async def test_careful():
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))
    await asyncio.to_thread(time.sleep, 0.001)
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    _, stream = await asyncio.open_connection(*server.sockets[0].getsockname())
    stream.close()
    await stream.wait_closed()
    server.close()
    await server.wait_closed()
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_each_guard_fails_a_careless_test_and_only_that(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((HERE / "conftest.py").read_text())
    (tmp_path / "pyproject.toml").write_text((HERE.parent / "pyproject.toml").read_text())
    # The one guard that looks at our own packages only; this package stands for them.
    package = tmp_path / "appliance"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "blocking.py").write_text("def pause(time):\n    time.sleep(0.001)\n")
    for name in ("orchestrator", "targets"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    source = CARELESS + "\nfrom appliance import blocking\ngate = threading.Event()\n"
    (tmp_path / "test_careless.py").write_text(source)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "test_careless.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    told = set(re.findall(r"^(?:ERROR|FAILED) \S+::(\w+)", run.stdout, re.MULTILINE))
    careless = {name for name in re.findall(r"def (test_\w+)", CARELESS) if not name.startswith("test_careful")}
    assert told == careless, run.stdout
    for words in ("descriptor", "thread forgotten", "child process", "task left behind", "never retrieved",
                  "never awaited", "Blocking call to time.sleep", "say why"):  # fmt: skip
        assert words in run.stdout, f"{words!r} in {run.stdout}"
