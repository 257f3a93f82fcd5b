"""What a process that holds secrets gives up, looked at from outside."""

from __future__ import annotations

import resource
import subprocess
import sys

PROGRAM = """
import ctypes, resource
from appliance.hardening import harden
harden()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""
PR_GET_DUMPABLE = 3


def test_no_core_dump_and_not_dumpable() -> None:
    """PR_GET_DUMPABLE (3) says 0: no other process of the same user may read the memory."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "(0, 0) 0"


def test_this_process_was_left_alone() -> None:
    """The test above must be able to fail: a process that was not hardened is dumpable."""
    program = f"import ctypes; print(ctypes.CDLL(None).prctl({PR_GET_DUMPABLE}, 0, 0, 0, 0))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "1"
    assert resource.getrlimit(resource.RLIMIT_CORE) is not None
