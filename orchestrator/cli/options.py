"""The options that several commands share, as typer reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.arguments import Format
from orchestrator.cli.store_address import StoreAddress, store_address
from orchestrator.cli.story import Invocation
from orchestrator.inventory.found import InventoryFormat

State = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar="KEYMUSTER_STATE", help="State directory (default: the user's own).", show_default=False
    ),
]


def _store(context: typer.Context, given: StoreAddress | None) -> StoreAddress | None:
    told = context.find_root().obj
    return store_address(given, told.environment) if isinstance(told, Invocation) else given


StoreAt = Annotated[
    StoreAddress | None,
    typer.Option(
        "--store",
        metavar="URL",
        parser=StoreAddress,
        callback=_store,
        help="Keep the runs there: postgresql://USER@HOST/DATABASE. Default: what the environment's KEYMUSTER_STORE "
        "says, which may have a password in it; else a SQLite file in the state directory.",
        show_default=False,
    ),
]
CampaignFile = Annotated[Path, typer.Option("--campaign", help="The campaign file.")]
Nats = Annotated[
    str | None,
    typer.Option(
        "--nats",
        envvar="KEYMUSTER_NATS",
        help="Use this NATS server, or these with commas between, instead of an own one.",
        show_default=False,
    ),
]
NatsSeed = Annotated[
    Path | None,
    typer.Option(
        "--nats-seed",
        envvar="KEYMUSTER_NATS_SEED",
        help="File with the credentials, or the nkey seed, for --nats.",
        show_default=False,
    ),
]
NatsCa = Annotated[
    Path | None,
    typer.Option("--nats-ca", envvar="KEYMUSTER_NATS_CA", help="PEM file to trust for --nats.", show_default=False),
]
ReportFormat = Annotated[
    Format | None,
    typer.Option("--format", "-f", help="How the report is written (default: table).", show_default=False),
]
ReportJson = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run, by its id (`keymuster runs`).")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once, while what is in flight ends.")]
PriorityOption = Annotated[
    int | None,
    typer.Option(
        "--priority",
        min=1,
        max=1000,
        help="Its weight beside other runs (default: the campaign's, or 10).",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the report to this file.", show_default=False)
]
NoFastPath = Annotated[
    bool,
    typer.Option(
        "--no-fast-path", help="Log in by the protocol libraries as they come: more CPU for the same outcomes."
    ),
]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress bars, even on a terminal.")]
TargetFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--targets",
        metavar="FILE|-",
        help="Targets from this list, not the campaign's: one a line, CSV, nmap -oX, Ansible inventory.",
        show_default=False,
    ),
]
TargetsFormat = Annotated[
    InventoryFormat | None, typer.Option(help="What the list is; by default its content tells.", show_default=False)
]
SkipRefused = Annotated[bool, typer.Option("--skip-refused", help="Go on without the lines that are no targets.")]
ResolveNames = Annotated[
    bool,
    typer.Option("--resolve-names", help="Look names up now; by default the appliance does, at scan time."),
]
StopAccount = Annotated[
    str | None,
    typer.Option(
        "--account",
        metavar="USER@AUTHORITY",
        help="An account, by its directory, domain or host; DOMAIN\\USER too.",
        show_default=False,
    ),
]
StopSecret = Annotated[
    str | None,
    typer.Option(
        "--secret", metavar="NAME", help="A secret, as records name it: name, id, path or machine.", show_default=False
    ),
]
StopVault = Annotated[
    str | None,
    typer.Option(
        "--vault", metavar="TITLE", help="A whole vault; with --secret, only the secret in it.", show_default=False
    ),
]
Hosts = Annotated[int, typer.Option(min=1, max=65_536, help="How many simulated hosts.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same estate.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def report_format(form: Format | None, json: bool) -> Format:
    """What --format and --json say together. Raises BadParameter where they say two things."""
    if not json:
        return form or Format.TABLE
    if form not in (None, Format.JSON):
        raise typer.BadParameter(f"--json is --format json, and --format {form.value} was given too; leave one out")
    return Format.JSON
