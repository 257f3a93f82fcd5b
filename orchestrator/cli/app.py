"""The commands. Each parses its arguments, calls one function, and turns its end into an exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import anyio
import structlog
import typer

from orchestrator.campaign import CampaignError, campaign_schema, load_campaign
from orchestrator.campaign_model import Campaign
from orchestrator.cli import commands
from orchestrator.cli.errors import BadInput, CommandError, Exit
from orchestrator.cli.reporting import Format
from orchestrator.report.documents import dumps
from orchestrator.state_dir import StateDirError
from orchestrator.store import StoreError

app = typer.Typer(
    name="keymuster",
    help="Authenticated-scan campaigns over SSH and SMB, with credentials from Secret Server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
vault_app = typer.Typer(help="Questions to a vault, put by an appliance.", no_args_is_help=True)
config_app = typer.Typer(help="Campaign files.", no_args_is_help=True)
app.add_typer(vault_app, name="vault")
app.add_typer(config_app, name="config")

State = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar="KEYMUSTER_STATE", help="State directory (default: the user's own).", show_default=False
    ),
]
CampaignFile = Annotated[Path, typer.Option("--campaign", help="The campaign file.")]
Nats = Annotated[
    str | None, typer.Option("--nats", envvar="KEYMUSTER_NATS", help="Use this NATS server instead of an own one.")
]
NatsSeed = Annotated[
    Path | None, typer.Option("--nats-seed", envvar="KEYMUSTER_NATS_SEED", help="File with the nkey seed for --nats.")
]
ReportFormat = Annotated[Format, typer.Option("--format", "-f", help="How the report is written.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write the report to this file.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress bars, even on a terminal.")]


def _show_version(value: bool) -> None:
    if value:
        print(f"keymuster {version('keymuster')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more on stderr.")] = 0,
) -> None:
    level = {0: logging.ERROR, 1: logging.INFO}.get(verbose, logging.DEBUG)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


@app.command()
def run(
    campaign: Annotated[Path | None, typer.Argument(help="The campaign file.", show_default=False)] = None,
    sample: Annotated[str, typer.Option(help="Only so many targets (10), or a share of them (1%).")] = "",
    resume: Annotated[str, typer.Option(help="Go on with an interrupted run, by its id.")] = "",
    form: ReportFormat = Format.TABLE,
    output: Output = None,
    state: State = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    no_progress: NoProgress = False,
) -> None:
    """Run a campaign, or go on with an interrupted run, and report."""
    if (campaign is None) == (not resume):
        raise _fail(BadInput("name a campaign file to run, or `--resume RUN`"))
    where = commands.Where(commands.state_path(state), nats, nats_seed)
    show = commands.Show(form, output, progress=not no_progress)
    if resume:
        _do(commands.resume, where, resume, show)
    elif campaign is not None:
        _do(commands.run, where, _load(campaign), sample, show)


@app.command()
def rerun(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run whose targets are tried again.")],
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    unreached: Annotated[bool, typer.Option("--unreached", help="All that were not attempted.")] = False,
    reason: Annotated[list[str] | None, typer.Option(help="All with this reason; may be given several times.")] = None,
    form: ReportFormat = Format.TABLE,
    output: Output = None,
    state: State = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    no_progress: NoProgress = False,
) -> None:
    """Try a part of an earlier run's targets again, as a new run."""
    where = commands.Where(commands.state_path(state), nats, nats_seed)
    which = commands.Which(failed=failed, unreached=unreached, reasons=tuple(reason or ()))
    _do(commands.rerun, where, run_id, which, commands.Show(form, output, progress=not no_progress))


@app.command()
def plan(
    campaign: Annotated[Path, typer.Argument(help="The campaign file.")] = Path("campaign.toml"),
    limit: Annotated[int, typer.Option(min=0, help="How many targets to show.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Explain what a run would do, without touching a vault or a target."""
    _do(commands.plan, _load(campaign), limit, json)


@app.command()
def runs(
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False, state: State = None
) -> None:
    """List the runs, latest first."""
    _do(commands.runs, commands.state_path(state), json)


@app.command()
def report(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Default: the latest run.", show_default=False)
    ] = None,
    form: ReportFormat = Format.TABLE,
    output: Output = None,
    state: State = None,
) -> None:
    """Report a run."""
    _do(commands.report, commands.state_path(state), run_id, form, output)


@app.command()
def probe(
    host: Annotated[str, typer.Argument(help="An address or name.")],
    record: Annotated[str, typer.Option(help="The record to use, by its title.")],
    campaign: CampaignFile = Path("campaign.toml"),
    form: ReportFormat = Format.TABLE,
    state: State = None,
) -> None:
    """Try one host with one record, and say all that was seen. It asks the same permits as a run."""
    where = commands.Where(commands.state_path(state), None, None)
    _do(commands.probe, where, _load(campaign), host, record, form)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The campaign file to write.")] = Path("campaign.toml"),
) -> None:
    """Ask a few questions and write a commented campaign file."""
    _do_now(lambda: commands.init(file))


@app.command()
def demo(
    hosts: Annotated[int, typer.Option(min=1, max=10_000, help="How many simulated hosts.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed gives the same estate.")] = 7,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where estate, campaign and state go.", show_default=False)
    ] = None,
    no_progress: NoProgress = False,
) -> None:
    """Start a small simulated estate, run a campaign on it, and report."""
    _do(commands.demo, hosts, seed, directory, not no_progress)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def appliance(context: typer.Context) -> None:
    """Run a stand-alone appliance (`appliance init FILE`, `appliance serve FILE`)."""
    commands.become_appliance(context.args)


@vault_app.command("test")
def vault_test(
    title: Annotated[str, typer.Argument(help="The vault's title.")],
    campaign: CampaignFile = Path("campaign.toml"),
    secret: Annotated[str, typer.Option(help="Also look this secret up by name (it is not read).")] = "",
    state: State = None,
) -> None:
    """Can an appliance reach the vault, and does the vault take the login?"""
    _do(commands.vault_test, commands.Where(commands.state_path(state), None, None), _load(campaign), title, secret)


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="The campaign file.")]) -> None:
    """Read a campaign file and say what is wrong with it, line by line."""
    _load(file)
    sys.stderr.write(f"{file}: no fault found\n")


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of campaign files, for editors."""
    print(dumps(campaign_schema()))


def _load(path: Path) -> Campaign:
    try:
        return load_campaign(path)
    except CampaignError as error:
        raise _fail(BadInput(str(error))) from None


def _do(command: Callable[..., Coroutine[Any, Any, Exit]], *arguments: Any) -> None:
    _do_now(lambda: anyio.run(command, *arguments))


_EXPECTED = (CommandError, StoreError, StateDirError)


def _do_now(step: Callable[[], Exit]) -> None:
    try:
        code = step()
    except _EXPECTED as error:
        raise _fail(error) from None
    except BaseExceptionGroup as group:
        leaves = _leaves(group)
        if any(isinstance(leaf, commands.AbortedError) for leaf in leaves):
            raise typer.Exit(Exit.INTERRUPTED) from None
        if not all(isinstance(leaf, _EXPECTED) for leaf in leaves):
            raise
        raise _fail(*leaves) from None
    raise typer.Exit(code)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [leaf for e in group.exceptions for leaf in (_leaves(e) if isinstance(e, BaseExceptionGroup) else [e])]


def _fail(*errors: BaseException) -> typer.Exit:
    """Say what is wrong, once each; the first error's code is the command's."""
    for text in dict.fromkeys(map(str, errors)):
        sys.stderr.write(f"keymuster: {text}\n")
    return typer.Exit(next((e.code for e in errors if isinstance(e, CommandError)), Exit.BAD_INPUT))


def main() -> None:
    app()
