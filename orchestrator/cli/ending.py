"""How a command ends: an exit code for the shell, and on stderr one line for each thing that is wrong.

Expected failures are exceptions with a text of their own. Any other exception is a bug of ours: its class and place are
told, its text only with `-vv`, since the text of a stranger's exception may quote what it was working on.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import anyio
import typer

from appliance.bus import BusError
from appliance.long_lived import BACKEND_OPTIONS, settle_in
from orchestrator.campaign_faults import CampaignError
from orchestrator.cli.errors import AbortedError, CommandError, Exit
from orchestrator.cli.output import discard_stdout
from orchestrator.fleet.errors import FleetError
from orchestrator.nats_binary import NatsServerError
from orchestrator.report.escape import plain
from orchestrator.state_dir import StateDirError
from orchestrator.store.errors import StoreError

_CODES: dict[type[Exception], Exit] = {
    CampaignError: Exit.BAD_INPUT,
    StateDirError: Exit.BAD_INPUT,
    FleetError: Exit.BAD_INPUT,
    BusError: Exit.VAULT,
    # Whatever cannot begin is translated where it begins; here a run was under way, and can be resumed.
    StoreError: Exit.INCOMPLETE,
    NatsServerError: Exit.INCOMPLETE,
}
_PIPE_CLOSED = 141
"""What a shell reports of a program that SIGPIPE ended."""


def run_async(command: Callable[..., Coroutine[Any, Any, Exit]], *arguments: Any, verbose: int = 0) -> int:
    """A command's whole life in an event loop; its exit code."""
    run = partial(anyio.run, command, *arguments, backend_options=BACKEND_OPTIONS)
    return run_sync(run, verbose=verbose)


def run_sync(step: Callable[[], Exit], *, verbose: int = 0) -> int:
    """A command's whole life; what it needs is loaded by now."""
    settle_in()
    try:
        code = int(step())
        sys.stdout.flush()
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except BaseException as error:  # noqa: BLE001 - the last boundary: whatever it is, its end is told here
        return told(error, verbose=verbose)
    return code


def told(error: BaseException, *, verbose: int = 0) -> int:
    """Say what ended the command; its exit code: the first of the failures decides."""
    failures = list(leaves(error))
    if any(isinstance(f, KeyboardInterrupt | AbortedError | typer.Abort) for f in failures):  # the last: at a question
        return Exit.INTERRUPTED
    # rich makes a SystemExit of a reader that has gone.
    if any(isinstance(f, BrokenPipeError) or isinstance(f.__context__, BrokenPipeError) for f in failures):
        return _reader_gone()
    bugs = [f for f in failures if _code(f) is None]
    for bug in bugs:
        _tell_bug(bug, verbose)
    if bugs:
        return Exit.INTERNAL
    for text in dict.fromkeys(str(f) for f in failures):
        complain(text)
    return next(code for f in failures if (code := _code(f)) is not None)


def complain(text: str) -> None:
    """One line on stderr for each line of the text, which may quote others' files: nothing in it steers a terminal."""
    for line in text.splitlines():
        sys.stderr.write(f"keymuster: {plain(line)}\n")


def _code(error: BaseException) -> Exit | None:
    if isinstance(error, CommandError):
        return error.code
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)


def leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def _tell_bug(error: BaseException, verbose: int) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    hint = "" if verbose else "; the same command with -v after `keymuster` shows the way there"
    complain(f"internal error: {type(error).__name__}{place}; this is a bug, please report it{hint}")
    if verbose:
        sys.stderr.write("".join(traceback.format_list(frames)))
    if verbose > 1:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")


def _reader_gone() -> int:
    """Whoever read our output has closed it (`keymuster report | head`): end quietly, flush nothing more."""
    discard_stdout()
    return _PIPE_CLOSED
