"""What is told of an exception that nobody expected, where it must cost one answer and not the process.

Only its class is kept: the text of a stranger's exception may quote a secret.
"""

from __future__ import annotations

import errno

from appliance.contract import NO_DESCRIPTOR, Signal, named


def told_of(error: Exception) -> tuple[Signal, str]:
    """The signal and its text: want of descriptors, which may show anywhere, or a bug."""
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return named("OWN_OVERLOAD"), NO_DESCRIPTOR
    return named("INTERNAL"), type(error).__name__
