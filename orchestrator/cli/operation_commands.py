"""`serve`, `doctor` and `backup`: the commands of who runs Keymuster as a service."""

# ruff: noqa: PLC0415 - as in `app`: what a story needs is loaded when it is told
from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from appliance.logs import LogFormat, set_up
from orchestrator.cli.arguments import Where, home
from orchestrator.cli.options import Json, Nats, NatsCa, NatsSeed, NoFastPath, State, StoreAt
from orchestrator.cli.story import tell

operation_app = typer.Typer()

LogForm = Annotated[
    LogFormat | None,
    typer.Option("--log-format", help="Log lines: by default console on a terminal, else json.", show_default=False),
]


@operation_app.command()
def serve(
    context: typer.Context,
    campaigns: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[CAMPAIGN]...", help="Campaigns whose schedules begin runs.", show_default=False),
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where /healthz, /readyz and /metrics are; loopback only.")
    ] = "127.0.0.1:9464",
    zone: Annotated[
        str | None,
        typer.Option(
            help="The zone of the appliance that it brings along (default: default). With --nats, whose campaigns of "
            "every zone are taken: the zone whose appliances /readyz wants (default: any).",
            show_default=False,
        ),
    ] = None,
    capacity: Annotated[
        int, typer.Option(min=1, max=10_000, help="Targets in flight of the appliance that it brings along.")
    ] = 256,
    drain: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=3600, help="For what is in flight at the end.")
    ] = 60.0,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
    no_fast_path: NoFastPath = False,
    log_format: LogForm = None,
) -> None:
    """Hold the state directory until SIGTERM: execute what `run` submits and what schedules begin, and go on with what
    was interrupted.

    It brings a bus and an appliance along; with --nats it uses that bus, and the appliances that are on it. Several on
    one --nats and one --store take over each other's runs when one dies (docs/orchestrators.md). A run whose vault
    login must be typed in waits, and the log says which command goes on with it. Exit 0 when all that was in
    flight has ended, 4 when some of it was cut off.
    """
    from orchestrator.cli import serving

    set_up(log_format, logging.DEBUG if context.obj.verbose > 1 else logging.INFO)
    where = Where(home(state, store), nats, nats_seed, nats_ca, fast_path=not no_fast_path)
    tell(context, serving.serve, where, serving.Serving(listen, zone, capacity, drain, tuple(campaigns or ())))


@operation_app.command()
def doctor(
    context: typer.Context,
    campaign: Annotated[
        Path | None,
        typer.Option("--campaign", help="Ask its vaults too, by an appliance, with their logins.", show_default=False),
    ] = None,
    appliance: Annotated[
        Path | None,
        typer.Option("--appliance", metavar="FILE", help="Read this appliance's file too.", show_default=False),
    ] = None,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """Look at clock, limits, disk, store, bus, versions and vaults, and say what to change. Nothing is changed.

    Exit 1 when something is bad, 3 when that is a vault or the bus alone; what only may go wrong later is no failure.
    """
    from orchestrator.cli import doctoring
    from orchestrator.cli.campaigns import load

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    tell(context, doctoring.doctor, where, None if campaign is None else load(campaign), appliance, json)


@operation_app.command()
def backup(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Where the copy goes; made if it is not there.")],
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Copy the store while runs go on: all that must be kept. How to restore it: docs/runbook.md."""
    from orchestrator.cli import backing_up

    tell(context, backing_up.backup, home(state, store), directory)
