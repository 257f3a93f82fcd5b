"""What a process that holds secrets gives up: core dumps, being read by its own user, and swap where it may.

Linux only (prctl(2), mlockall(2)); elsewhere core dumps alone. Root can read any process: SECURITY.md says so.
"""

from __future__ import annotations

import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4
MCL_CURRENT_AND_FUTURE = 3


def harden() -> None:
    """No core dump, not dumpable, and locked into memory where the limit is unlimited.

    With a finite RLIMIT_MEMLOCK, MCL_FUTURE would make later allocations fail, so it is left alone.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        libc.mlockall(MCL_CURRENT_AND_FUTURE)
