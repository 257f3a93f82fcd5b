"""`serve`: the command of who runs Keymuster as a service."""

# ruff: noqa: PLC0415 - as in `app`: what a story needs is loaded when it is told
from __future__ import annotations

import logging
from typing import Annotated

import typer

from appliance.logs import LogFormat, set_up
from orchestrator.cli.arguments import Where, state_path
from orchestrator.cli.options import Nats, NatsCa, NatsSeed, NoFastPath, State
from orchestrator.cli.story import tell

operation_app = typer.Typer()

LogForm = Annotated[
    LogFormat | None,
    typer.Option("--log-format", help="Log lines: by default console on a terminal, else json.", show_default=False),
]


@operation_app.command()
def serve(
    context: typer.Context,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where /healthz, /readyz and /metrics are; loopback only.")
    ] = "127.0.0.1:9464",
    zone: Annotated[str, typer.Option(help="The zone whose campaigns are taken.")] = "default",
    capacity: Annotated[
        int, typer.Option(min=1, max=10_000, help="Targets in flight of the appliance that it brings along.")
    ] = 256,
    drain: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=3600, help="For what is in flight at the end.")
    ] = 60.0,
    state: State = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
    no_fast_path: NoFastPath = False,
    log_format: LogForm = None,
) -> None:
    """Hold the state directory until SIGTERM: execute what `run` submits, and go on with what was interrupted.

    It brings a bus and an appliance along; with --nats it uses that bus, and the appliances that are on it. A run whose
    vault login must be typed in waits, and the log says which command goes on with it. Exit 0 when all that was in
    flight has ended, 4 when some of it was cut off.
    """
    from orchestrator.cli import serving

    set_up(log_format, logging.DEBUG if context.obj > 1 else logging.INFO)
    where = Where(state_path(state), nats, nats_seed, nats_ca, fast_path=not no_fast_path)
    tell(context, serving.serve, where, serving.Serving(listen, zone, capacity, drain))
