"""What an appliance says of itself before it serves: versions, and whether they have the fast paths."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any


def guards() -> dict[str, Any]:
    """By library its version, and whether it is one whose inside the fast path knows."""
    from appliance.login import smb_fast, ssh_fast  # noqa: PLC0415 - the protocol libraries take long to load

    names = ("asyncssh", "impacket", "aiohttp", "nats-py", "cryptography")
    versions = {"Python": platform.python_version(), **{name: version(name) for name in names}}
    return {"versions": versions, "fast": {"SSH": ssh_fast.USABLE, "SMB": smb_fast.USABLE}}
