"""What every refusal has in common, and the command line without a process of its own.

A process costs a second. Where it would show nothing more than the text and the exit code (one test of each kind has
one), the command is run right here.
"""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import structlog

from orchestrator.cli.app import app
from tests.acceptance.product import Ended


def refused(ended: Ended, *texts: str, code: int = 2) -> None:
    """On stderr, without a traceback, and nothing on stdout."""
    assert ended.code == code, ended.stderr
    assert not ended.stdout
    assert "Traceback" not in ended.stderr
    for text in texts:
        assert text in ended.stderr


def unboxed(text: str) -> str:
    """A usage error's sentence, out of the box that it is drawn in."""
    return " ".join(text.replace("│", " ").split())


def here(*arguments: str | Path) -> Ended:
    """A command to its end, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        app([str(argument) for argument in arguments])
    structlog.reset_defaults()  # its logger would write to our `err` from here on
    assert isinstance(end.value.code, int)
    return Ended(end.value.code, out.getvalue(), err.getvalue())
