"""`keymuster fleet`: the commands of who runs appliances on machines of their own."""

# ruff: noqa: PLC0415 - as in `app`: what a story needs is loaded when it is told
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.arguments import home
from orchestrator.cli.options import Json, State, StoreAt
from orchestrator.cli.story import tell

BusAddress = Annotated[
    str | None, typer.Option("--nats", help="The bus, where it has another address from here.", show_default=False)
]

fleet_app = typer.Typer(help="Appliances on machines of their own: docs/fleet.md.", no_args_is_help=True)


@fleet_app.command("init")
def init(
    context: typer.Context,
    url: Annotated[
        str,
        typer.Option(
            help="Where appliances find the bus: tls://HOST:PORT; those of a cluster with commas between them.",
            show_default=False,
        ),
    ],
    ca: Annotated[Path | None, typer.Option(help="PEM file that they are to trust there.", show_default=False)] = None,
    directory: Annotated[Path, typer.Option(help="Where the files for servers and orchestrator go.")] = Path("fleet"),
    account: Annotated[
        Path | None,
        typer.Option(
            help="The token of an account of an operator that you have; without it, one is made.", show_default=False
        ),
    ] = None,
    signing_key: Annotated[
        Path | None,
        typer.Option(help="With --account: file with the seed of a key that signs for it.", show_default=False),
    ] = None,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Found a fleet: the keys, what the bus's servers must be told, and the orchestrator's login there."""
    from orchestrator.cli import fleet

    tell(context, fleet.init, home(state, store), fleet.Founding(url, ca, directory, account, signing_key))


@fleet_app.command("add")
def add(
    context: typer.Context,
    zone: Annotated[str, typer.Option(help="The zone whose campaigns they serve.")] = "default",
    count: Annotated[int, typer.Option(help="How many machines the token is for.")] = 1,
    wait: Annotated[
        bool, typer.Option(help="Answer them here, until all have come or the time is over.", show_default=False)
    ] = False,
    nats: BusAddress = None,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Print a token by which machines become appliances, for fifteen minutes: `keymuster appliance enroll`."""
    from orchestrator.cli import fleet

    tell(context, fleet.add, home(state, store), zone, count, wait, nats, json)


@fleet_app.command("login")
def login(
    context: typer.Context,
    campaign: Annotated[Path, typer.Argument(help="The campaign file whose vaults they are.", show_default=False)],
    vault: Annotated[
        list[str] | None, typer.Option(help="This one alone; may be given several times.", show_default=False)
    ] = None,
    nats: BusAddress = None,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Give the fleet the logins of a campaign's vaults: kept encrypted, and sent to each appliance, sealed to its key.

    When a password has changed, the same command replaces it everywhere.
    """
    from orchestrator.cli import fleet

    tell(context, fleet.login, home(state, store), campaign, vault or [], nats)


@fleet_app.command("forget")
def forget(
    context: typer.Context,
    title: Annotated[str, typer.Argument(help="The vault's title.", show_default=False)],
    nats: BusAddress = None,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Take a vault's login from the fleet, and from all appliances."""
    from orchestrator.cli import fleet

    tell(context, fleet.forget, home(state, store), title, nats)


@fleet_app.command("list")
def show(context: typer.Context, json: Json = False, state: State = None, store: StoreAt = None) -> None:
    """Show the appliances that have enrolled."""
    from orchestrator.cli import fleet

    tell(context, fleet.show, home(state, store), json)


@fleet_app.command("revoke")
def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The appliance's name.", show_default=False)],
    nats: BusAddress = None,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Cut an appliance off, at once and for good: its key is worth nothing any more."""
    from orchestrator.cli import fleet

    tell(context, fleet.revoke, home(state, store), name, nats)
