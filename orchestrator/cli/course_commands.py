"""`pause`, `resume`, `cancel` and `priority`: the commands of who controls a run."""

# ruff: noqa: PLC0415 - as in `app`: what a story needs is loaded when it is told
from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.arguments import Show, Where, home
from orchestrator.cli.options import (
    Json,
    Nats,
    NatsCa,
    NatsSeed,
    NoProgress,
    NoWait,
    Output,
    ReportFormat,
    ReportJson,
    RunId,
    State,
    StoreAt,
    report_format,
)
from orchestrator.cli.story import tell

course_app = typer.Typer()
Why = Annotated[str, typer.Option(help="The reason, for `runs` and reports.")]


@course_app.command()
def pause(
    context: typer.Context,
    run_id: RunId,
    why: Why = "",
    no_wait: NoWait = False,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """Pause a run until `keymuster resume`, whatever process holds it by then.

    No new attempt goes out, and what is in flight ends within its deadline and ten seconds. A paused run keeps no scan
    process, no permit and no check-out.
    """
    from orchestrator.cli import controlling

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    tell(context, controlling.pause, where, run_id, why, not no_wait, json)


@course_app.command()
def resume(
    context: typer.Context,
    run_id: RunId,
    form: ReportFormat = None,
    json: ReportJson = False,
    output: Output = None,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
    no_progress: NoProgress = False,
) -> None:
    """Let a paused run go on.

    In the process that has it, if it still does; else here, or in the process that holds the state directory, and then
    it is watched and reported as by `keymuster run`.
    """
    from orchestrator.cli import controlling

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    show = Show(report_format(form, json), output, progress=not no_progress)
    tell(context, controlling.resume, where, run_id, show)


@course_app.command()
def cancel(
    context: typer.Context,
    run_id: RunId,
    why: Why = "",
    no_wait: NoWait = False,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """End a run for good: what is in flight ends, and all other targets are Not Attempted, as CANCELLED."""
    from orchestrator.cli import controlling

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    tell(context, controlling.cancel, where, run_id, why, not no_wait, json)


@course_app.command()
def priority(
    context: typer.Context,
    run_id: RunId,
    number: Annotated[int, typer.Argument(metavar="N", min=1, max=1000, help="Its weight; most runs have 10.")],
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """Change what a run gets where runs share appliances, vaults and subnets; at once, also while it is under way."""
    from orchestrator.cli import controlling

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    tell(context, controlling.prefer, where, run_id, number, json)
