"""`stop`, `allow` and `stops`: the commands of who must end the use of a credential."""

# ruff: noqa: PLC0415 - as in `app`: what a story needs is loaded when it is told
from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.arguments import Where, home
from orchestrator.cli.options import Json, Nats, NatsCa, NatsSeed, State, StopAccount, StopSecret, StopVault, StoreAt
from orchestrator.cli.story import tell

stop_app = typer.Typer()


@stop_app.command("stop")
def stop_use(
    context: typer.Context,
    account: StopAccount = None,
    secret: StopSecret = None,
    vault: StopVault = None,
    why: Annotated[str, typer.Option(help="The reason, for reports and for `stops`.")] = "",
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """End the use of an account, a secret or a whole vault at once, in all runs, until `keymuster allow`.

    When it returns, no login with it is begun any more, in any run of the state directory, running or started later.
    What is being logged in ends by itself; all others end as STOPPED.
    """
    from orchestrator.cli import stopping

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    tell(context, stopping.stop, where, (account, secret, vault), why, json)


@stop_app.command("allow")
def allow_use(
    context: typer.Context,
    account: StopAccount = None,
    secret: StopSecret = None,
    vault: StopVault = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is stopped.")] = False,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """Lift a stop. What it left out: `keymuster rerun RUN --reason STOPPED`."""
    from orchestrator.cli import stopping

    if everything and not (account is secret is vault is None):
        raise typer.BadParameter("--all lifts every stop; leave the rest out")
    where = Where(home(state, store), nats, nats_seed, nats_ca)
    tell(context, stopping.allow, where, None if everything else (account, secret, vault), json)


@stop_app.command()
def stops(context: typer.Context, json: Json = False, state: State = None, store: StoreAt = None) -> None:
    """Show what is stopped: since when, by whom, and why."""
    from orchestrator.cli import stopping

    tell(context, stopping.stops, home(state, store), json)
