"""Where a command's data goes: stdout, or a file of the user's choice; either may be full, or not be ours to write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from orchestrator.cli.errors import BadInput


def check_output(output: Path | None) -> None:
    """Raises BadInput for a file that a report could not be written to: better before the run than after it."""
    if output is None:
        return
    if output.is_dir():
        raise BadInput(f"cannot write {output}: it is a directory")
    if not output.parent.is_dir():
        raise BadInput(f"cannot write {output}: there is no directory {output.parent}")
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise BadInput(f"cannot write {output}: make it writable for you, or name another file")


@contextmanager
def written_to(output: Path | None, hint: str = "") -> Iterator[TextIO]:
    """The file, or stdout for None, to be written. Raises BadInput, ending in the hint; BrokenPipeError as it is.

    Of a new file that finds no room nothing is left: a part of it could be taken for the whole.
    """
    new = output is not None and not output.exists()
    try:
        if output is None:
            yield sys.stdout
            sys.stdout.flush()
        else:
            with output.open("w", encoding="utf-8", newline="") as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        if output is None:
            discard_stdout()
        elif new:
            output.unlink(missing_ok=True)
        raise BadInput(f"cannot write {output or 'to stdout'}: {error.strerror}{hint}") from None


def discard_stdout() -> None:
    """Nobody gets what is still buffered; without this Python would try to write it at its end, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
