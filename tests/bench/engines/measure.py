"""What one client costs: logins, seconds and CPU seconds of its own process, start-up and imports excluded.

A client reads `address user password` lines from standard input, calls `measured` around its loop, and prints one line
of JSON. A few hosts are logged in to before the clock starts, so that what is made once is not in the figure.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WARM = 8
"""Logins before the clock starts."""


@dataclass(frozen=True, slots=True)
class Host:
    address: str
    user: str
    password: str


def hosts() -> list[Host]:
    return [Host(*line.split()) for line in sys.stdin]


def measured(run: Callable[[Sequence[Host]], object], every: Sequence[Host]) -> None:
    """Run over the first few, then over the others against the clock; the figures go to standard output."""
    run(every[:WARM])
    rest = every[WARM:]
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    run(rest)
    spent, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(json.dumps({"logins": len(rest), "seconds": spent, "cpu": cpu}) + "\n")
