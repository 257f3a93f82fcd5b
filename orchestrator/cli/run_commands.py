"""`runs`, `runs prune`, `export` and `import`: the commands about runs that are over."""

# ruff: noqa: PLC0415 - as in `app`: what a story needs is loaded when it is told
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.arguments import home
from orchestrator.cli.options import Json, State, StoreAt
from orchestrator.cli.story import tell

runs_app = typer.Typer(invoke_without_command=True)
exchange_app = typer.Typer()


@runs_app.callback()
def runs(context: typer.Context, json: Json = False, state: State = None, store: StoreAt = None) -> None:
    """List the runs, latest first; or prune old ones."""
    from orchestrator.cli import history

    if context.invoked_subcommand is None:
        tell(context, history.runs, home(state, store), json)
    elif json or any(_given(context, name) for name in ("state", "store")):
        raise typer.BadParameter(f"options belong behind the command: keymuster runs {context.invoked_subcommand} ...")


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@runs_app.command()
def prune(
    context: typer.Context,
    older_than: Annotated[str, typer.Option(metavar="DAYS", help="Runs that ended longer ago: 90d, or 12h.")],
    keep: Annotated[
        int, typer.Option(min=0, help="The latest runs of each campaign stay, so many; `plan` reckons with them.")
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Delete old runs from the store, with their outcomes and evidence.

    Never one that is planned, running or paused, nor one that still has a check-out or an access request in a vault.
    What can no longer be done with a run is said: resume, rerun, verify-clean, audit. Permits of the last day stay:
    the accounts are still near their lock-out. Host keys and stops are no run's, and stay.
    """
    from orchestrator.cli import pruning

    tell(context, pruning.prune, home(state, store), older_than, keep, dry_run, json)


@exchange_app.command("export")
def export(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run.")],
    file: Annotated[Path | None, typer.Argument(help="Default: stdout.", show_default=False)] = None,
    ndjson: Annotated[bool, typer.Option("--ndjson", help="The format, which is the only one.")] = True,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Write a run that has ended, or is paused, as NDJSON for `keymuster import`: jobs, outcomes, evidence, permits.

    It moves a run from one store to another: SQLite to PostgreSQL, or between machines. There is no secret in it.
    """
    from orchestrator.cli import exchanging

    del ndjson
    tell(context, exchanging.export_run, home(state, store), run_id, file)


@exchange_app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `keymuster export` has written; - is stdin.")],
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Bring a run into the store that `keymuster export` has written; all of it, or nothing."""
    from orchestrator.cli import exchanging

    tell(context, exchanging.import_run, home(state, store), file)
