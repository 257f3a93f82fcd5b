"""`python -m appliance`: a supervisor. `--embedded` is an orchestrator's child; people use `keymuster appliance`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import structlog

from appliance.bus import BusError
from appliance.bus.appliance_side import JetStreamAppliance
from appliance.bus.credentials import CredentialsError
from appliance.bus.opening import open_bus
from appliance.checking import guards
from appliance.contract import ContractError, HostKeyPolicy
from appliance.embedded import serve_embedded
from appliance.enrolling import Local, enrol, has_enrolled, own_name, read_token
from appliance.exposition import metrics_page
from appliance.hardening import harden
from appliance.lag import LoopLag
from appliance.listener import Endpoint, ListenError, Page, listening
from appliance.logs import LogFormat, set_up
from appliance.long_lived import BACKEND_OPTIONS
from appliance.metrics import families
from appliance.process_one import end_on_sigterm
from appliance.sealed_logins import SealedBox, follow
from appliance.settings import Settings, SettingsError, write_template
from appliance.signals import drain_on_signal
from appliance.supervisor import Admissions, Supervisor
from appliance.vault.definition import VaultLogin

BAD_INPUT, UNREACHABLE = 2, 3

log = structlog.get_logger()


async def serve_alone(settings: Settings, fast_path: bool, metrics: Endpoint | None) -> None:
    """A stand-alone appliance: every run of its zone is served, within its own policy. Where it is sent vault logins,
    none is served before they have come.
    """
    own, box, identity = settings.own_logins(), settings.box(), settings.identity(fast_path=fast_path)
    structlog.contextvars.bind_contextvars(appliance=identity.appliance)
    admissions = Admissions(settings.admission(own) if box is None else None)
    async with open_bus(identity.bus, identity.appliance, identity.zone) as bus:
        supervisor = Supervisor(identity, bus, admissions)
        lag = LoopLag()

        def use(sent: tuple[VaultLogin, ...]) -> None:
            admissions.admit_all(settings.admission((*own, *sent)))

        async with _exposed(metrics, supervisor, lag), anyio.create_task_group() as tasks:
            await tasks.start(drain_on_signal, supervisor.draining, tasks.cancel_scope, name="supervisor: signals")
            tasks.start_soon(lag.run, name="supervisor: loop lag")
            if box is not None:
                tasks.start_soon(_follow, bus, box, use, name="supervisor: vault logins")
            await supervisor.serve()
            tasks.cancel_scope.cancel()


async def _follow(bus: JetStreamAppliance, box: SealedBox, use: Callable[[tuple[VaultLogin, ...]], None]) -> None:
    async with bus.logins() as sent:
        await follow(sent, box, use, time.time)


@asynccontextmanager
async def _exposed(at: Endpoint | None, supervisor: Supervisor, lag: LoopLag) -> AsyncIterator[None]:
    """Raises ListenError."""
    if at is None:
        yield
        return

    async def page() -> Page:
        return await metrics_page(families(supervisor, lag.worst))

    async def ready() -> Page:
        return Page("ok\n") if supervisor.bus.connected else Page("bus: not connected\n", 503)

    async with listening(at, {"/metrics": page, "/readyz": ready}) as heard:
        log.info("metrics", url=f"{heard.url}/metrics")
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="keymuster appliance", description="Run a scanner appliance.")
    parser.add_argument("--embedded", action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    init = commands.add_parser("init", help="write a new appliance's file, print its user for the NATS server")
    init.add_argument("file", nargs="?", default="appliance.toml")
    init.add_argument("--name", default="appliance-1")
    init.add_argument("--zone", default="default", help="the zone whose campaigns it serves")
    read_from = (
        "The token is read from --token-file, the environment (KEYMUSTER_ENROLMENT_TOKEN), a prompt or standard input."
    )
    enroll = commands.add_parser(
        "enroll",
        help="make this machine an appliance of a fleet, by a token of `keymuster fleet add`",
        description=read_from,
    )
    enroll.add_argument("--name", required=True, help="this appliance's, in the whole fleet")
    _enrolment(enroll)
    join = commands.add_parser(
        "join",
        help="enroll, where FILE is not there yet, then serve: what a container starts",
        description=f"Once FILE is there no token is read. {read_from}",
    )
    join.add_argument("--name", help="this appliance's, in the whole fleet (default: its zone and the machine's name)")
    waits = "so long a bus and an orchestrator are waited for that do not answer yet (default: 120)"
    join.add_argument("--patience", type=float, default=120.0, metavar="SECONDS", help=waits)
    _enrolment(join)
    _service(join)
    serve = commands.add_parser("serve", help="serve the zone that the file names (until SIGTERM)")
    serve.add_argument("file", nargs="?", default="appliance.toml")
    check = commands.add_parser("check", help="say which versions it runs on and, with FILE, whether that is in order")
    check.add_argument("file", nargs="?", help="an appliance's file; no password is read, and nothing is connected to")
    _service(serve)
    return parser


def _enrolment(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", nargs="?", default="appliance.toml")
    command.add_argument("--network", action="append", required=True, metavar="CIDR", help="may be dialled; repeatable")
    command.add_argument("--host-keys", choices=[*HostKeyPolicy], default=HostKeyPolicy.TOFU, help="the weakest policy")
    said = "a vault that it may read; its login is sent here, sealed, and is good for this URL alone; repeatable"
    command.add_argument("--vault", action="append", default=[], metavar="TITLE=URL", help=said)
    command.add_argument("--token-file", metavar="FILE")


def _service(command: argparse.ArgumentParser) -> None:
    lines = "how log lines are written (default: console on a terminal, else json)"
    command.add_argument("--log-format", choices=[form.value for form in LogFormat], help=lines)
    where = "where /metrics is, for Prometheus, and /readyz; loopback only (default: nowhere)"
    command.add_argument("--metrics", metavar="HOST:PORT", help=where)
    slow = "log in by the protocol libraries as they come: more CPU for the same outcomes"
    command.add_argument("--no-fast-path", dest="fast_path", action="store_false", help=slow)


def _enrol(arguments: argparse.Namespace, patience: float = 0.0) -> None:
    """Raises SettingsError, ContractError, CredentialsError, BusError."""
    token = read_token(arguments.token_file)
    name = arguments.name or own_name(token.zone)
    local = Local(name, tuple(arguments.network), str(arguments.host_keys), tuple(arguments.vault))
    zone = anyio.run(enrol, token, arguments.file, local, patience)
    said = f"{arguments.file} written: {name} is an appliance of zone {zone}"
    print(f"{said}; look through it, then `keymuster appliance serve {arguments.file}`", file=sys.stderr)  # noqa: T201 - the command's output


def main() -> int:
    end_on_sigterm()
    arguments = _parser().parse_args(namespace=argparse.Namespace(log_format=None))
    set_up(LogFormat.JSON if arguments.embedded else LogFormat(arguments.log_format) if arguments.log_format else None)
    try:
        if arguments.embedded:
            harden()
            anyio.run(serve_embedded, backend_options=BACKEND_OPTIONS)
        elif arguments.command == "init":
            print(write_template(arguments.file, arguments.name, arguments.zone))  # noqa: T201 - the command's output
            said = f"{arguments.file} written; put the line above among the users of your NATS server, fill the file in"
            print(f"{said}, then `keymuster appliance serve {arguments.file}`", file=sys.stderr)  # noqa: T201 - the command's output
        elif arguments.command == "enroll":
            _enrol(arguments)
        elif arguments.command == "check":
            if arguments.file:
                Settings.load(arguments.file)
            print(json.dumps(guards()))  # noqa: T201 - the command's output
        elif arguments.command in ("join", "serve"):
            harden()
            if arguments.command == "join" and not has_enrolled(arguments.file):
                _enrol(arguments, arguments.patience)
            metrics = Endpoint.parse(arguments.metrics) if arguments.metrics else None
            settings = Settings.load(arguments.file)
            anyio.run(serve_alone, settings, arguments.fast_path, metrics, backend_options=BACKEND_OPTIONS)
        else:
            _parser().print_help()
            return BAD_INPUT
    except (SettingsError, ContractError, CredentialsError, ListenError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's output
        return BAD_INPUT
    except BusError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's output
        return UNREACHABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
