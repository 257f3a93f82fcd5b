"""The event loop and the garbage collector of a process that works on many small things at a time.

The loop is uvloop's, where there is one: orchestrator and scan processes take a tenth less CPU with it.

What has been imported stays for good: it is taken out of the collector's sight, and collections come less often. They
took a fifth of the orchestrator's CPU (0.42 to 0.34 ms a target: `python -m tests.bench.scale`), most of it to walk
over modules again and again, while what a target leaves behind is freed by its reference counts. While a program loads
nothing is collected: of the 90,000 objects that a scan process then has, 25 are garbage, and to look for them again and
again is a twelfth of its start.
"""

from __future__ import annotations

import gc
from importlib.util import find_spec
from typing import Any

BACKEND_OPTIONS: dict[str, Any] = {"use_uvloop": find_spec("uvloop") is not None}
"""For `anyio.run`."""
YOUNG, MIDDLE, OLD = 10_000, 5, 5
"""Python's own: 700, 10, 10. A connection of the libraries is a cycle, and holds all of its target: what was in flight
while the young were collected waits for the next collection of the middle, and so on. With 50 and 100 that was 22 KiB
a login, without end in sight for the 10,000 of a scan process; with these it is what some hundred targets leave.
"""


def begin_loading() -> None:
    """First of all, in a program that will `settle_in`."""
    gc.disable()


def settle_in() -> None:
    """When what is used is imported. What has been frozen is not walked over at the process's end either."""
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    gc.enable()
