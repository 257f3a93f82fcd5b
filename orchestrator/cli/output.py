"""Where a command's data goes: stdout, or a file of the user's choice; either may be full, or not be ours to write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from orchestrator.cli.errors import BadInput


def check_output(output: Path | None) -> None:
    """Raises BadInput for a file that a report could not be written to: better before the run than after it."""
    if output is None:
        return
    # Not by the methods of Path, which raise for a name that is too long.
    if os.path.isdir(output):  # noqa: PTH112 - see above
        raise BadInput(f"cannot write {output}: it is a directory")
    if not os.path.isdir(output.parent):  # noqa: PTH112 - see above
        raise BadInput(f"cannot write {output}: there is no directory {output.parent}")
    if not os.access(output if os.path.exists(output) else output.parent, os.W_OK):  # noqa: PTH110 - see above
        raise BadInput(f"cannot write {output}: make it writable for you, or name another file")


@contextmanager
def written_to(output: Path | None, hint: str = "") -> Iterator[TextIO]:
    """The file, or stdout for None, to be written. Raises BadInput, ending in the hint; BrokenPipeError as it is."""
    try:
        if output is None:
            yield sys.stdout
            sys.stdout.flush()
        else:
            with whole_or_none(output), output.open("w", encoding="utf-8", newline="") as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        if output is None:
            discard_stdout()
        raise BadInput(f"cannot write {output or 'to stdout'}: {error.strerror}{hint}") from None


@contextmanager
def whole_or_none(file: Path) -> Iterator[None]:
    """Around all that makes a file: of a new one that comes to no end nothing is left, since a part of it could be
    taken for the whole. A link of the user's stays, wherever it leads.
    """
    made = Path(os.path.realpath(file))
    new = not os.path.lexists(made)
    try:
        yield
    except BaseException:
        if new:
            with suppress(OSError):  # what went wrong is told, and not that this did too
                made.unlink()
        raise


def discard_stdout() -> None:
    """Nobody gets what is still buffered; without this Python would try to write it at its end, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
