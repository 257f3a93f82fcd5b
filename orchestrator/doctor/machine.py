"""This machine: its clock, its limits, where its secrets may end up, its disk. Linux tells; elsewhere less is said."""

from __future__ import annotations

import ctypes
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from orchestrator.doctor.finding import Finding, bad, fine, warn

TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
_TIMEX_BYTES = 256
"""More than `struct timex` has anywhere; zeroes ask and set nothing."""
BESIDE = 256
"""Open files beside those of targets in flight: vaults, bus, store, pipes."""
LITTLE_MIB, SCARCE_MIB = 1024, 100
_MIB = 1 << 20


def clock() -> Finding:
    if not sys.platform.startswith("linux"):
        return fine("clock", "is not looked at on this system")
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return judged_clock(state)


def judged_clock(state: int) -> Finding:
    """`state`: what adjtimex(2) returns; below 0 where it may not be asked."""
    if state < 0:
        return fine("clock", "the kernel does not let us ask whether it is synchronised")
    if state == TIME_ERROR:
        return warn(
            "clock",
            "the kernel's clock is not synchronised",
            "run chrony or systemd-timesyncd, as on the other machines",
        )
    return fine("clock", "the kernel's clock is synchronised")


def open_files(in_flight: int) -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return judged_files(soft, hard, in_flight)


def judged_files(soft: int, hard: int, in_flight: int) -> Finding:
    needed = in_flight + BESIDE
    if soft == resource.RLIM_INFINITY or soft >= needed:
        said = "without limit" if soft == resource.RLIM_INFINITY else f"{soft:,}"
        return fine("open files", f"{said}; {needed:,} do for {in_flight:,} targets in flight")
    raised = f"`ulimit -n {needed}`, or LimitNOFILE={needed} in the unit"
    if hard != resource.RLIM_INFINITY and hard < needed:
        raised = f"have the administrator raise the hard limit ({hard:,}), then {raised}"
    return bad("open files", f"{soft:,}, and {in_flight:,} targets in flight take up to {needed:,}", raised)


def secrets(proc: Path = Path("/proc")) -> Iterator[Finding]:
    """Processes that hold target credentials switch core dumps off by themselves; what is left is the machine's."""
    scope = _word(proc / "sys/kernel/yama/ptrace_scope")
    if scope == "0":
        yield warn(
            "ptrace",
            "kernel.yama.ptrace_scope is 0: processes of one user may read one another's memory. Those that hold "
            "target credentials are kept from it; the orchestrator, which holds vault logins, is not",
            "sysctl kernel.yama.ptrace_scope=1, and a user of its own for Keymuster",
        )
    else:
        yield fine("ptrace", f"kernel.yama.ptrace_scope is {scope or 'not there: the kernel has no Yama'}")
    locked = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    yield judged_swap(_lines(proc / "swaps")[1:], locked=locked)
    limit = resource.getrlimit(resource.RLIMIT_CORE)[0]
    if limit == 0:
        yield fine("core dumps", "are off")
    else:
        yield warn(
            "core dumps",
            "the orchestrator, which holds vault logins, may leave one; appliances and scan processes leave none",
            "`ulimit -c 0`, or LimitCORE=0 in the unit",
        )


def judged_swap(swaps: list[str], *, locked: bool) -> Finding:
    if locked:
        return fine("swap", "credentials are locked into memory (RLIMIT_MEMLOCK is unlimited)")
    if not swaps:
        return fine("swap", "the machine has none")
    return warn(
        "swap",
        "credentials may be swapped out: memory is locked only where RLIMIT_MEMLOCK is unlimited",
        "LimitMEMLOCK=infinity in the unit, or encrypted swap, or none",
    )


def disk(state: Path) -> Finding:
    place = next(path for path in (state, *state.absolute().parents) if path.exists())
    return judged_disk(shutil.disk_usage(place).free // _MIB, place)


def judged_disk(free_mib: int, place: Path) -> Finding:
    text = f"{free_mib:,} MiB are free at {place}"
    advice = "make room, or name another directory with --state: store and bus stop where the disk is full"
    if free_mib < SCARCE_MIB:
        return bad("disk", text, advice)
    return warn("disk", text, advice) if free_mib < LITTLE_MIB else fine("disk", text)


def _word(file: Path) -> str:
    return "".join(_lines(file)[:1]).strip()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
