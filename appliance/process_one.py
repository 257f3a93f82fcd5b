"""Process 1 of a container, which the kernel spares what a signal does by default.

A command that waits for a bus, say, would not hear that it is to end, and be killed when nobody waits any longer. It
imports nothing of ours, and little else: every command begins with it.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def end_on_sigterm() -> None:
    """Let SIGTERM end this process, if it is process 1. Whoever handles the signal himself later does so."""
    if os.getpid() == 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)
