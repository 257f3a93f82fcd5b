"""A command on a terminal: a pseudo-terminal that answers, and writes down what was shown."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

ENDS_WITHIN_S = 60.0
QUIET_S = 0.2
"""Who asks says no more; a part of a longer text may end in a colon as well."""
CTRL_C, CTRL_D = b"\x03", b"\x04"


@dataclass(frozen=True, slots=True)
class Shown:
    code: int
    text: str
    """What the terminal got: stderr, and what the terminal echoes."""
    stdout: str


def on_terminal(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    *,
    stdout_too: bool = False,
    columns: int = 160,
    answer: bytes = b"\n",
) -> Shown:
    """Run a command whose stdin and stderr are a terminal; each question (it ends in a colon or a bracket)
    is answered with Enter, or with the keys given.

    With `stdout_too` its stdout is one as well, and to be found in `text`.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {**{name: value for name, value in os.environ.items() if name != "COLUMNS"}, "TERM": "xterm", **(env or {})}
    out = theirs if stdout_too else subprocess.PIPE
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        # A session of its own, whose terminal this is: only so is Ctrl-C a signal.
        own = ["setsid", "--ctty", "--wait", *command] if answer == CTRL_C else command
        process = subprocess.Popen(own, stdin=theirs, stdout=out, stderr=theirs, env=env)
        os.close(theirs)
        text, end = "", time.monotonic() + ENDS_WITHIN_S
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")  # a read may end amid a character
        try:
            asked = False
            while time.monotonic() < end:
                if not select.select([terminal], [], [], QUIET_S if asked else 1.0)[0]:
                    if asked:
                        os.write(terminal.fileno(), answer)
                    asked = False
                    continue
                try:
                    some = decoder.decode(terminal.read(65536))
                except OSError:  # EIO: nobody has the other side open any more
                    break
                text += some
                asked = some.rstrip(" ").endswith((":", "[y/N]"))
            written = process.stdout.read().decode() if process.stdout is not None else ""
            return Shown(process.wait(ENDS_WITHIN_S), text, written)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
