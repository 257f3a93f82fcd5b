"""The launcher: what the program it starts finds, and how it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from appliance import launch
from appliance.launch import launch_argv

LOOK = "import ctypes, os, resource; d = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(d)); "
LOOK += "print(d.value, resource.getrlimit(resource.RLIMIT_CORE), os.getppid())"


@pytest.mark.parametrize(("term", "number"), [(False, 9), (True, 15)])
def test_the_program_is_bound_to_its_parent_and_dumps_no_core(term: bool, number: int) -> None:
    argv = launch_argv([sys.executable, "-c", LOOK], term=term)
    assert subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split("\n")[0] == (
        f"{number} (0, 0) {os.getpid()}"
    )


def test_descriptors_are_handed_through() -> None:
    read, write = os.pipe()
    try:
        os.write(write, b"seed")
        argv = launch_argv([sys.executable, "-c", f"import os; print(os.read({read}, 9))"])
        done = subprocess.run(argv, check=True, capture_output=True, text=True, pass_fds=[read])
    finally:
        os.close(read)
        os.close(write)
    assert done.stdout.strip() == "b'seed'"


def test_a_parent_that_is_gone_starts_nothing() -> None:
    argv = [sys.executable, launch.__file__, "1", "--", "echo", "started"]
    done = subprocess.run(argv, check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("rest", [[], ["x", "--", "true"], ["1"], ["1", "true"], ["--term", "1", "--"]])
def test_usage(rest: list[str]) -> None:
    assert subprocess.run([sys.executable, launch.__file__, *rest], check=False).returncode == 2


def test_a_missing_program_is_named() -> None:
    done = subprocess.run(launch_argv(["/nowhere/x"]), check=False, capture_output=True, text=True)
    assert done.returncode == 127
    assert done.stderr == "cannot start /nowhere/x: No such file or directory\n"


def test_it_is_refused_off_the_main_thread() -> None:
    refused: list[str] = []

    def call() -> None:
        try:
            launch_argv(["true"])
        except RuntimeError as error:
            refused.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert refused == ["a child that must die with its parent is spawned from the main thread"]
