"""From a command's parsed arguments to its story, and from the story's end to an exit code."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from orchestrator.cli.store_address import Environment

if TYPE_CHECKING:
    from orchestrator.cli.errors import Exit


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is true of a whole command line; the root context's object."""

    verbose: int
    environment: Environment


def tell(context: typer.Context, story: Callable[..., Coroutine[Any, Any, Exit]], *arguments: Any) -> None:
    """Run the story in an event loop of its own. Raises typer.Exit with the code of its end."""
    from orchestrator.cli import ending  # noqa: PLC0415 - takes long to load, and `--help` needs none of it

    raise typer.Exit(ending.run_async(story, *arguments, verbose=context.obj.verbose))
