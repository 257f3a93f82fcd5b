"""Secrets in the environment: each is taken out of it at once, so that no child gets it and nobody reads it there."""

from __future__ import annotations

import ctypes
import os

from appliance.utf8 import is_text
from orchestrator.cli.errors import BadInput


def taken(name: str) -> str:
    """The value, which is gone from the environment then; empty where there is none. It may be no text: `readable`."""
    _wipe(name)
    return os.environ.pop(name, "")


def readable(name: str, value: str) -> str:
    """The value, if it is a text. Raises BadInput."""
    if not is_text(value):
        raise BadInput(f"cannot read {name} in the environment: not UTF-8")
    return value


def _wipe(name: str) -> None:
    """Blank the value where the kernel keeps it: /proc/PID/environ shows a process's first environment for ever.

    Python has made its own copy of it, which `os.environ` is.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    place = libc.getenv(os.fsencode(name))
    if place:
        ctypes.memset(place, 0, len(ctypes.string_at(place)))
