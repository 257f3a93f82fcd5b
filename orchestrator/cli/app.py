"""The commands: each parses its arguments and hands them to one story. What a story needs is loaded when it is told."""

# ruff: noqa: PLC0415 - `--help` and completion must answer at once; the engine takes half a second to load
from __future__ import annotations

import logging
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from appliance.long_lived import begin_loading
from appliance.process_one import end_on_sigterm
from orchestrator.cli.arguments import From, Preset, Show, Sizing, Where, Which, home
from orchestrator.cli.campaigns import load as load_file
from orchestrator.cli.course_commands import course_app
from orchestrator.cli.fleet_commands import fleet_app
from orchestrator.cli.lab_commands import lab_app
from orchestrator.cli.operation_commands import operation_app
from orchestrator.cli.options import (
    CampaignFile,
    Hosts,
    Json,
    Nats,
    NatsCa,
    NatsSeed,
    NoFastPath,
    NoProgress,
    Output,
    PriorityOption,
    ReportFormat,
    ReportJson,
    ResolveNames,
    Seed,
    SkipRefused,
    State,
    StoreAt,
    TargetFiles,
    TargetsFormat,
    report_format,
)
from orchestrator.cli.run_commands import exchange_app, runs_app
from orchestrator.cli.stop_commands import stop_app
from orchestrator.cli.store_address import Environment
from orchestrator.cli.story import Invocation, tell

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
app.add_typer(lab_app, name="lab")
app.add_typer(fleet_app, name="fleet")
app.add_typer(stop_app)
app.add_typer(runs_app, name="runs")
app.add_typer(exchange_app)
app.add_typer(operation_app)
app.add_typer(course_app)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"keymuster {version('keymuster')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more on stderr.")] = 0,
) -> None:
    from appliance.logs import LogFormat, set_up

    context.obj = Invocation(verbose, Environment.taken())
    level = {0: logging.ERROR, 1: logging.INFO}.get(verbose, logging.DEBUG)
    set_up(level=level, default=LogFormat.CONSOLE)


@app.command()
def run(
    context: typer.Context,
    campaign: Annotated[Path | None, typer.Argument(help="The campaign file.", show_default=False)] = None,
    sample: Annotated[str, typer.Option(help="Only so many targets (10), or a share of them (1%).")] = "",
    resume: Annotated[str, typer.Option(help="Go on with an interrupted run (one paused by hand: `resume`).")] = "",
    priority: PriorityOption = None,
    targets: TargetFiles = None,
    targets_format: TargetsFormat = None,
    skip_refused: SkipRefused = False,
    resolve_names: ResolveNames = False,
    form: ReportFormat = None,
    json: ReportJson = False,
    output: Output = None,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
    no_fast_path: NoFastPath = False,
    no_progress: NoProgress = False,
) -> None:
    """Run a campaign, or go on with an interrupted run, and report."""
    from orchestrator.cli import starting

    if (campaign is None) == (not resume):
        raise typer.BadParameter("name a campaign file to run, or `--resume RUN`")
    if resume and targets:
        raise typer.BadParameter("an interrupted run goes on with the targets it has; --targets is for a new one")
    if resume and priority is not None:
        raise typer.BadParameter("a run that is there has its priority; `keymuster priority RUN N` changes it")
    lists = From(tuple(targets or ()), targets_format, skip_refused, resolve_names)
    where = Where(home(state, store), nats, nats_seed, nats_ca, fast_path=not no_fast_path)
    show = Show(report_format(form, json), output, progress=not no_progress)
    if campaign is None:
        tell(context, starting.resume, where, resume, show)
    else:
        tell(context, starting.run, where, load_file(campaign, lists), sample, show, priority)


@app.command()
def rerun(
    context: typer.Context,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run whose targets are tried again.")],
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    unreached: Annotated[bool, typer.Option("--unreached", help="All that were not attempted.")] = False,
    reason: Annotated[list[str] | None, typer.Option(help="All with this reason; may be given several times.")] = None,
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
    """Try a part of an earlier run's targets again, as a new run."""
    from orchestrator.cli import starting

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    which = Which(failed=failed, unreached=unreached, reasons=tuple(reason or ()))
    show = Show(report_format(form, json), output, progress=not no_progress)
    tell(context, starting.rerun, where, run_id, which, show)


@app.command()
def plan(
    context: typer.Context,
    campaign: Annotated[Path, typer.Argument(help="The campaign file.")] = Path("campaign.toml"),
    limit: Annotated[int, typer.Option(min=0, help="How many targets to show.")] = 20,
    check_vault: Annotated[
        bool,
        typer.Option(
            "--check-vault", help="Also ask the vault for every secret, without viewing any; exit 1 for gaps."
        ),
    ] = False,
    capacity: Annotated[
        bool,
        typer.Option(
            "--capacity", help="Say instead how long it would take, what bounds it, and what it asks of the vault."
        ),
    ] = False,
    appliances: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="With --capacity: so many appliances on machines like this one; without it, the run's own.",
            show_default=False,
        ),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="With --capacity: how many appliances for this time (2h)?", show_default=False
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="With --capacity: by this run's times, not the campaign's latest.", show_default=False
        ),
    ] = None,
    targets: TargetFiles = None,
    targets_format: TargetsFormat = None,
    skip_refused: SkipRefused = False,
    resolve_names: ResolveNames = False,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """Explain what a run would do, without touching a target (or a vault, unless --check-vault says so).

    Rates and times are those of earlier runs of the state directory, where there are any (docs/capacity.md).
    """
    from orchestrator.cli import questions

    if not capacity and (appliances or within or like):
        raise typer.BadParameter("--appliances, --within and --like go with --capacity; add it")
    if capacity and check_vault:
        raise typer.BadParameter("--capacity and --check-vault are two questions; ask one after the other")
    lists = From(tuple(targets or ()), targets_format, skip_refused, resolve_names)
    where = Where(home(state, store), nats, nats_seed, nats_ca)
    if capacity:
        tell(context, questions.capacity, where, load_file(campaign, lists), Sizing(appliances, within, like), json)
    else:
        tell(context, questions.plan, where, load_file(campaign, lists), limit, check_vault, json)


@app.command()
def report(
    context: typer.Context,
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Default: the latest run.", show_default=False)
    ] = None,
    form: ReportFormat = None,
    json: ReportJson = False,
    output: Output = None,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Report a run."""
    from orchestrator.cli import history

    tell(context, history.report, home(state, store), run_id, report_format(form, json), output)


@app.command()
def probe(
    context: typer.Context,
    host: Annotated[str, typer.Argument(help="An address or name.")],
    record: Annotated[str, typer.Option(help="The record to use, by its title.")],
    campaign: CampaignFile = Path("campaign.toml"),
    form: ReportFormat = None,
    json: ReportJson = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """Try one host with one record, and say all that was seen. It asks the same permits as a run."""
    from orchestrator.cli import starting

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    form = report_format(form, json)
    tell(context, starting.probe, where, load_file(campaign), host, record, form)


@app.command("verify-clean")
def verify_clean(
    context: typer.Context,
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Default: the latest run.", show_default=False)
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Look there too: reports, logs of yours. May be given several times."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Read the secrets without asking first.")] = False,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Prove that a run has left no secret behind: read its secrets once more, and look for them everywhere.

    The state directory (store, logs, the bus's files), what --also names, and, as root, the memory of our processes.
    The reads show in the vault's audit. Exit 1 when one is found, 4 when not all of them could be looked for, or not
    in the store, since it is a server's: `keymuster export RUN FILE` before, and --also FILE, has the run searched.
    """
    from orchestrator.cli import verifying

    tell(context, verifying.verify_clean, home(state, store), run_id, tuple(also or ()), yes, json)


@app.command()
def audit(
    context: typer.Context,
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Default: the latest run.", show_default=False)
    ] = None,
    view_interval: Annotated[
        int,
        typer.Option(
            metavar="MINUTES",
            min=0,
            max=1440,
            help="The vault's Secret View Interval, where it has one: so long further views leave no row.",
        ),
    ] = 0,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """Hold the vault's audit against the run: when, where and why each secret was viewed, and what does not pair.

    Every view of ours is paired with its row, and every row of a view by the vault's user, from the run's beginning
    until now, with a view by a run of this state directory. Exit 1 for a view without a row (dropped), a second row
    (duplicate) or a row of nobody's view (forged, or somebody else uses the account), 3 when the vault does not give
    its audit: its user needs View Secret Audit. No secret is viewed.
    """
    from orchestrator.cli import auditing

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    tell(context, auditing.audit, where, run_id, view_interval * 60.0, json)


@app.command("support-bundle")
def support_bundle(
    context: typer.Context,
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Default: the latest run.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Default: keymuster-support-RUN.zip here.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write it without asking first.")] = False,
    state: State = None,
    store: StoreAt = None,
) -> None:
    """Pack what a helper needs to see of a run: logs, evidence, settings, versions; names are replaced by numbers."""
    from orchestrator.cli import supporting

    tell(context, supporting.support_bundle, home(state, store), run_id, output, yes)


@app.command()
def init(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The campaign file to write.")] = Path("campaign.toml"),
) -> None:
    """Ask a few questions and write a commented campaign file."""
    from orchestrator.cli import ending, interview

    raise typer.Exit(ending.run_sync(lambda: interview.init(file), verbose=context.obj.verbose))


@app.command()
def demo(
    context: typer.Context,
    hosts: Hosts = 300,
    seed: Seed = 7,
    preset: Annotated[Preset, typer.Option(help="What kind of estate.")] = Preset.HOSTILE,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where estate, campaign and state go.", show_default=False)
    ] = None,
    no_progress: NoProgress = False,
) -> None:
    """Start a small simulated estate, run a campaign on it, and report."""
    from orchestrator.cli import demo as story

    tell(context, story.demo, preset, hosts, seed, directory, not no_progress)


@app.command()
def load(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A campaign; or an estate, which is served for the time of the test.")],
    rate: Annotated[
        str, typer.Option(metavar="RATE", help="Arrivals per second: 200/s, or a ramp, 50/s..500/s.")
    ] = "10/s",
    duration: Annotated[str, typer.Option(metavar="TIME", help="For how long they arrive: 60s, 10m.")] = "60s",
    vault_only: Annotated[bool, typer.Option("--vault-only", help="Read secrets; log in nowhere.")] = False,
    logins: Annotated[bool, typer.Option("--logins", help="Whole logins, as a run makes them (default).")] = False,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR",
            help="What may be tested beside loopback: a CIDR block, an address, or a name. May be given several times.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the report there: .html with charts, or .json. Several times for both.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
    no_progress: NoProgress = False,
    no_fast_path: NoFastPath = False,
) -> None:
    """Put vaults and hosts under a rate of logins, and say what held and what did not: docs/load.md.

    An open loop: arrivals come when they are due, whether or not those before them have ended, and each one's latency
    counts from then. Every login has its permit, so a wrong secret ends the load and locks nobody out. Targets, jump
    hosts, domain controllers and vaults off loopback are refused, unless --scope names them; of --vault-only, vaults.

    Reports throughput, p50/p95/p99 of each phase, errors by reason, the bottleneck, and the largest rate held. Ctrl-C
    ends it with the report of what there is. No run is stored. Exit 0 whether or not the rate was held.
    """
    from orchestrator.cli import ending, loading
    from orchestrator.cli.errors import CommandError

    if vault_only and logins:
        raise typer.BadParameter("--vault-only and --logins are two kinds of load; leave one out")
    what = loading.What.VAULT_ONLY if vault_only else loading.What.LOGINS
    outputs, named = tuple(output or ()), tuple(scope or ())
    where = Where(home(state, store), nats, nats_seed, nats_ca, fast_path=not no_fast_path)
    try:
        order = loading.load_order(file, rate, duration, what, named, outputs, json=json, progress=not no_progress)
    except CommandError as error:
        raise typer.Exit(ending.told(error)) from None
    tell(context, loading.load, where, state is not None, order)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def appliance(context: typer.Context) -> None:
    """Run a stand-alone appliance (`appliance init FILE`, `appliance serve FILE`)."""
    import os

    # The appliance is a program of its own: this process becomes it.
    os.execv(sys.executable, [sys.executable, "-m", "appliance", *context.args])  # noqa: S606 - no shell is the purpose


@vault_app.command("test")
def vault_test(
    context: typer.Context,
    title: Annotated[str, typer.Argument(help="The vault's title.")],
    campaign: CampaignFile = Path("campaign.toml"),
    secret: Annotated[str, typer.Option(help="Also look this secret up by name (it is not read).")] = "",
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """Can an appliance reach the vault, and does the vault take the login?"""
    from orchestrator.cli import questions

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    tell(context, questions.vault_test, where, load_file(campaign), title, secret, json)


@vault_app.command("rights")
def vault_rights(
    context: typer.Context,
    campaign: Annotated[Path, typer.Argument(help="The campaign file.")] = Path("campaign.toml"),
    vault: Annotated[
        str | None, typer.Option(metavar="TITLE", help="Only this vault of the campaign.", show_default=False)
    ] = None,
    json: Json = False,
    state: State = None,
    store: StoreAt = None,
    nats: Nats = None,
    nats_seed: NatsSeed = None,
    nats_ca: NatsCa = None,
) -> None:
    """Say which rights the campaign needs in its vaults, and whether their users have those, and no more.

    Role permissions, and View on each secret or its folder. Exit 1 when something lacks (View on a secret, View
    Launcher Password where a template hides the password, View Secret Audit for `keymuster audit`) or is too much
    (Unlimited Administrator, Force Check In, Edit or Owner of a secret), 3 when the vault does not tell. No secret is
    viewed or checked out.
    """
    from orchestrator.cli import rights

    where = Where(home(state, store), nats, nats_seed, nats_ca)
    tell(context, rights.rights, where, load_file(campaign), vault, json)


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="The campaign file.")], json: Json = False) -> None:
    """Read a campaign file and say what is wrong with it, line by line."""
    from orchestrator.cli import campaign_files, ending

    raise typer.Exit(ending.run_sync(lambda: campaign_files.check(file, json=json)))


@app.command()
def reasons(
    code: Annotated[str | None, typer.Argument(help="A reason's code, or a part of it.", show_default=False)] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole table, as docs/reasons.md has it.")] = False,
    json: Json = False,
) -> None:
    """Say what a reason means, who can settle it, and how."""
    from orchestrator.cli import ending, reference

    if json and markdown:
        raise typer.BadParameter("--json and --markdown are two forms of the same table; leave one out")
    raise typer.Exit(ending.run_sync(lambda: reference.reasons(code, markdown=markdown, json=json)))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of campaign files, for editors."""
    from orchestrator.cli import campaign_files, ending

    raise typer.Exit(ending.run_sync(campaign_files.schema))


def main() -> None:
    begin_loading()
    end_on_sigterm()
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal's encoding lacks is shown as its escape; stderr does so by itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    app()
