"""`python -m appliance`: a supervisor. `--embedded` is an orchestrator's child; people use `keymuster appliance`."""

from __future__ import annotations

import argparse
import sys

from appliance.contract import HostKeyPolicy
from appliance.ending import BAD_INPUT
from appliance.logs import LogFormat, set_up
from appliance.long_lived import begin_loading
from appliance.process_one import end_on_sigterm


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


def main() -> int:
    begin_loading()
    end_on_sigterm()
    arguments = _parser().parse_args(namespace=argparse.Namespace(log_format=None))
    set_up(LogFormat.JSON if arguments.embedded else LogFormat(arguments.log_format) if arguments.log_format else None)
    if arguments.embedded:
        from appliance import embedded  # noqa: PLC0415 - a child needs nothing of what people's commands do

        return embedded.run()
    if arguments.command is None:
        _parser().print_help()
        return BAD_INPUT
    from appliance import commands  # noqa: PLC0415 - and they nothing of a child's

    return commands.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
