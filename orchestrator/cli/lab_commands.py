"""`keymuster lab`: the commands of the simulated estate."""

# ruff: noqa: PLC0415 - as in `app`: what a story needs is loaded when it is told
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.arguments import Preset, home
from orchestrator.cli.options import Hosts, Json, Seed, State, StoreAt
from orchestrator.cli.story import tell

lab_app = typer.Typer(help="A simulated estate to run campaigns on.", no_args_is_help=True)


@lab_app.command("up")
def lab_up(
    context: typer.Context,
    estate: Annotated[Path, typer.Argument(help="The estate file; - is stdin, which is kept in --dir.")],
    directory: Annotated[
        Path, typer.Option("--dir", help="For the vault's password, the truth and the counters.")
    ] = Path("lab"),
    write_campaign: Annotated[
        Path | None, typer.Option(help="Write the campaign for it to this file.", show_default=False)
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=64,
            help="So many processes for the hosts; 0: one process for everything. Default: by hosts and cores.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve simulated hosts and a Secret Server until Ctrl-C; where everything is comes as one JSON line."""
    from orchestrator.cli import lab

    tell(context, lab.up, estate, directory, write_campaign, shards)


@lab_app.command("vault")
def lab_vault(
    context: typer.Context,
    estate: Annotated[
        Path | None, typer.Option(help="Serve this estate file's vault instead of a sample.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the passwords; else the file's.", show_default=False)] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 8443,
    tls: Annotated[bool, typer.Option("--tls", help="https, with a CA made for it.")] = False,
    client_certificates: Annotated[
        bool, typer.Option("--client-certificates", help="Demand one of every client; one is made. With --tls.")
    ] = False,
    directory: Annotated[Path, typer.Option("--dir", help="For the passwords and the CA.")] = Path("lab-vault"),
) -> None:
    """Serve a simulated Secret Server alone until Ctrl-C, to test integrations with; see docs/lab-vault.md."""
    from orchestrator.cli import lab

    tell(context, lab.vault, estate, directory, seed, port, tls, client_certificates)


@lab_app.command("preset")
def lab_preset(name: Annotated[Preset, typer.Argument()], hosts: Hosts = 1000, seed: Seed = 7) -> None:
    """Print an estate file: small, enterprise (one host in twenty has a fault), hostile (every fault), domain, wan."""
    from orchestrator.cli import ending, estates

    raise typer.Exit(ending.run_sync(lambda: estates.print_estate(name, hosts, seed)))


@lab_app.command(
    "score",
    help="Hold a run against the lab it ran on; exit 1 when a reason or an account's logons are wrong.\n\n"
    "Reasons are held against the truth.\n\n"
    "Logons are the hosts' own count, account by account: the independent witness that no password was sent without a "
    "permit, that the ledger missed no failure, and that no directory has locked an account. `ok` is a right password, "
    "whatever became of the login; keys are no logons.\n\n"
    "Hosts count from `lab up` on, whoever logs in. So they are held against the permits of all runs that this state "
    "directory has begun since then. A lab that is up is asked; one that was stopped has left metrics.json beside its "
    "truth. Without either the reasons alone are judged.",
)
def lab_score(
    context: typer.Context,
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Default: the latest run.", show_default=False)
    ] = None,
    truth: Annotated[Path, typer.Option(help="The estate's truth.ndjson.")] = Path("lab/truth.ndjson"),
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
) -> None:
    from orchestrator.cli import scoring

    tell(context, scoring.lab_score, home(state, store), run_id, truth, json)
