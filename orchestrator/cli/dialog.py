"""Questions to whoever sits at the terminal. On stderr, so that stdout stays a report.

Ctrl-C ends a question at once. The event loop's own handler would only note it, and come to it after the answer.
"""

from __future__ import annotations

import getpass
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.cli.errors import AbortedError


def somebody_is_there() -> bool:
    return sys.stdin.isatty()


def agreed(question: str) -> bool:
    """A yes; anything else is none. Raises AbortedError."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    with _interruptible():
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def secret(prompt: str) -> str:
    """What is typed, unseen; empty at the end of input. Raises AbortedError."""
    with _interruptible():
        try:
            return getpass.getpass(f"{prompt}: ", stream=sys.stderr)
        except EOFError:
            return ""


@contextmanager
def _interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        raise AbortedError from None
    finally:
        signal.signal(signal.SIGINT, before)
